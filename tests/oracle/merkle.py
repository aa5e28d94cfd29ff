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


def root_of(leaves: list[bytes]) -> bytes:
    """Return the root, over no leaves too (RFC 6962, section 2.1)."""
    return merkle_tree_hash(leaves) if leaves else hashlib.sha256(b"").digest()


def path(leaves: list[bytes], index: int) -> list[bytes]:
    """Return PATH(m, D[n]) of section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = split_of(len(leaves))
    if index < k:
        return [*path(leaves[:k], index), merkle_tree_hash(leaves[k:])]
    return [*path(leaves[k:], index - k), merkle_tree_hash(leaves[:k])]


def split_of(size: int) -> int:
    k = 1
    while k * 2 < size:
        k = k * 2
    return k


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def inclusion_holds(root: bytes, size: int, index: int, leaf: bytes, proof: list[bytes]) -> bool:
    """Return whether the proof is exactly PATH(index, size) of a tree with this root."""
    if any(len(each) != 32 for each in [root, leaf, *proof]) or not 0 <= index < size:
        return False
    left = list(proof)
    found = climb(size, index, leaf, left)
    return found == root and left == []


def climb(size: int, index: int, leaf: bytes, proof: list[bytes]) -> bytes | None:
    """Return the root of a subtree, taking its hashes from the front of the proof."""
    if size == 1:
        return leaf
    k = split_of(size)
    below = climb(k, index, leaf, proof) if index < k else climb(size - k, index - k, leaf, proof)
    if below is None or proof == []:
        return None
    other = proof.pop(0)
    return node(below, other) if index < k else node(other, below)


def consistency_holds(
    size1: int, size2: int, root1: bytes, root2: bytes, proof: list[bytes]
) -> bool:
    """Return whether the proof is exactly PROOF(size1, D[size2]) of section 2.1.2."""
    if not 0 < size1 <= size2:
        return False
    if size1 == size2:
        return proof == [] and root1 == root2
    if any(len(each) != 32 for each in [root1, root2, *proof]):
        return False
    left = list(proof)
    found = both_roots(size1, size2, root1, left, whole=True)
    return found == (root1, root2) and left == []


def both_roots(
    size1: int, size2: int, root1: bytes, proof: list[bytes], *, whole: bool
) -> tuple[bytes, bytes] | None:
    """Follow SUBPROOF(m, D[n], b): the roots of the old and of the new part of a subtree."""
    if size1 == size2:
        if whole:
            return root1, root1
        return (proof[0], proof.pop(0)) if proof else None
    k = split_of(size2)
    if size1 <= k:
        below = both_roots(size1, k, root1, proof, whole=whole)
        if below is None or proof == []:
            return None
        return below[0], node(below[1], proof.pop(0))
    below = both_roots(size1 - k, size2 - k, root1, proof, whole=False)
    if below is None or proof == []:
        return None
    left = proof.pop(0)
    return node(left, below[0]), node(left, below[1])
