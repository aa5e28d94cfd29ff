"""Merkle consistency: that a tree grew from another, proved, and proofs that must be refused."""

from collections.abc import Iterator, Sequence

from golden_vectors.generator.files import VectorFile
from golden_vectors.generator.merkle import (
    CONSISTENCY_NOTES,
    CT_GROWN,
    CT_ROOTS,
    flip,
    flipped,
    leaves,
    node,
    plain,
)

from fractal_lba.protocol import leaf_hash, merkle_root

Consistency = tuple[str, str, int, int, bytes, bytes, list[bytes]]


def merkle_consistency_file() -> VectorFile:
    """Return the cases of ``merkle_consistency.json``."""
    made = VectorFile(
        name="merkle_consistency",
        algorithm="Merkle consistency proofs, SHA-256",
        specification="specs/pcs.md, section 4; RFC 9162, section 2.1.4",
        notes=CONSISTENCY_NOTES,
    )

    def add(case: Consistency, *, holds: bool) -> None:
        comment, flag, size1, size2, root1, root2, proof = case
        given = {
            "size1": size1,
            "size2": size2,
            "root1": root1.hex(),
            "root2": root2.hex(),
            "proof": [each.hex() for each in proof],
        }
        if holds:
            made.valid(comment, flag, given)
        else:
            made.refused(comment, flag, given, ("proof_refused", "consistency", None))

    for (size1, size2), published in CT_GROWN.items():
        roots = [bytes.fromhex(CT_ROOTS[size - 1]) for size in (size1, size2)]
        proof = [bytes.fromhex(each) for each in published]
        comment = f"from {size1} to {size2}"
        flag = "CertificateTransparency"
        add((comment, flag, size1, size2, roots[0], roots[1], proof), holds=True)
    for case in example():
        add(case, holds=True)
    for size1, size2 in ((1, 2), (1, 3), (2, 3), (3, 4), (3, 8), (4, 9), (7, 9), (8, 9), (6, 8)):
        grown = leaves(size2)
        roots = [merkle_root(grown[:size1]), merkle_root(grown)]
        proof = grown_proof(grown, size1)
        add((f"{size1} to {size2}", "Grown", size1, size2, roots[0], roots[1], proof), holds=True)
    five = merkle_root(leaves(5))
    add(("equal roots", "Equal", 5, 5, five, five, []), holds=True)
    for case in bent():
        add(case, holds=False)
    return made


def grown_proof(grown: Sequence[bytes], size1: int) -> list[bytes]:
    """Return PROOF(size1, grown): SUBPROOF of RFC 9162, section 2.1.4.1."""
    return subproof(list(grown), size1, whole=True)


def subproof(grown: list[bytes], size1: int, *, whole: bool) -> list[bytes]:
    """Return SUBPROOF(size1, grown, whole)."""
    if size1 == len(grown):
        return [] if whole else [merkle_root(grown)]
    k = 1 << (len(grown) - 1).bit_length() - 1
    if size1 <= k:
        return [*subproof(grown[:k], size1, whole=whole), merkle_root(grown[k:])]
    return [*subproof(grown[k:], size1 - k, whole=False), merkle_root(grown[:k])]


def example() -> Iterator[Consistency]:
    """Yield the proofs of the RFC's example, from the hashes of its figures."""
    seven = leaves(7)
    a, b, c, d, e, f, j = (leaf_hash(leaf) for leaf in seven)
    g, h, i = node(a, b), node(c, d), node(e, f)
    k, l = node(g, h), node(i, j)  # noqa: E741 - the letters of the RFC
    root = node(k, l)
    flag = "Rfc9162Example"
    yield "hash0 to hash: c, d, g, l", flag, 3, 7, node(g, c), root, [c, d, g, l]
    yield "hash1 to hash: l", flag, 4, 7, k, root, [l]
    yield "hash2 to hash: i, j, k", flag, 6, 7, node(k, i), root, [i, j, k]


def bent() -> Iterator[Consistency]:
    """Yield proofs that must be refused: each a sound one with one thing wrong."""
    grown = leaves(7)
    proof, old, new = grown_proof(grown, 3), merkle_root(grown[:3]), merkle_root(grown)
    for place in range(4):
        yield f"a bit of hash {place}", "Changed", 3, 7, old, new, flipped(proof, place)
    yield "a bit of the first root", "Changed", 3, 7, flip(old), new, proof
    yield "a bit of the second root", "Changed", 3, 7, old, flip(new), proof
    yield "hashes in reverse", "Changed", 3, 7, old, new, proof[::-1]
    yield "roots swapped", "WrongPlace", 3, 7, new, old, proof
    for size1, size2 in ((2, 7), (4, 7), (1, 7), (3, 4), (3, 9), (7, 3)):
        yield f"{size1} to {size2}", "WrongPlace", size1, size2, old, new, proof
    yield "no hash", "WrongCount", 3, 7, old, new, []
    yield "the last hash missing", "WrongCount", 3, 7, old, new, proof[:-1]
    yield "the first hash missing", "WrongCount", 3, 7, old, new, proof[1:]
    yield "the root after it", "WrongCount", 3, 7, old, new, [*proof, new]
    four = merkle_root(grown[:4])
    yield (
        "the first root before it, where it is a node",
        "WrongCount",
        4,
        7,
        four,
        new,
        [
            four,
            *grown_proof(grown, 4),
        ],
    )
    yield "no hash from a whole tree", "WrongCount", 4, 7, four, new, []
    yield "a hash of 31 bytes", "WrongLength", 3, 7, old, new, [proof[0][:31], *proof[1:]]
    yield "a root of 33 bytes", "WrongLength", 3, 7, old + b"\0", new, proof
    yield "other roots", "Equal", 7, 7, old, new, []
    yield "a hash between equal sizes", "Equal", 7, 7, new, new, [new]
    nothing = plain(b"")
    yield "from nothing, no hash", "Empty", 0, 7, nothing, new, []
    yield "from nothing, with the root", "Empty", 0, 7, nothing, new, [new]
    yield "from nothing to nothing", "Empty", 0, 0, nothing, nothing, []
