// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// Answers as aggregate3 of Multicall3 does. Tests put its code where Multicall3 stands on real chains.
contract Multicall {
    struct Question {
        address target;
        bool allowFailure;
        bytes callData;
    }

    struct Answer {
        bool success;
        bytes returnData;
    }

    function aggregate3(Question[] calldata questions) external payable returns (Answer[] memory answers) {
        answers = new Answer[](questions.length);
        for (uint256 n = 0; n < questions.length; n++) {
            (bool success, bytes memory data) = questions[n].target.call(questions[n].callData);
            require(success || questions[n].allowFailure);
            answers[n] = Answer(success, data);
        }
    }
}
