"""Merkle trees: roots over leaves, and proofs that hold or must not."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final

from golden_vectors.generator.files import Note, VectorFile

from fractal_lba.protocol import inclusion_proof, leaf_hash, merkle_root

CT: Final = Note(
    explanation="The eight leaves, roots and proofs that Certificate Transparency's code is tested "
    "with.",
    source="RFC 6962 (google/certificate-transparency, merkle_tree_test)",
)
RFC9162: Final = Note(
    explanation="The shape of the proofs in the RFC's example of seven leaves: which subtrees "
    "stand in them.",
    source="RFC 9162, section 2.1.5",
)
ROOT_NOTES: Final = {
    "CertificateTransparency": CT,
    "Sha256": Note(
        explanation="The hash of the empty string, which is the root of no leaves.",
        source="FIPS 180-4 examples; RFC 6962, section 2.1",
    ),
    "Shape": Note(
        explanation="Sizes about powers of two: a tree splits at the largest power of two below "
        "its size, and no odd node is doubled."
    ),
    "Leaf": Note(
        explanation="Leaves of any length, equal leaves, and leaves that look like nodes."
    ),
    "Order": Note(explanation="The same leaves in another order have another root."),
}
INCLUSION_NOTES: Final = {
    "CertificateTransparency": CT,
    "Rfc9162Example": RFC9162,
    "EveryIndex": Note(
        explanation="First, second, middle and last leaf of trees of 1 to 10 leaves, proved."
    ),
    "Changed": Note(explanation="A part of a sound proof that was changed; it must be refused."),
    "WrongPlace": Note(explanation="A sound proof under another index or size."),
    "WrongCount": Note(
        explanation="A hash too many or too few: only exactly the needed ones hold."
    ),
    "WrongLength": Note(explanation="A hash, a leaf hash or a root that is not 32 bytes long."),
}
CONSISTENCY_NOTES: Final = {
    "CertificateTransparency": CT,
    "Rfc9162Example": RFC9162,
    "Grown": Note(explanation="A tree and the one it grew to, proved."),
    "Equal": Note(explanation="Two trees of one size: an empty proof, and equal roots."),
    "Empty": Note(explanation="Nothing follows from an empty first tree; it must be refused."),
    "Changed": Note(explanation="A part of a sound proof that was changed; it must be refused."),
    "WrongPlace": Note(explanation="A sound proof under other sizes, or roots in another order."),
    "WrongCount": Note(
        explanation="A hash too many or too few: only exactly the needed ones hold."
    ),
    "WrongLength": Note(explanation="A hash that is not 32 bytes long."),
}

CT_LEAVES: Final = tuple(
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
)
CT_ROOTS: Final = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
SHA256_OF_NOTHING: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_A: Final = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
_B: Final = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
_C: Final = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
_D: Final = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
_E: Final = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
_F: Final = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
# (size, index from 0) to the proof; the published tables count leaves from 1.
CT_PATHS: Final = {
    (1, 0): (),
    (8, 0): (_A, _B, _C),
    (8, 5): (_D, _E, CT_ROOTS[3]),
    (3, 2): (CT_ROOTS[1],),
    (5, 1): (CT_ROOTS[0], _B, _D),
}
CT_GROWN: Final = {
    (1, 1): (),
    (1, 8): (_A, _B, _C),
    (6, 8): (_F, _E, CT_ROOTS[3]),
    (2, 5): (_B, _D),
}


Inclusion = tuple[str, str, int, int, bytes, bytes, list[bytes]]


def leaves(count: int) -> list[bytes]:
    """Return leaves that are all different, of 1 to 11 bytes."""
    return [hashlib.sha256(bytes([place])).digest()[: 1 + place % 11] for place in range(count)]


def node(left: bytes, right: bytes) -> bytes:
    """Return the hash above two hashes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def merkle_roots_file() -> VectorFile:
    """Return the cases of ``merkle_roots.json``."""
    made = VectorFile(
        name="merkle_roots",
        algorithm="Merkle tree hash, SHA-256",
        specification="specs/pcs.md, section 4; RFC 6962 and RFC 9162, section 2.1",
        notes=ROOT_NOTES,
    )

    def add(comment: str, flag: str, given: Sequence[bytes], **stated: str) -> None:
        made.valid(comment, flag, {"leaves": [leaf.hex() for leaf in given]}, **stated)

    add("no leaf", "Sha256", [], root=SHA256_OF_NOTHING)
    for size, root in enumerate(CT_ROOTS, start=1):
        add(f"the first {size} leaves", "CertificateTransparency", CT_LEAVES[:size], root=root)
    for size in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65):
        add(f"{size} leaves", "Shape", leaves(size))
    pair = leaf_hash(b"a") + leaf_hash(b"b")
    for comment, given in (
        ("two equal leaves", [b"a", b"a"]),
        ("three equal leaves are not four", [b"a"] * 3),
        ("four equal leaves", [b"a"] * 4),
        ("two empty leaves", [b"", b""]),
        ("a leaf of two hashes is no node", [pair]),
        ("a leaf of 0x01 and two hashes is no node", [b"\x01" + pair]),
        ("the node these two look like", [b"a", b"b"]),
        ("a leaf of 64 bytes and one of 1", [bytes(range(64)), b"\x40"]),
        ("a leaf of 6,144 bytes", [bytes(6144)]),
    ):
        add(comment, "Leaf", given)
    add("in order", "Order", [b"a", b"b", b"c"])
    add("the last two swapped", "Order", [b"a", b"c", b"b"])
    return made


