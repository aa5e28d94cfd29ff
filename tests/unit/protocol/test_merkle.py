"""Merkle trees: RFC 6962's reference values, every small tree, and every wrong proof."""

import hashlib
from collections.abc import Sequence

import pytest

from fractal_lba.protocol import (
    ContractError,
    inclusion_proof,
    leaf_hash,
    merkle_root,
    verify_consistency,
    verify_inclusion,
)

# The inputs and roots of the reference implementation of Certificate Transparency.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
MANY = [bytes([index]) for index in range(33)]


def plain_root(leaves: Sequence[bytes]) -> bytes:
    """Say RFC 9162 section 2.1.1 in its own words."""
    if len(leaves) < 2:
        return leaf_hash(leaves[0]) if leaves else hashlib.sha256(b"").digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = plain_root(leaves[:split]), plain_root(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def plain_consistency(size1: int, leaves: Sequence[bytes], *, is_whole: bool = True) -> list[bytes]:
    """Say RFC 9162 section 2.1.4.1 in its own words."""
    if size1 == len(leaves):
        return [] if is_whole else [plain_root(leaves)]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if size1 <= split:
        inner = plain_consistency(size1, leaves[:split], is_whole=is_whole)
        return [*inner, plain_root(leaves[split:])]
    inner = plain_consistency(size1 - split, leaves[split:], is_whole=False)
    return [*inner, plain_root(leaves[:split])]


@pytest.mark.parametrize("size", range(9))
def test_the_roots_of_the_reference(size: int) -> None:
    assert merkle_root(LEAVES[:size]).hex() == ROOTS[size]


def test_a_leaf_is_hashed_behind_a_zero() -> None:
    assert leaf_hash(b"a") == hashlib.sha256(b"\x00a").digest()


def test_an_odd_node_is_not_doubled() -> None:
    assert merkle_root(LEAVES[:3]) != merkle_root([*LEAVES[:3], LEAVES[2]])


@pytest.mark.parametrize("size", range(len(MANY) + 1))
def test_every_small_tree_has_the_root_of_the_definition(size: int) -> None:
    assert merkle_root(MANY[:size]) == plain_root(MANY[:size])


@pytest.mark.parametrize("size", range(1, len(MANY) + 1))
def test_every_leaf_is_included_and_at_no_other_place(size: int) -> None:
    leaves = MANY[:size]
    root = merkle_root(leaves)
    for index, leaf in enumerate(leaves):
        proof = inclusion_proof(leaves, index)
        verify_inclusion(root=root, size=size, index=index, leaf_hash=leaf_hash(leaf), proof=proof)
        for other in range(size):
            if other != index:
                with pytest.raises(ContractError):
                    verify_inclusion(
                        root=root, size=size, index=other, leaf_hash=leaf_hash(leaf), proof=proof
                    )


@pytest.mark.parametrize("size2", range(1, 18))
def test_every_tree_is_consistent_with_its_own_beginnings(size2: int) -> None:
    leaves = MANY[:size2]
    for size1 in range(1, size2 + 1):
        root1, root2 = merkle_root(leaves[:size1]), merkle_root(leaves)
        proof = plain_consistency(size1, leaves)
        verify_consistency(size1=size1, size2=size2, root1=root1, root2=root2, proof=proof)
        wrong = [
            (size1, size2, root1, root2, [*proof, bytes(32)]),
            (size1, size2, bytes(32), root2, proof),
            (size1, size2, root1, bytes(32), proof),
            (0, size2, merkle_root([]), root2, proof),
        ]
        wrong += [(size1, size2, root1, root2, proof[:-1])] if proof else []
        wrong += [(size2, size1, root2, root1, proof)] if size1 != size2 else []
        for s1, s2, r1, r2, broken in wrong:
            with pytest.raises(ContractError):
                verify_consistency(size1=s1, size2=s2, root1=r1, root2=r2, proof=broken)


@pytest.mark.parametrize("index", [-1, 5])
def test_a_leaf_that_is_not_there_has_no_proof(index: int) -> None:
    with pytest.raises(ContractError):
        inclusion_proof(MANY[:5], index)


def test_any_flipped_bit_breaks_a_proof() -> None:
    leaves = MANY[:7]
    root, proof = merkle_root(leaves), inclusion_proof(leaves, 3)
    for position in range(len(proof)):
        for bit in (0, 100, 255):
            flipped = list(proof)
            number = int.from_bytes(proof[position]) ^ (1 << bit)
            flipped[position] = number.to_bytes(32)
            with pytest.raises(ContractError):
                verify_inclusion(
                    root=root, size=7, index=3, leaf_hash=leaf_hash(leaves[3]), proof=flipped
                )


def test_a_proof_of_another_length_is_refused() -> None:
    leaves = MANY[:7]
    root, proof, leaf = merkle_root(leaves), inclusion_proof(leaves, 3), leaf_hash(leaves[3])
    for wrong in (proof[:-1], [*proof, bytes(32)], [], [*proof[:-1], proof[-1][:31]]):
        with pytest.raises(ContractError):
            verify_inclusion(root=root, size=7, index=3, leaf_hash=leaf, proof=wrong)
    for size, index in ((7, 7), (0, 0), (7, -1)):
        with pytest.raises(ContractError):
            verify_inclusion(root=root, size=size, index=index, leaf_hash=leaf, proof=proof)


def test_a_proof_from_a_larger_tree_does_not_hold_in_a_smaller_one() -> None:
    root, leaf = merkle_root(MANY[:2]), leaf_hash(MANY[1])
    proof = inclusion_proof(MANY[:2], 1)
    with pytest.raises(ContractError):
        verify_inclusion(root=root, size=1, index=0, leaf_hash=leaf, proof=proof)


@pytest.mark.parametrize(
    ("sizes", "claimed"),
    [((7, 8), (3, 4)), ((3, 4), (3, 8)), ((5, 16), (5, 8)), ((6, 8), (2, 4)), ((5, 8), (5, 16))],
)
def test_a_proof_of_growth_holds_for_no_sizes_of_another_height(
    sizes: tuple[int, int], claimed: tuple[int, int]
) -> None:
    root1, root2 = (merkle_root(MANY[:size]) for size in sizes)
    proof = plain_consistency(sizes[0], MANY[: sizes[1]])
    verify_consistency(size1=sizes[0], size2=sizes[1], root1=root1, root2=root2, proof=proof)
    with pytest.raises(ContractError):
        verify_consistency(
            size1=claimed[0], size2=claimed[1], root1=root1, root2=root2, proof=proof
        )


def test_a_node_cannot_pass_for_a_leaf() -> None:
    left, right = leaf_hash(MANY[0]), leaf_hash(MANY[1])
    assert merkle_root(MANY[:2]) != leaf_hash(left + right)
    root = merkle_root(MANY[:2])
    with pytest.raises(ContractError):
        verify_inclusion(root=root, size=1, index=0, leaf_hash=leaf_hash(left + right), proof=[])
