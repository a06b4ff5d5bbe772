"""Every event of every version of the Arbius engine (EngineV1 to V6), of its proxy, and of the router.

Source: github.com/semperai/arbius, contract/contracts/*Engine*.sol, interfaces/IArbiusV6.sol and ArbiusRouterV1.sol.
No event that survived an upgrade changed its signature, except FeesPaid and RewardsPaid: V6 added three arguments.
"""

from indexer.networks.abi import Event, parse

_OWNABLE = parse("OwnershipTransferred(address indexed previousOwner, address indexed newOwner)")

ENGINE: tuple[Event, ...] = _OWNABLE + parse(
    """
    TaskSubmitted(bytes32 indexed id, bytes32 indexed model, uint256 fee, address indexed sender)
    SignalCommitment(address indexed addr, bytes32 indexed commitment)
    SolutionSubmitted(address indexed addr, bytes32 indexed task)
    SolutionClaimed(address indexed addr, bytes32 indexed task)
    ContestationSubmitted(address indexed addr, bytes32 indexed task)
    ContestationVote(address indexed addr, bytes32 indexed task, bool yea)
    ContestationVoteFinish(bytes32 indexed id, uint32 indexed start_idx, uint32 end_idx)
    ContestationSuggested(address indexed addr, bytes32 indexed task)
    TaskRetracted(bytes32 indexed id)

    FeesPaid(bytes32 indexed model, bytes32 indexed task, address indexed validator,
             uint256 modelFee, uint256 treasuryFee, uint256 remainingFee, uint256 validatorFee)
    FeesPaid(uint256 modelFee, uint256 treasuryFee, uint256 remainingFee, uint256 validatorFee)
    RewardsPaid(bytes32 indexed model, bytes32 indexed task, address indexed validator,
                uint256 totalRewards, uint256 treasuryReward, uint256 taskOwnerReward, uint256 validatorReward)
    RewardsPaid(uint256 totalRewards, uint256 treasuryReward, uint256 taskOwnerReward, uint256 validatorReward)

    ModelRegistered(bytes32 indexed id)
    SolutionMineableRateChange(bytes32 indexed id, uint256 rate)
    ModelFeeChanged(bytes32 indexed id, uint256 fee)
    ModelAddrChanged(bytes32 indexed id, address addr)
    ModelAllowListUpdated(bytes32 indexed model, address indexed solver, bool added)
    ModelAllowListRequirementChanged(bytes32 indexed model, bool required)
    SolutionModelFeePercentageChanged(uint256 percentage)
    SolutionModelFeePercentageOverrideCleared(bytes32 indexed model)
    MasterContesterRegistrySet(address indexed registry)
    MasterContesterVoteAdderSet(uint32 adder)

    ValidatorDeposit(address indexed addr, address indexed validator, uint256 amount)
    ValidatorWithdrawInitiated(address indexed addr, uint256 indexed count, uint256 unlockTime, uint256 amount)
    ValidatorWithdrawCancelled(address indexed addr, uint256 indexed count)
    ValidatorWithdraw(address indexed addr, address indexed to, uint256 indexed count, uint256 amount)
    SignalSupport(address indexed addr, bytes32 indexed model, bool supported)

    PausedChanged(bool indexed paused)
    PauserTransferred(address indexed to)
    TreasuryTransferred(address indexed to)
    VersionChanged(uint256 version)
    StartBlockTimeChanged(uint64 indexed startBlockTime)
    SolutionStakeAmountChanged(uint256 indexed amount)
    ValidatorMinimumPercentageChanged(uint256 indexed amount)
    SlashAmountPercentageChanged(uint256 indexed amount)
    SolutionFeePercentageChanged(uint256 indexed amount)
    RetractionFeePercentageChanged(uint256 indexed amount)
    TreasuryRewardPercentageChanged(uint256 indexed amount)
    MinClaimSolutionTimeChanged(uint256 indexed amount)
    MinRetractionWaitTimeChanged(uint256 indexed amount)
    MinContestationVotePeriodTimeChanged(uint256 indexed amount)
    MaxContestationValidatorStakeSinceChanged(uint256 indexed amount)
    ExitValidatorMinUnlockTimeChanged(uint256 indexed amount)

    Initialized(uint8 version)
    Upgraded(address indexed implementation)
    AdminChanged(address previousAdmin, address newAdmin)
    """
)

ROUTER: tuple[Event, ...] = _OWNABLE + parse(
    """
    IncentiveAdded(bytes32 indexed taskid, uint256 amount)
    IncentiveClaimed(bytes32 indexed taskid, address indexed recipient, uint256 amount)
    """
)

ROLES: dict[str, tuple[Event, ...]] = {"engine": ENGINE, "router": ROUTER}
"""What a contract of each role can emit."""
