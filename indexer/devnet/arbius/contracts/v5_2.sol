// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {LaterEngine} from "later.sol";

/// The form of V5_2: payments are transfers, their events name nobody.
contract EngineV5_2 is LaterEngine {
    event FeesPaid(uint256 modelFee, uint256 treasuryFee, uint256 remainingFee, uint256 validatorFee);
    event RewardsPaid(
        uint256 totalRewards, uint256 treasuryReward, uint256 taskOwnerReward, uint256 validatorReward
    );

    /// Run by the upgrade from the early form.
    function initialize() external {
        if (initialized >= 8) revert Refused();
        initialized = 8;
        version = 5;
        minClaimSolutionTime = 3600;
        minContestationVotePeriodTime = 360;
        contestationVoteExtensionTime = 10;
        exitValidatorMinUnlockTime = 259_200;
        validatorMinimumPercentage = 0.0024 ether;
        slashAmountPercentage = 0.00001 ether;
        solutionsStakeAmount = 0.001 ether;
        solutionRateLimit = 1 ether;
        taskOwnerRewardPercentage = 0.1 ether;
        solutionModelFeePercentage = 1 ether;
        emit Initialized(8);
    }

    /// Without an event in this form.
    function setSolutionModelFeePercentage(uint256 percentage) external onlyOwner {
        solutionModelFeePercentage = percentage;
    }

    function _modelFeePercentage(bytes32) internal view override returns (uint256) {
        return solutionModelFeePercentage;
    }

    function _payValidator(address to, uint256 amount) internal override {
        _transfer(to, amount);
    }

    function _fees(bytes32, bytes32, address, Payment memory p) internal override {
        emit FeesPaid(p.modelFee, p.treasuryFee, p.remainingFee, p.validatorFee);
    }

    function _rewards(bytes32, bytes32, address, Reward memory r) internal override {
        emit RewardsPaid(r.total, r.treasury, r.taskOwner, r.validator);
    }
}
