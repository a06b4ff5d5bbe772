// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Engine} from "engine.sol";
import {Token} from "token.sol";

/// The early form (like V2_EngineV2): retraction, parameters with events, a voting time that nothing extends.
contract EarlyEngine is Engine {
    event TaskRetracted(bytes32 indexed id);
    event SignalSupport(address indexed addr, bytes32 indexed model, bool supported);
    event SolutionStakeAmountChanged(uint256 indexed amount);
    event ValidatorMinimumPercentageChanged(uint256 indexed amount);
    event SlashAmountPercentageChanged(uint256 indexed amount);
    event SolutionFeePercentageChanged(uint256 indexed amount);
    event RetractionFeePercentageChanged(uint256 indexed amount);
    event TreasuryRewardPercentageChanged(uint256 indexed amount);
    event MinClaimSolutionTimeChanged(uint256 indexed amount);
    event MinRetractionWaitTimeChanged(uint256 indexed amount);
    event MinContestationVotePeriodTimeChanged(uint256 indexed amount);
    event MaxContestationValidatorStakeSinceChanged(uint256 indexed amount);
    event ExitValidatorMinUnlockTimeChanged(uint256 indexed amount);

    function initialize(Token token, address owner_, address treasury_) external {
        if (initialized != 0) revert Refused();
        initialized = 1;
        emit OwnershipTransferred(address(0), owner_);
        (owner, pauser, treasury, baseToken) = (owner_, owner_, treasury_, token);
        validatorMinimumPercentage = 0.0008 ether;
        slashAmountPercentage = 0.0001 ether;
        solutionFeePercentage = 0.1 ether;
        retractionFeePercentage = 0.1 ether;
        treasuryRewardPercentage = 0.1 ether;
        minClaimSolutionTime = 2000;
        minRetractionWaitTime = 10_000;
        minContestationVotePeriodTime = 4000;
        maxContestationValidatorStakeSince = 120;
        exitValidatorMinUnlockTime = 86_400;
        emit Initialized(1);
    }

    function retractTask(bytes32 id) external notPaused {
        Task storage t = tasks[id];
        if (t.owner != msg.sender) revert Refused();
        if (solutions[id].validator != address(0)) revert SolutionExists();
        if (block.timestamp - t.blocktime <= minRetractionWaitTime) revert NotEnoughDelay();
        uint256 kept = part(t.fee, retractionFeePercentage);
        accruedFees += kept;
        totalHeld -= t.fee - kept;
        baseToken.transfer(t.owner, t.fee - kept);
        delete tasks[id];
        emit TaskRetracted(id);
    }

    function signalSupport(bytes32 model, bool support) external notPaused {
        if (!isValidator(msg.sender)) revert StakeTooLow();
        emit SignalSupport(msg.sender, model, support);
    }

    function setSolutionStakeAmount(uint256 amount) external onlyOwner {
        solutionsStakeAmount = amount;
        emit SolutionStakeAmountChanged(amount);
    }

    function setValidatorMinimumPercentage(uint256 amount) external onlyOwner {
        validatorMinimumPercentage = amount;
        emit ValidatorMinimumPercentageChanged(amount);
    }

    function setSlashAmountPercentage(uint256 amount) external onlyOwner {
        slashAmountPercentage = amount;
        emit SlashAmountPercentageChanged(amount);
    }

    function setSolutionFeePercentage(uint256 amount) external onlyOwner {
        solutionFeePercentage = amount;
        emit SolutionFeePercentageChanged(amount);
    }

    function setRetractionFeePercentage(uint256 amount) external onlyOwner {
        retractionFeePercentage = amount;
        emit RetractionFeePercentageChanged(amount);
    }

    function setTreasuryRewardPercentage(uint256 amount) external onlyOwner {
        treasuryRewardPercentage = amount;
        emit TreasuryRewardPercentageChanged(amount);
    }

    function setMinClaimSolutionTime(uint256 amount) external onlyOwner {
        minClaimSolutionTime = amount;
        emit MinClaimSolutionTimeChanged(amount);
    }

    function setMinRetractionWaitTime(uint256 amount) external onlyOwner {
        minRetractionWaitTime = amount;
        emit MinRetractionWaitTimeChanged(amount);
    }

    function setMinContestationVotePeriodTime(uint256 amount) external onlyOwner {
        minContestationVotePeriodTime = amount;
        emit MinContestationVotePeriodTimeChanged(amount);
    }

    function setMaxContestationValidatorStakeSince(uint256 amount) external onlyOwner {
        maxContestationValidatorStakeSince = amount;
        emit MaxContestationValidatorStakeSinceChanged(amount);
    }

    function setExitValidatorMinUnlockTime(uint256 amount) external onlyOwner {
        exitValidatorMinUnlockTime = amount;
        emit ExitValidatorMinUnlockTimeChanged(amount);
    }

    function _mayStillVote(bytes32 task) internal view override returns (bool) {
        return block.timestamp <= contestations[task].blocktime + minContestationVotePeriodTime;
    }

    function _mayFinish(bytes32 task) internal view override returns (bool) {
        return block.timestamp >= contestations[task].blocktime + minContestationVotePeriodTime;
    }

    function _pay(bytes32 task, address solver) internal override {
        (uint256 modelFee, uint256 remaining, uint256 validatorFee) = _split(task);
        uint256 reward = _emission(task);
        totalHeld -= modelFee + validatorFee;
        accruedFees += remaining - validatorFee;
        _transfer(models[tasks[task].model].addr, modelFee);
        _transfer(solver, validatorFee);
        _transfer(solver, reward - part(reward, treasuryRewardPercentage));
        _transfer(treasury, part(reward, treasuryRewardPercentage));
    }
}
