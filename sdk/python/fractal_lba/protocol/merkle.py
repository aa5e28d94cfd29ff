"""Merkle trees over the leaves of a window (RFC 6962, RFC 9162 section 2.1).

A leaf is hashed behind ``0x00`` and a node behind ``0x01``, so that neither can pass for the
other. A tree of n > 1 leaves splits at the largest power of two below n; an odd node is carried
up as it is, never doubled, so that two windows never share a root.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from fractal_lba.protocol.errors import ContractError

HASH_BYTES: Final = 32


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of one leaf."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root over the leaves; over none it is the hash of the empty string."""
    return merkle_root_of_hashes([leaf_hash(leaf) for leaf in leaves])


def merkle_root_of_hashes(leaf_hashes: Sequence[bytes]) -> bytes:
    """Return the root over leaves of which only the hashes are at hand, as `leaf_hash` gives them.

    A window need not be in memory at once to be hashed.
    """
    if not leaf_hashes:
        return hashlib.sha256(b"").digest()
    level = list(leaf_hashes)
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the hashes that lead from the leaf at ``index`` to the root, from the bottom up.

    Raises:
        ContractError: There is no such leaf.

    Source: RFC 9162 section 2.1.3.1.
    """
    _require(0 <= index < len(leaves), "inclusion proof", "an index below the number of leaves")
    proof = []
    level = [leaf_hash(leaf) for leaf in leaves]
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):  # the last node of an odd level has none and is carried up
            proof.append(level[sibling])
        level = _parents(level)
        index //= 2
    return proof


def verify_inclusion(
    *, root: bytes, size: int, index: int, leaf_hash: bytes, proof: Sequence[bytes]
) -> None:
    """Check that a leaf stands at ``index`` of the tree of ``size`` leaves with this root.

    Raises:
        ContractError: It does not, or the proof is not exactly the one needed; nothing in it may
            be believed.

    Source: RFC 9162 section 2.1.3.2.
    """
    where = "inclusion proof"
    _require(0 <= index < size, where, "an index below the size")
    _require_hashes(where, root, leaf_hash, *proof)
    node, last, running = index, size - 1, leaf_hash
    for sibling in proof:
        _require(last != 0, where, "no hash above the root")
        if node & 1 or node == last:
            running = _node_hash(sibling, running)
            while not node & 1 and node != 0:
                node, last = node >> 1, last >> 1
        else:
            running = _node_hash(running, sibling)
        node, last = node >> 1, last >> 1
    _require(last == 0, where, "hashes up to the root")
    _require(running == root, where, "the root")


def verify_consistency(
    *, size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the tree of ``size2`` leaves grew from the one of ``size1``.

    Raises:
        ContractError: It did not, or the proof is not exactly the one needed. Nothing follows
            from an empty first tree, so that ``size1`` = 0 is refused too.

    Source: RFC 9162 section 2.1.4.2.
    """
    where = "consistency proof"
    _require(0 < size1 <= size2, where, "two sizes, the first from 1 up to the second")
    if size1 == size2:
        # Nothing is hashed here; the roots are whatever the caller trusts, compared as they are.
        _require(not proof, where, "no hash between equal sizes")
        _require(root1 == root2, where, "equal roots of equal sizes")
        return
    _require_hashes(where, root1, root2, *proof)
    path = list(proof)
    if size1 & (size1 - 1) == 0:
        path.insert(0, root1)  # a whole first tree is a node of the second, and not in the proof
    _require(bool(path), where, "at least one hash")
    node, last = size1 - 1, size2 - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    first = second = path[0]
    for sibling in path[1:]:
        _require(last != 0, where, "no hash above the root")
        if node & 1 or node == last:
            first = _node_hash(sibling, first)
            second = _node_hash(sibling, second)
            while not node & 1 and node != 0:
                node, last = node >> 1, last >> 1
        else:
            second = _node_hash(second, sibling)
        node, last = node >> 1, last >> 1
    _require(last == 0, where, "hashes up to the root")
    _require(first == root1, where, "the first root")
    _require(second == root2, where, "the second root")


def _node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _parents(level: list[bytes]) -> list[bytes]:
    parents = [_node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    return [*parents, level[-1]] if len(level) % 2 else parents


def _require_hashes(where: str, *hashes: bytes) -> None:
    _require(all(len(each) == HASH_BYTES for each in hashes), where, "hashes of 32 bytes")


def _require(holds: bool, where: str, expected: str) -> None:  # noqa: FBT001  # the claim checked
    if not holds:
        raise ContractError(f"{where}: expected {expected}, got something else")
