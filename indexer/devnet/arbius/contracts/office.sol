// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Store} from "store.sol";
import {Ipfs} from "ipfs.sol";

/// What all forms do around tasks: administration, models, validators and their stakes.
abstract contract Office is Store {
    function transferOwnership(address to) external onlyOwner {
        emit OwnershipTransferred(owner, to);
        owner = to;
    }

    function transferPauser(address to) external onlyOwner {
        pauser = to;
        emit PauserTransferred(to);
    }

    function transferTreasury(address to) external onlyOwner {
        treasury = to;
        emit TreasuryTransferred(to);
    }

    function setPaused(bool value) external {
        if (msg.sender != pauser) revert Refused();
        paused = value;
        emit PausedChanged(value);
    }

    function setVersion(uint256 value) external onlyOwner {
        version = value;
        emit VersionChanged(value);
    }

    function setStartBlockTime(uint64 value) external onlyOwner {
        startBlockTime = value;
        emit StartBlockTimeChanged(value);
    }

    function setSolutionMineableRate(bytes32 model, uint256 rate) external onlyOwner {
        if (models[model].addr == address(0)) revert ModelMissing();
        models[model].rate = rate;
        emit SolutionMineableRateChange(model, rate);
    }

    function withdrawAccruedFees() external {
        uint256 amount = accruedFees;
        accruedFees = 0;
        totalHeld -= amount;
        baseToken.transfer(treasury, amount);
    }

    function registerModel(address addr, uint256 fee, bytes calldata template) external notPaused returns (bytes32) {
        return _register(addr, fee, template);
    }

    function _register(address addr, uint256 fee, bytes memory template) internal returns (bytes32 id) {
        bytes memory cid = Ipfs.cid(template);
        id = keccak256(abi.encode(msg.sender, addr, fee, cid));
        if (addr == address(0) || models[id].addr != address(0)) revert Refused();
        models[id] = Model(fee, addr, 0, cid);
        emit ModelRegistered(id);
    }

    function validatorDeposit(address validator, uint256 amount) external notPaused {
        baseToken.transferFrom(msg.sender, address(this), amount);
        Validator storage v = validators[validator];
        if (v.since == 0) v.since = block.timestamp;
        v.addr = validator;
        v.staked += amount;
        totalHeld += amount;
        emit ValidatorDeposit(msg.sender, validator, amount);
    }

    function initiateValidatorWithdraw(uint256 amount) external notPaused returns (uint256 count) {
        if (validators[msg.sender].staked < validatorWithdrawPendingAmount[msg.sender] + amount) revert StakeTooLow();
        count = ++pendingValidatorWithdrawRequestsCount[msg.sender];
        uint256 unlock = block.timestamp + exitValidatorMinUnlockTime;
        pendingValidatorWithdrawRequests[msg.sender][count] = PendingValidatorWithdrawRequest(unlock, amount);
        validatorWithdrawPendingAmount[msg.sender] += amount;
        emit ValidatorWithdrawInitiated(msg.sender, count, unlock, amount);
    }

    function cancelValidatorWithdraw(uint256 count) external notPaused {
        _endRequest(count);
        emit ValidatorWithdrawCancelled(msg.sender, count);
    }

    function validatorWithdraw(uint256 count, address to) external notPaused {
        if (block.timestamp < pendingValidatorWithdrawRequests[msg.sender][count].unlockTime) revert NotEnoughDelay();
        uint256 amount = _endRequest(count);
        validators[msg.sender].staked -= amount;
        totalHeld -= amount;
        baseToken.transfer(to, amount);
        emit ValidatorWithdraw(msg.sender, to, count, amount);
    }

    function _endRequest(uint256 count) private returns (uint256 amount) {
        amount = pendingValidatorWithdrawRequests[msg.sender][count].amount;
        if (amount == 0) revert Refused();
        delete pendingValidatorWithdrawRequests[msg.sender][count];
        validatorWithdrawPendingAmount[msg.sender] -= amount;
    }
}
