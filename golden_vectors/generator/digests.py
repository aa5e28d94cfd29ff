"""Ids and digests: what names a window, a signed record, and its content."""

from typing import Final

from golden_vectors.generator.bodies import (
    ABSENT,
    LEGACY_PCS_ID,
    LEGACY_ROOT,
    LEGACY_SHARD,
    bent,
    body,
    full,
    named,
    sound,
    text,
)
from golden_vectors.generator.files import Note, VectorFile

ID_NOTES: Final = {
    "FirstPrototype": Note(
        explanation="The id that the first prototype's golden record states.",
        source="The golden record of version 0.1 (pcs_tiny_case_1)",
    ),
    "Epoch": Note(explanation="The epoch in decimal, without leading zeros, to 2^53-1."),
    "ShardId": Note(explanation="Stream names of every kind of character, to 128."),
    "Root": Note(explanation="Other Merkle roots."),
}
DIGEST_NOTES: Final = {
    "FirstPrototype": Note(
        explanation="A record over the window of the first prototype's golden record, whose id is "
        "stated there.",
        source="The golden record of version 0.1 (pcs_tiny_case_1)",
    ),
    "SameContent": Note(
        explanation="Same content_digest as case 1: what differs is no content. The record_digest "
        "is another one."
    ),
    "SameRecord": Note(
        explanation="Same record_digest as case 1: sig, delivery and the spelling are not signed."
    ),
    "OtherContent": Note(explanation="Another content_digest than case 1's."),
}
# Members that are signed and are no content.
AROUND: Final[dict[str, dict[str, object]]] = {
    "another kid": {"kid": "acme-2026-12"},
    "another created_at": {"created_at": "2027-01-01T00:00:00.000Z"},
    "another r": {"r": 0.75},
    "another budget": {"budget": 0.2},
    "degraded": {"ft.degraded": True},
    "a fallback": {"ft.fallbacks": ["column 3 lost"]},
    "another skew": {"ft.clock_skew_ms": -12},
    "a meta text that must be escaped": {"meta": {"model": 'a"\\\u0001\u20ac/'}},
    "no member of meta": {"meta": {}},
    "all of them": {"kid": "k", "r": 0, "budget": 1, "meta": {"a": True}},
}
CONTENT: Final[dict[str, dict[str, object]]] = {
    "another seed": {"seed": 43},
    "another epoch": {"epoch": 2},
    "another shard_id": {"shard_id": "test-shard-002"},
    "another root": {"merkle_root": "0" * 64},
    "another n": {"n": 1001},
    "another d": {"d": 4},
    "another cell count": {"N_j.32": 801},
    "another D_hat, by the last digit": {"D_hat": 1.660964048},
    "D_hat as an integer": {"D_hat": 2},
    "D_hat of 1e-7": {"D_hat": 1e-7},
    "coh_star of 1": {"coh_star": 1},
    "v_star along an axis": {"v_star": [0, 0, -1]},
    "another regime": {"regime": "sticky"},
    "other scales": {"scales": [2, 4], "N_j": {"2": 8, "4": 40}},
}


def ids_file() -> VectorFile:
    """Return the cases of ``ids.json``."""
    made = VectorFile(
        name="ids",
        algorithm='pcs_id = SHA-256 of merkle_root "|" epoch "|" shard_id, in hexadecimal',
        specification="specs/pcs.md, section 2",
        notes=ID_NOTES,
    )

    def add(comment: str, flag: str, given: tuple[str, int, str], **stated: str) -> None:
        root, epoch, shard_id = given
        values = {"merkle_root": root, "epoch": epoch, "shard_id": shard_id}
        made.valid(comment, flag, values, **stated)

    golden = (LEGACY_ROOT, 1, LEGACY_SHARD)
    add("the golden record", "FirstPrototype", golden, pcs_id=LEGACY_PCS_ID)
    for epoch in (0, 10, 2**31, 2**32, 2**53 - 1):
        add(f"epoch {epoch}", "Epoch", (LEGACY_ROOT, epoch, LEGACY_SHARD))
    for shard_id in ("a", "AZ09._:-", "1", "s" * 128):
        add(f"stream {shard_id[:8]}", "ShardId", (LEGACY_ROOT, 1, shard_id))
    add("a root of zeros", "Root", ("0" * 64, 0, "a"))
    add("a root of letters", "Root", ("abcdef" * 10 + "abcd", 0, "a"))
    return made


def digests_file() -> VectorFile:
    """Return the cases of ``digests.json``."""
    made = VectorFile(
        name="digests",
        algorithm="Signing input, record_digest and content_digest of a record, version 1.0",
        specification="specs/pcs.md, section 2",
        notes=DIGEST_NOTES,
    )
    first = made.valid("without optional members", "FirstPrototype", body(text(sound())))
    same = {"content_digest": first["content_digest"], "record_digest": first["record_digest"]}
    unsigned = full(meta=ABSENT)
    del unsigned["meta"]
    for comment, document in (
        ("delivery and sig are not signed", text(unsigned)),
        ("another attempt", text(bent(unsigned, {"delivery.attempt": 2}))),
        ("an empty sig", text(sound(sig=""))),
        ("members in reverse", text(dict(reversed(sound().items())))),
        ("white space", text(sound()).replace(b",", b", ")),
        ("other numbers' spelling", text(sound()).replace(b":1000,", b":1.000e3,")),
        ("an escaped value", text(sound()).replace(b"points/1", rb"\u0070oints\/1")),
    ):
        made.valid(comment, "SameRecord", body(document), **same)
    for comment, changes in AROUND.items():
        document = text(bent(sound(), changes))
        stated = {"content_digest": first["content_digest"]}
        made.valid(comment, "SameContent", body(document), **stated)
    for comment, changes in CONTENT.items():
        made.valid(comment, "OtherContent", body(text(named(bent(sound(), changes)))))
    return made
