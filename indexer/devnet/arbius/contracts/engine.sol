// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Office} from "office.sol";
import {Ipfs} from "ipfs.sol";

/// The life of a task as far as all forms agree. What differs is in the functions marked `virtual`.
abstract contract Engine is Office {
    function submitTask(uint8 version_, address owner_, bytes32 model, uint256 fee, bytes calldata input)
        external
        notPaused
    {
        _submitTask(version_, owner_, model, fee, Ipfs.cid(input));
        _collect(fee);
    }

    function _submitTask(uint8 version_, address owner_, bytes32 model, uint256 fee, bytes memory cid) internal {
        if (models[model].addr == address(0)) revert ModelMissing();
        if (fee < models[model].fee) revert FeeTooLow();
        bytes32 id = keccak256(abi.encode(msg.sender, prevhash, model, fee, cid));
        tasks[id] = Task(model, fee, owner_, uint64(block.timestamp), version_, cid);
        prevhash = id;
        emit TaskSubmitted(id, model, fee, msg.sender);
    }

    function _collect(uint256 amount) internal {
        totalHeld += amount;
        baseToken.transferFrom(msg.sender, address(this), amount);
    }

    function signalCommitment(bytes32 commitment) external notPaused {
        if (commitments[commitment] != 0) revert Refused();
        commitments[commitment] = block.number;
        emit SignalCommitment(msg.sender, commitment);
    }

    function submitSolution(bytes32 task, bytes calldata cid) external notPaused {
        _limitRate(1);
        _submitSolution(task, cid);
    }

    function _submitSolution(bytes32 task, bytes calldata cid) internal {
        if (tasks[task].model == 0) revert TaskMissing();
        if (solutions[task].validator != address(0)) revert SolutionExists();
        if (!_maySolve(task)) revert SolverNotAllowed();
        if (!isValidator(msg.sender)) revert StakeTooLow();
        if (block.timestamp <= lastContestationLossTime[msg.sender] + _cooldown()) revert ClaimSolutionCooldown();
        uint256 committed = commitments[keccak256(abi.encode(msg.sender, task, cid))];
        if (committed == 0 || committed >= block.number) revert CommitmentTooLate();
        validators[msg.sender].staked -= solutionsStakeAmount;
        solutionsStake[task] = solutionsStakeAmount;
        solutions[task] = Solution(msg.sender, uint64(block.timestamp), false, cid);
        emit SolutionSubmitted(msg.sender, task);
    }

    function claimSolution(bytes32 task) external notPaused {
        Solution storage s = solutions[task];
        if (s.validator == address(0)) revert SolutionMissing();
        if (contestations[task].validator != address(0)) revert HasContestation();
        if (s.claimed) revert AlreadyClaimed();
        if (block.timestamp <= s.blocktime + minClaimSolutionTime) revert NotEnoughDelay();
        if (!isValidator(s.validator)) revert StakeTooLow();
        if (s.blocktime <= lastContestationLossTime[s.validator] + _cooldown()) revert ClaimSolutionCooldown();
        s.claimed = true;
        emit SolutionClaimed(s.validator, task);
        validators[s.validator].staked += solutionsStake[task];
        _pay(task, s.validator);
    }

    function submitContestation(bytes32 task) external notPaused {
        _checkWindow(task);
        if (!_mayContest()) revert Refused();
        if (!isValidator(msg.sender)) revert StakeTooLow();
        uint256 slash = getSlashAmount();
        contestations[task] = Contestation(msg.sender, uint64(block.timestamp), 0, slash);
        emit ContestationSubmitted(msg.sender, task);
        _vote(task, msg.sender, true);
        address solver = solutions[task].validator;
        if (validators[solver].staked >= slash) _vote(task, solver, false);
    }

    function voteOnContestation(bytes32 task, bool yea) external notPaused {
        Contestation storage c = contestations[task];
        if (c.validator == address(0)) revert ContestationMissing();
        if (!_mayStillVote(task)) revert VotingEnded();
        bool lately = validators[msg.sender].since > c.blocktime + maxContestationValidatorStakeSince;
        if (lately || contestationVoted[task][msg.sender] || !isValidator(msg.sender)) revert CannotVote();
        _vote(task, msg.sender, yea);
    }

    function contestationVoteFinish(bytes32 task, uint32 amnt) external notPaused {
        Contestation storage c = contestations[task];
        if (c.validator == address(0)) revert ContestationMissing();
        if (!_mayFinish(task)) revert VotingPeriodNotEnded();
        uint32 start = c.finish_start_index;
        uint32 end = start + amnt;
        uint256 yeas = contestationVoteYeas[task].length;
        uint256 nays = contestationVoteNays[task].length;
        bool succeeded = yeas + _voteAdder() > nays;
        _settle(succeeded, task, start, end, c.slashAmount);
        if (start == 0 && succeeded) {
            lastContestationLossTime[solutions[task].validator] = block.timestamp;
            validators[c.validator].staked += solutionsStake[task];
            totalHeld -= tasks[task].fee;
            baseToken.transfer(tasks[task].owner, tasks[task].fee);
        } else if (start == 0) {
            validators[solutions[task].validator].staked += solutionsStake[task];
            _pay(task, solutions[task].validator);
        }
        c.finish_start_index = end;
        emit ContestationVoteFinish(task, start, end);
    }

    /// The winners get back what they locked, and share what the losers locked: half for the first, who contested
    /// (rounded up) or solved (rounded down), the rest in equal parts. A solver who is alone takes all; a contester who
    /// is alone only the half. Added votes count as if somebody had locked something for them.
    function _settle(bool succeeded, bytes32 task, uint256 start, uint256 end, uint256 slash) private {
        address[] storage winners = succeeded ? contestationVoteYeas[task] : contestationVoteNays[task];
        uint256 yeas = contestationVoteYeas[task].length + _voteAdder();
        uint256 total = slash * (succeeded ? contestationVoteNays[task].length : yeas);
        uint256 count = winners.length;
        uint256 first = succeeded ? total - total / 2 : count == 1 ? total : total / 2;
        for (uint256 i = start; i < end && i < count; i++) {
            validators[winners[i]].staked += slash;
            _award(winners[i], i == 0 ? first : (total - first) / (count - 1));
        }
    }

    function _vote(bytes32 task, address voter, bool yea) private {
        contestationVoted[task][voter] = true;
        if (yea) contestationVoteYeas[task].push(voter);
        else contestationVoteNays[task].push(voter);
        validators[voter].staked -= contestations[task].slashAmount;
        emit ContestationVote(voter, task, yea);
    }

    /// A solution may be contested, or a contestation be suggested, until minClaimSolutionTime has passed.
    function _checkWindow(bytes32 task) internal view {
        Solution storage s = solutions[task];
        if (s.validator == address(0)) revert SolutionMissing();
        if (contestations[task].validator != address(0)) revert HasContestation();
        if (block.timestamp >= s.blocktime + minClaimSolutionTime) revert TooLate();
    }

    function _cooldown() internal view returns (uint256) {
        return minClaimSolutionTime + minContestationVotePeriodTime;
    }

    /// What a fee is made of: the model's share (none if its fee was raised above the task's) and the solver's.
    function _split(bytes32 task) internal view returns (uint256 modelFee, uint256 remaining, uint256 validatorFee) {
        uint256 fee = tasks[task].fee;
        modelFee = models[tasks[task].model].fee;
        if (modelFee > fee) modelFee = 0;
        remaining = fee - modelFee;
        validatorFee = remaining - part(remaining, solutionFeePercentage);
    }

    /// Tokens that a solution of the model mines: a share of the pool that shrinks with it.
    function _emission(bytes32 task) internal view returns (uint256) {
        if (block.timestamp < startBlockTime) return 0;
        return part(rewardPool(), models[tasks[task].model].rate) / 600_000;
    }

    function _transfer(address to, uint256 amount) internal {
        if (amount > 0) baseToken.transfer(to, amount);
    }

    function _limitRate(uint256) internal virtual {}

    function _maySolve(bytes32) internal view virtual returns (bool) {
        return true;
    }

    function _mayContest() internal view virtual returns (bool) {
        return true;
    }

    function _voteAdder() internal view virtual returns (uint256) {
        return 0;
    }

    function _award(address voter, uint256 amount) internal virtual {
        totalHeld -= amount;
        baseToken.transfer(voter, amount);
    }

    function _mayStillVote(bytes32 task) internal view virtual returns (bool);
    function _mayFinish(bytes32 task) internal view virtual returns (bool);
    function _pay(bytes32 task, address solver) internal virtual;
}
