// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Token} from "token.sol";

/// State, getters, events and errors that all forms of the engine share. Amounts are in the token's smallest unit,
/// times in seconds, percentages are parts of 1e18.
abstract contract Store {
    struct Model { uint256 fee; address addr; uint256 rate; bytes cid; }
    struct Validator { uint256 staked; uint256 since; address addr; }
    struct PendingValidatorWithdrawRequest { uint256 unlockTime; uint256 amount; }
    struct Task { bytes32 model; uint256 fee; address owner; uint64 blocktime; uint8 version; bytes cid; }
    struct Solution { address validator; uint64 blocktime; bool claimed; bytes cid; }
    struct Contestation { address validator; uint64 blocktime; uint32 finish_start_index; uint256 slashAmount; }

    uint8 internal initialized;
    address public owner;
    address public pauser;
    address public treasury;
    Token public baseToken;
    bool public paused;
    uint64 public startBlockTime;
    uint256 public version;
    bytes32 public prevhash;
    uint256 public accruedFees;
    uint256 public totalHeld;

    uint256 public validatorMinimumPercentage;
    uint256 public slashAmountPercentage;
    uint256 public solutionFeePercentage;
    uint256 public retractionFeePercentage;
    uint256 public treasuryRewardPercentage;
    uint256 public minClaimSolutionTime;
    uint256 public minRetractionWaitTime;
    uint256 public minContestationVotePeriodTime;
    uint256 public maxContestationValidatorStakeSince;
    uint256 public exitValidatorMinUnlockTime;
    uint256 public solutionsStakeAmount;

    mapping(bytes32 => Model) public models;
    mapping(address => Validator) public validators;
    mapping(address => mapping(uint256 => PendingValidatorWithdrawRequest)) public pendingValidatorWithdrawRequests;
    mapping(address => uint256) public pendingValidatorWithdrawRequestsCount;
    mapping(address => uint256) public validatorWithdrawPendingAmount;
    mapping(bytes32 => Task) public tasks;
    mapping(bytes32 => uint256) public commitments;
    mapping(bytes32 => Solution) public solutions;
    mapping(bytes32 => uint256) public solutionsStake;
    mapping(bytes32 => Contestation) public contestations;
    mapping(bytes32 => mapping(address => bool)) public contestationVoted;
    /// Stays zero: finish_start_index of the contestation tells how far it is settled.
    mapping(bytes32 => uint256) public contestationVotedIndex;
    mapping(bytes32 => address[]) public contestationVoteYeas;
    mapping(bytes32 => address[]) public contestationVoteNays;
    mapping(address => uint256) public lastContestationLossTime;

    event Initialized(uint8 version);
    event OwnershipTransferred(address indexed previousOwner, address indexed newOwner);
    event PauserTransferred(address indexed to);
    event TreasuryTransferred(address indexed to);
    event PausedChanged(bool indexed paused);
    event VersionChanged(uint256 version);
    event StartBlockTimeChanged(uint64 indexed startBlockTime);
    event ModelRegistered(bytes32 indexed id);
    event SolutionMineableRateChange(bytes32 indexed id, uint256 rate);
    event ValidatorDeposit(address indexed addr, address indexed validator, uint256 amount);
    event ValidatorWithdrawInitiated(address indexed addr, uint256 indexed count, uint256 unlockTime, uint256 amount);
    event ValidatorWithdrawCancelled(address indexed addr, uint256 indexed count);
    event ValidatorWithdraw(address indexed addr, address indexed to, uint256 indexed count, uint256 amount);
    event TaskSubmitted(bytes32 indexed id, bytes32 indexed model, uint256 fee, address indexed sender);
    event SignalCommitment(address indexed addr, bytes32 indexed commitment);
    event SolutionSubmitted(address indexed addr, bytes32 indexed task);
    event SolutionClaimed(address indexed addr, bytes32 indexed task);
    event ContestationSubmitted(address indexed addr, bytes32 indexed task);
    event ContestationVote(address indexed addr, bytes32 indexed task, bool yea);
    event ContestationVoteFinish(bytes32 indexed id, uint32 indexed start_idx, uint32 end_idx);

    error Refused();
    error Paused();
    error ModelMissing();
    error FeeTooLow();
    error TaskMissing();
    error SolutionMissing();
    error SolutionExists();
    error CommitmentTooLate();
    error SolverNotAllowed();
    error StakeTooLow();
    error RateLimited();
    error NotEnoughDelay();
    error TooLate();
    error AlreadyClaimed();
    error ClaimSolutionCooldown();
    error HasContestation();
    error ContestationMissing();
    error VotingPeriodNotEnded();
    error VotingEnded();
    error CannotVote();

    modifier onlyOwner() {
        if (msg.sender != owner) revert Refused();
        _;
    }

    modifier notPaused() {
        if (paused) revert Paused();
        _;
    }

    /// The part `percentage` (of 1e18) of an amount.
    function part(uint256 amount, uint256 percentage) internal pure returns (uint256) {
        return amount * percentage / 1e18;
    }

    /// Tokens that are not in the engine's own pool for rewards.
    function getPsuedoTotalSupply() public view returns (uint256) {
        return baseToken.totalSupply() - rewardPool();
    }

    function rewardPool() internal view returns (uint256) {
        return baseToken.balanceOf(address(this)) - totalHeld;
    }

    function getSlashAmount() public view returns (uint256) {
        uint256 supply = getPsuedoTotalSupply();
        return supply < 2000 ether ? 0 : part(supply, slashAmountPercentage);
    }

    function getValidatorMinimum() public view returns (uint256) {
        uint256 supply = getPsuedoTotalSupply();
        return supply < 1000 ether ? 0 : part(supply, validatorMinimumPercentage);
    }

    function isValidator(address who) internal view returns (bool) {
        return validators[who].staked >= getValidatorMinimum() + validatorWithdrawPendingAmount[who];
    }
}
