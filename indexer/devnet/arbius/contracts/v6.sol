// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {LaterEngine} from "later.sol";

interface Contesters {
    function isMasterContester(address who) external view returns (bool);
}

/// The form of V6: allow lists, master contesters with a bonus in votes, suggestions, payments into the stake.
contract EngineV6 is LaterEngine {
    uint32 public constant MAX_ADDER = 500;

    Contesters public masterContesterRegistry;
    uint32 public masterContesterVoteAdder;
    mapping(bytes32 => bool) public modelRequiresAllowList;
    mapping(bytes32 => mapping(address => bool)) private allowed;
    mapping(bytes32 => bool) public hasSolutionModelFeePercentageOverride;
    mapping(bytes32 => uint256) public solutionModelFeePercentageOverride;

    event FeesPaid(
        bytes32 indexed model,
        bytes32 indexed task,
        address indexed validator,
        uint256 modelFee,
        uint256 treasuryFee,
        uint256 remainingFee,
        uint256 validatorFee
    );
    event RewardsPaid(
        bytes32 indexed model,
        bytes32 indexed task,
        address indexed validator,
        uint256 totalRewards,
        uint256 treasuryReward,
        uint256 taskOwnerReward,
        uint256 validatorReward
    );
    event ContestationSuggested(address indexed addr, bytes32 indexed task);
    event ModelAllowListUpdated(bytes32 indexed model, address indexed solver, bool added);
    event ModelAllowListRequirementChanged(bytes32 indexed model, bool required);
    event SolutionModelFeePercentageChanged(uint256 percentage);
    event SolutionModelFeePercentageOverrideCleared(bytes32 indexed model);
    event MasterContesterRegistrySet(address indexed registry);
    event MasterContesterVoteAdderSet(uint32 adder);

    /// Run by the upgrade from V5_2.
    function initialize() external {
        if (initialized >= 9) revert Refused();
        initialized = 9;
        version = 6;
        masterContesterVoteAdder = 50;
        emit Initialized(9);
    }

    function registerModelWithAllowList(address addr, uint256 fee, bytes calldata template, address[] calldata solvers)
        external
        notPaused
        returns (bytes32 id)
    {
        id = _register(addr, fee, template);
        modelRequiresAllowList[id] = true;
        for (uint256 i = 0; i < solvers.length; i++) allowed[id][solvers[i]] = true;
    }

    function addToModelAllowList(bytes32 model, address[] calldata solvers) external onlyOwner {
        _changeAllowList(model, solvers, true);
    }

    function removeFromModelAllowList(bytes32 model, address[] calldata solvers) external onlyOwner {
        _changeAllowList(model, solvers, false);
    }

    function disableModelAllowList(bytes32 model) external onlyOwner {
        modelRequiresAllowList[model] = false;
        emit ModelAllowListRequirementChanged(model, false);
    }

    function setSolutionModelFeePercentage(uint256 percentage) external onlyOwner {
        solutionModelFeePercentage = percentage;
        emit SolutionModelFeePercentageChanged(percentage);
    }

    /// Without an event.
    function setSolutionModelFeePercentageOverride(bytes32 model, uint256 percentage) external onlyOwner {
        hasSolutionModelFeePercentageOverride[model] = true;
        solutionModelFeePercentageOverride[model] = percentage;
    }

    function clearSolutionModelFeePercentageOverride(bytes32 model) external onlyOwner {
        hasSolutionModelFeePercentageOverride[model] = false;
        solutionModelFeePercentageOverride[model] = 0;
        emit SolutionModelFeePercentageOverrideCleared(model);
    }

    function setMasterContesterRegistry(Contesters registry) external onlyOwner {
        masterContesterRegistry = registry;
        emit MasterContesterRegistrySet(address(registry));
    }

    function setMasterContesterVoteAdder(uint32 adder) external onlyOwner {
        if (adder > MAX_ADDER) revert Refused();
        masterContesterVoteAdder = adder;
        emit MasterContesterVoteAdderSet(adder);
    }

    function suggestContestation(bytes32 task) external notPaused {
        _checkWindow(task);
        emit ContestationSuggested(msg.sender, task);
    }

    function isSolverAllowed(bytes32 model, address solver) public view returns (bool) {
        return !modelRequiresAllowList[model] || allowed[model][solver];
    }

    function _changeAllowList(bytes32 model, address[] calldata solvers, bool added) private {
        for (uint256 i = 0; i < solvers.length; i++) {
            allowed[model][solvers[i]] = added;
            emit ModelAllowListUpdated(model, solvers[i], added);
        }
    }

    function _maySolve(bytes32 task) internal view override returns (bool) {
        return isSolverAllowed(tasks[task].model, msg.sender);
    }

    function _mayContest() internal view override returns (bool) {
        return address(masterContesterRegistry) != address(0) && masterContesterRegistry.isMasterContester(msg.sender);
    }

    function _voteAdder() internal view override returns (uint256) {
        return masterContesterVoteAdder;
    }

    function _modelFeePercentage(bytes32 model) internal view override returns (uint256) {
        bool own = hasSolutionModelFeePercentageOverride[model];
        return own ? solutionModelFeePercentageOverride[model] : solutionModelFeePercentage;
    }

    function _award(address voter, uint256 amount) internal override {
        validators[voter].staked += amount;
    }

    function _payValidator(address to, uint256 amount) internal override {
        validators[to].staked += amount;
    }

    function _fees(bytes32 model, bytes32 task, address solver, Payment memory p) internal override {
        emit FeesPaid(model, task, solver, p.modelFee, p.treasuryFee, p.remainingFee, p.validatorFee);
    }

    function _rewards(bytes32 model, bytes32 task, address solver, Reward memory r) internal override {
        emit RewardsPaid(model, task, solver, r.total, r.treasury, r.taskOwner, r.validator);
    }
}
