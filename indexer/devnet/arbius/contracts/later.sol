// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Engine} from "engine.sol";
import {Ipfs} from "ipfs.sol";

/// What V5_2 and V6 share: bulk calls, a rate limit, votes that extend the voting time, fees of models that change.
abstract contract LaterEngine is Engine {
    uint256 public contestationVoteExtensionTime;
    uint256 public solutionRateLimit;
    uint256 public taskOwnerRewardPercentage;
    uint256 public solutionModelFeePercentage;
    uint256 public veRewards;
    mapping(address => uint256) public lastSolutionSubmission;

    struct Payment { uint256 modelFee; uint256 treasuryFee; uint256 remainingFee; uint256 validatorFee; }
    struct Reward { uint256 total; uint256 treasury; uint256 taskOwner; uint256 validator; }

    event ModelFeeChanged(bytes32 indexed id, uint256 fee);
    event ModelAddrChanged(bytes32 indexed id, address addr);

    function bulkSubmitTask(
        uint8 version_,
        address owner_,
        bytes32 model,
        uint256 fee,
        bytes calldata input,
        uint256 n
    ) external notPaused {
        bytes memory cid = Ipfs.cid(input);
        for (uint256 i = 0; i < n; i++) _submitTask(version_, owner_, model, fee, cid);
        _collect(fee * n);
    }

    function bulkSubmitSolution(bytes32[] calldata ids, bytes[] calldata cids) external notPaused {
        _limitRate(ids.length);
        for (uint256 i = 0; i < ids.length; i++) _submitSolution(ids[i], cids[i]);
    }

    function setModelFee(bytes32 model, uint256 fee) external onlyOwner {
        models[model].fee = fee;
        emit ModelFeeChanged(model, fee);
    }

    function setModelAddr(bytes32 model, address addr) external onlyOwner {
        models[model].addr = addr;
        emit ModelAddrChanged(model, addr);
    }

    function _limitRate(uint256 count) internal override {
        if (block.timestamp - lastSolutionSubmission[msg.sender] <= part(count, solutionRateLimit)) revert RateLimited();
        lastSolutionSubmission[msg.sender] = block.timestamp;
    }

    function _mayStillVote(bytes32 task) internal view override returns (bool) {
        return block.timestamp <= _deadline(task);
    }

    function _mayFinish(bytes32 task) internal view override returns (bool) {
        return block.timestamp > _deadline(task);
    }

    function _deadline(bytes32 task) private view returns (uint256) {
        uint256 votes = contestationVoteYeas[task].length + contestationVoteNays[task].length;
        uint256 extension = contestationVoteExtensionTime * votes;
        return contestations[task].blocktime + minContestationVotePeriodTime + extension;
    }

    function _pay(bytes32 task, address solver) internal override {
        Payment memory p;
        bytes32 model = tasks[task].model;
        uint256 mined = _emission(task) / 2;
        (p.modelFee, p.remainingFee, p.validatorFee) = _split(task);
        p.treasuryFee = part(p.modelFee, _modelFeePercentage(model));
        accruedFees += p.treasuryFee + p.remainingFee - p.validatorFee;
        totalHeld -= p.modelFee - p.treasuryFee;
        _transfer(models[model].addr, p.modelFee - p.treasuryFee);
        totalHeld -= p.validatorFee;
        _payValidator(solver, p.validatorFee);
        _fees(model, task, solver, p);
        _reward(model, task, solver, mined);
    }

    function _reward(bytes32 model, bytes32 task, address solver, uint256 total) private {
        if (total == 0) return;
        Reward memory r = Reward(total, part(total, treasuryRewardPercentage), part(total, taskOwnerRewardPercentage), 0);
        r.validator = total - r.treasury - r.taskOwner;
        veRewards += total;
        baseToken.transfer(treasury, r.treasury);
        baseToken.transfer(tasks[task].owner, r.taskOwner);
        _payValidator(solver, r.validator);
        _rewards(model, task, solver, r);
    }

    function _modelFeePercentage(bytes32) internal view virtual returns (uint256);
    function _payValidator(address to, uint256 amount) internal virtual;
    function _fees(bytes32 model, bytes32 task, address solver, Payment memory p) internal virtual;
    function _rewards(bytes32 model, bytes32 task, address solver, Reward memory r) internal virtual;
}
