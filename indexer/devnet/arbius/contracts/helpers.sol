// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Token} from "token.sol";

interface Submitting {
    function submitTask(uint8 version, address owner, bytes32 model, uint256 fee, bytes calldata input) external;
    function claimSolution(bytes32 task) external;
    function signalCommitment(bytes32 commitment) external;
}

/// Sends tasks and claims on to one engine, which then sees this contract as the sender.
abstract contract Sender {
    Submitting public immutable engine;
    Token internal immutable token;

    constructor(Submitting engine_, Token token_) {
        (engine, token) = (engine_, token_);
        token_.approve(address(engine_), type(uint256).max);
    }
}

/// One task through a router, with the calldata of ArbiusRouterV1. Incentives are not offered.
contract Router is Sender {
    constructor(Submitting engine_, Token token_) Sender(engine_, token_) {}

    function submitTask(
        uint8 version,
        address owner,
        bytes32 model,
        uint256 fee,
        bytes calldata input,
        uint256 incentive,
        uint256
    ) external {
        require(incentive == 0);
        token.transferFrom(msg.sender, address(this), fee);
        engine.submitTask(version, owner, model, fee, input);
    }
}

/// Many tasks, claims or commitments in one transaction.
contract Bulk is Sender {
    constructor(Submitting engine_, Token token_) Sender(engine_, token_) {}

    function submitTasks(address owner, bytes32 model, uint256 fee, bytes calldata input, uint256 n) external {
        token.transferFrom(msg.sender, address(this), fee * n);
        for (uint256 i = 0; i < n; i++) engine.submitTask(0, owner, model, fee, input);
    }

    function claimSolutions(bytes32[] calldata ids) external {
        for (uint256 i = 0; i < ids.length; i++) engine.claimSolution(ids[i]);
    }

    function bulkSignalCommitment(bytes32[] calldata commitments) external {
        for (uint256 i = 0; i < commitments.length; i++) engine.signalCommitment(commitments[i]);
    }
}

/// Who may contest from V6 on.
contract Registry {
    mapping(address => bool) public isMasterContester;

    constructor(address[] memory contesters) {
        for (uint256 i = 0; i < contesters.length; i++) isMasterContester[contesters[i]] = true;
    }
}
