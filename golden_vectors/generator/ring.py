"""The ring: which shard of a set a record belongs to."""

import hashlib
from collections.abc import Mapping
from typing import Final

from golden_vectors.generator.files import Note, VectorFile

NOTES: Final = {
    "Karger": Note(
        explanation="Of one shard every key is its own, wherever its point is.",
        source="Karger et al., Consistent hashing and random trees, STOC 1997: a single bucket has "
        "every item",
    ),
    "DefaultSet": Note(explanation="The four shards that init makes."),
    "Wrapped": Note(explanation="Past the highest point the lowest one owns the key."),
    "OnAPoint": Note(explanation="The key's point is a shard's own: that shard owns it."),
    "Tie": Note(
        explanation="Two shards have one point: the one whose name comes first in UTF-8 has it."
    ),
    "Weighted": Note(explanation="A shard has 150 virtual nodes for each unit of its weight."),
    "ShardMore": Note(explanation="What a shard more takes comes to it, and nothing else moves."),
    "Tenant": Note(explanation="Another tenant's record of the same id; and a tenant's own place."),
    "Refused": Note(explanation="No set of shards."),
}

DEFAULT: Final = {f"shard-{at}": 1 for at in range(4)}
# Found by looking: keys whose points are where the flags say.
PAST_THE_LAST: Final = "43bfac185bca9cb816499fa8c3da1e3f78f937c01c4eea1d82e14cef3f550754"
BEFORE_THE_FIRST: Final = "d5358ec522f20c55c089c1c659977c1528566c9c9428ae56f7c415d1158ecbf9"
ON_A_POINT: Final = "0eac45aadbb86974a8ce2ece1b36bf99e25fbe1d11a98797f9106e8c35d349ba"
BELOW_THE_TIE: Final = "baa1d10a4e38a30ec0653c8e2184e7f753dbf2ddb8363b0bd45dfbcf2216cb6d"


def ring_file() -> VectorFile:
    """Return the cases of ``ring.json``."""
    made = VectorFile(
        name="ring",
        algorithm="Consistent hashing of records over named and weighted shards, ring version 1",
        specification="specs/server.md, The ring",
        notes=NOTES,
    )

    def add(
        comment: str, flag: str, shards: Mapping[str, int], pcs_id: str, tenant: str = "acme"
    ) -> None:
        made.valid(comment, flag, given(shards, pcs_id, tenant))

    for at in range(3):
        add(f"one shard, key {at}", "Karger", {"only": 1}, some_id(at))
    for at in range(16):
        add(f"key {at}", "DefaultSet", DEFAULT, some_id(at))
    backwards = dict(reversed(DEFAULT.items()))
    add("the same set in another order", "DefaultSet", backwards, some_id(0))
    add("past the highest point", "Wrapped", {"east": 1, "west": 1}, PAST_THE_LAST)
    add("before the lowest point", "Wrapped", DEFAULT, BEFORE_THE_FIRST)
    add("on a point", "OnAPoint", dict.fromkeys("abcd", 16), ON_A_POINT)
    add("below the tie", "Tie", {"shard-16": 1, "shard-126": 1}, BELOW_THE_TIE)
    add("below the tie, the other way", "Tie", {"shard-126": 1, "shard-16": 1}, BELOW_THE_TIE)
    for at in range(8):
        add(f"key {at}", "Weighted", {"small": 1, "large": 3}, some_id(at))
        add(f"key {at}", "ShardMore", {**DEFAULT, "shard-4": 1}, some_id(at))
    for tenant in ("globex", "A_b.c:d-9", "t" * 64):
        add(f"tenant {tenant[:10]}", "Tenant", DEFAULT, some_id(0), tenant)
    add("no id", "Tenant", DEFAULT, "")
    for comment, shards, reason in (
        ("no shard", [], "no_shard"),
        ("one twice", [("a", 1), ("a", 1)], "shard_twice"),
        ("weight 0", [("a", 0)], "weight_out_of_range"),
        ("weight 17", [("a", 17)], "weight_out_of_range"),
    ):
        named = [{"name": name, "weight": weight} for name, weight in shards]
        refused = {"shards": named, "tenant": "acme", "pcs_id": some_id(0)}
        made.refused(comment, "Refused", refused, ("ring_refused", reason, "shards"))
    return made


def given(shards: Mapping[str, int], pcs_id: str, tenant: str) -> dict[str, object]:
    """Return a case's input."""
    named = [{"name": name, "weight": weight} for name, weight in shards.items()]
    return {"shards": named, "tenant": tenant, "pcs_id": pcs_id}


def some_id(at: int) -> str:
    """Return one of many ids."""
    return hashlib.sha256(b"%d" % at).hexdigest()
