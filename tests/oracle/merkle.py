"""The Merkle tree hash of RFC 6962, section 2.1, written as its definition reads."""

import hashlib
import struct


def merkle_tree_hash(leaves: list[bytes]) -> bytes:
    """Return the root over a list of byte strings that is not empty."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split = split * 2
    left = merkle_tree_hash(leaves[:split])
    right = merkle_tree_hash(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def leaves_of_points(rows: list[list[float]]) -> list[bytes]:
    """Return one leaf for each row: its values as little-endian doubles."""
    leaves = []
    for row in rows:
        leaf = b""
        for value in row:
            leaf = leaf + struct.pack("<d", value)
        leaves.append(leaf)
    return leaves


def leaves_of_bytes(data: bytes) -> list[bytes]:
    """Return the 64-byte chunks, the last one shorter."""
    leaves = []
    start = 0
    while start < len(data):
        leaves.append(data[start : start + 64])
        start = start + 64
    return leaves
