// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// A transparent proxy: the admin may only upgrade, everybody else only reaches the implementation (EIP-1967 slots).
contract Proxy {
    bytes32 private constant IMPLEMENTATION = bytes32(uint256(keccak256("eip1967.proxy.implementation")) - 1);
    bytes32 private constant ADMIN = bytes32(uint256(keccak256("eip1967.proxy.admin")) - 1);

    event Upgraded(address indexed implementation);
    event AdminChanged(address previousAdmin, address newAdmin);

    constructor(address implementation, address admin, bytes memory call) {
        _upgrade(implementation, call);
        emit AdminChanged(address(0), admin);
        _write(ADMIN, admin);
    }

    fallback() external payable {
        if (msg.sender == _read(ADMIN)) {
            require(msg.sig == bytes4(keccak256("upgradeToAndCall(address,bytes)")));
            (address implementation, bytes memory call) = abi.decode(msg.data[4:], (address, bytes));
            _upgrade(implementation, call);
            return;
        }
        address target = _read(IMPLEMENTATION);
        assembly {
            calldatacopy(0, 0, calldatasize())
            let done := delegatecall(gas(), target, 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            if iszero(done) { revert(0, returndatasize()) }
            return(0, returndatasize())
        }
    }

    function _upgrade(address implementation, bytes memory call) private {
        _write(IMPLEMENTATION, implementation);
        emit Upgraded(implementation);
        if (call.length > 0) {
            (bool done,) = implementation.delegatecall(call);
            require(done);
        }
    }

    function _read(bytes32 slot) private view returns (address value) {
        assembly { value := sload(slot) }
    }

    function _write(bytes32 slot, address value) private {
        assembly { sstore(slot, value) }
    }
}
