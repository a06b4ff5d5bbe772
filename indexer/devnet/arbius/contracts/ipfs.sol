// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// The CIDv0 of some bytes as one UnixFS file in one block: what `ipfs add` answers for a small file.
library Ipfs {
    function cid(bytes memory content) internal pure returns (bytes memory) {
        bytes memory size = varint(content.length);
        bytes memory file = abi.encodePacked(hex"080212", size, content, hex"18", size);
        return abi.encodePacked(hex"1220", sha256(abi.encodePacked(hex"0a", varint(file.length), file)));
    }

    function varint(uint256 number) internal pure returns (bytes memory coded) {
        while (number >= 0x80) {
            coded = abi.encodePacked(coded, uint8(number % 0x80 + 0x80));
            number /= 0x80;
        }
        coded = abi.encodePacked(coded, uint8(number));
    }
}