def merkle_inclusion_file() -> VectorFile:
    """Return the cases of ``merkle_inclusion.json``."""
    made = VectorFile(
        name="merkle_inclusion",
        algorithm="Merkle inclusion proofs, SHA-256",
        specification="specs/pcs.md, section 4; RFC 9162, section 2.1.3",
        notes=INCLUSION_NOTES,
    )

    def add(case: Inclusion, *, holds: bool = True) -> None:
        comment, flag, size, index, leaf, root, proof = case
        given = {
            "size": size,
            "index": index,
            "leaf_hash": leaf.hex(),
            "root": root.hex(),
            "proof": [each.hex() for each in proof],
        }
        if holds:
            made.valid(comment, flag, given)
        else:
            made.refused(comment, flag, given, ("proof_refused", "inclusion", None))

    for (size, index), published in CT_PATHS.items():
        leaf, root = leaf_hash(CT_LEAVES[index]), bytes.fromhex(CT_ROOTS[size - 1])
        proof = [bytes.fromhex(each) for each in published]
        add((f"leaf {index} of {size}", "CertificateTransparency", size, index, leaf, root, proof))
    seven = leaves(7)
    a, b, c, d, e, f, j = (leaf_hash(leaf) for leaf in seven)
    g, h, i = node(a, b), node(c, d), node(e, f)
    k, l = node(g, h), node(i, j)  # noqa: E741 - the letters of the RFC
    root = node(k, l)
    for name, index, proof in (
        ("d0: b, h, l", 0, [b, h, l]),
        ("d3: c, g, l", 3, [c, g, l]),
        ("d4: f, j, k", 4, [f, j, k]),
        ("d6: i, k", 6, [i, k]),
    ):
        add((name, "Rfc9162Example", 7, index, leaf_hash(seven[index]), root, proof))
    for size in (1, 2, 3, 4, 5, 6, 8, 9, 10):
        grown = leaves(size)
        for index in sorted({0, 1, size // 2, size - 1} & set(range(size))):
            proof = inclusion_proof(grown, index)
            leaf, root = leaf_hash(grown[index]), merkle_root(grown)
            add((f"leaf {index} of {size}", "EveryIndex", size, index, leaf, root, proof))
    for case in bent_inclusion():
        add(case, holds=False)
    return made


def bent_inclusion() -> Iterator[Inclusion]:
    """Yield proofs that must be refused: each a sound one with one thing wrong."""
    grown = leaves(7)
    proof, root, leaf = inclusion_proof(grown, 4), merkle_root(grown), leaf_hash(grown[4])
    for place in range(3):
        yield f"a bit of hash {place}", "Changed", 7, 4, leaf, root, flipped(proof, place)
    yield "a bit of the root", "Changed", 7, 4, leaf, flip(root), proof
    yield "a bit of the leaf hash", "Changed", 7, 4, flip(leaf), root, proof
    yield "the leaf hash of another leaf", "Changed", 7, 4, leaf_hash(grown[5]), root, proof
    yield "the leaf itself hashed without 0x00", "Changed", 7, 4, plain(grown[4]), root, proof
    yield "hashes in reverse", "Changed", 7, 4, leaf, root, proof[::-1]
    for index in (0, 3, 5, 6, 7, 8):
        yield f"index {index} in place of 4", "WrongPlace", 7, index, leaf, root, proof
    for size in (0, 1, 4, 5, 9, 16):
        yield f"size {size} in place of 7", "WrongPlace", size, 4, leaf, root, proof
    yield "index 0 of no leaves", "WrongPlace", 0, 0, plain(b""), plain(b""), []
    yield "one leaf at index 1", "WrongPlace", 1, 1, leaf, leaf, []
    yield "no hash", "WrongCount", 7, 4, leaf, root, []
    yield "the first hash missing", "WrongCount", 7, 4, leaf, root, proof[1:]
    yield "the last hash missing", "WrongCount", 7, 4, leaf, root, proof[:-1]
    yield "the root after it", "WrongCount", 7, 4, leaf, root, [*proof, root]
    yield "a hash before it", "WrongCount", 7, 4, leaf, root, [leaf, *proof]
    yield "an empty hash after it", "WrongCount", 7, 4, leaf, root, [*proof, b""]
    yield "a hash for a single leaf", "WrongCount", 1, 0, leaf, leaf, [leaf]
    yield "a root that is the leaf, no hash", "WrongCount", 2, 0, leaf, leaf, []
    yield "a hash of 31 bytes", "WrongLength", 7, 4, leaf, root, [proof[0][:31], *proof[1:]]
    yield "a hash of 33 bytes", "WrongLength", 7, 4, leaf, root, [proof[0] + b"\0", *proof[1:]]
    yield "a root of 31 bytes", "WrongLength", 7, 4, leaf, root[:31], proof
    yield "an empty root", "WrongLength", 7, 4, leaf, b"", proof
    yield "a leaf hash of 64 bytes", "WrongLength", 1, 0, leaf * 2, leaf * 2, []
    # Without the lengths checked, a leaf and its neighbour could be cut at another place.
    moved = node(leaf, proof[0])
    add = [leaf[:31], leaf[31:] + proof[0]]
    yield "leaf and hash cut one byte earlier", "WrongLength", 2, 0, add[0], moved, add[1:]


def flip(hashed: bytes) -> bytes:
    """Return a hash with its lowest bit changed."""
    return hashed[:-1] + bytes([hashed[-1] ^ 1])


def flipped(proof: Sequence[bytes], place: int) -> list[bytes]:
    """Return a proof with one of its hashes changed."""
    return [flip(each) if at == place else each for at, each in enumerate(proof)]


def plain(data: bytes) -> bytes:
    """Return SHA-256 without a prefix."""
    return hashlib.sha256(data).digest()
