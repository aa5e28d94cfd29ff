"""What is set in a record of version 0.1, and what must come of it."""

# ruff: noqa: E501 - a case on a line reads as the table it is

from typing import Final

from golden_vectors.generator.bodies import ABSENT
from golden_vectors.generator.files import Refusal
from golden_vectors.generator.records_tables import SAFE, zeros

# The members in the order of the table, the version, which is checked first, left out.
ORDER: Final = [
    "pcs_id",
    "schema",
    "shard_id",
    "epoch",
    "attempt",
    "sent_at",
    "seed",
    "scales",
    "N_j",
    "coh_star",
    "v_star",
    "D_hat",
    "r",
    "regime",
    "budget",
    "merkle_root",
    "sig",
]

# Of what is not signed; each: a comment, the flag, the changes. The record stays what it was.
UNSIGNED: Final[tuple[tuple[str, str, dict[str, object]], ...]] = (
    ("attempt and sent_at of a retry", "Unsigned", {"attempt": 9, "sent_at": "2025-01-20T12:00:00Z"}),
    ("sent_at is no time", "Unsigned", {"sent_at": "yesterday"}),
    ("another seed", "Unsigned", {"seed": 7}),
    ("no ft", "Unsigned", {"ft": ABSENT}),
    ("ft of null", "Unsigned", {"ft": None}),
    ("ft degraded", "Unsigned", {"ft.degraded": True, "ft.fallbacks": ["lost column"]}),
    ("unknown members", "Unsigned", {"kid": "old-9", "host": {"name": "a", "pid": 7}, "": None}),
    ("the members of version 1.0", "Unsigned", {"profile": "points/1", "n": 1, "created_at": 0}),
    ("another direction", "Unsigned", {"v_star": [1, 0, 0]}),
    ("other cells with the same slope", "Unsigned", {"N_j": {"2": 1, "4": 2, "8": 4, "16": 8}}),
    ("other scales with the same slope", "Unsigned", {"scales": [3, 48], "N_j": {"3": 1, "48": 16}}),
    ("attempt -(2^53-1)", "Bound", {"attempt": -SAFE}),
    ("sent_at empty", "Bound", {"sent_at": ""}),
    ("sent_at of 64 bytes", "Bound", {"sent_at": "\u00e9" * 32}),
    ("seed 2^53-1", "Bound", {"seed": SAFE}),
    ("scales next to each other", "Bound", {"scales": [2, 3], "N_j": {"2": 2, "3": 3}}),
    ("a scale of 65,536", "Bound", {"scales": [2, 65_536], "N_j": {"2": 1, "65536": 32_768}}),
    ("16 scales", "Bound", {"scales": [2**k for k in range(1, 17)], "N_j": {str(2**k): 2**k for k in range(1, 17)}}),
    ("v_star of one number", "Bound", {"v_star": [-1e300]}),
    ("v_star of zeros", "Bound", {"v_star": [0, 0, 0]}),
)  # fmt: skip

# Each: a comment, the flag, the path, the value set there, the reason and the member named.
REFUSED: Final[tuple[tuple[str, str, str, object, tuple[str, str]], ...]] = (
    ("pcs_id in upper case", "Format", "pcs_id", "A" * 64, ("wrong_format", "pcs_id")),
    ("another schema", "Format", "schema", "fractal-lba", ("wrong_value", "schema")),
    ("an empty shard_id", "PastBound", "shard_id", "", ("wrong_format", "shard_id")),
    ("shard_id of 129", "PastBound", "shard_id", "s" * 129, ("too_long", "shard_id")),
    ("shard_id of 65 letters, 130 bytes", "PastBound", "shard_id", "\u00fc" * 65, ("too_long", "shard_id")),
    ("shard_id with a line end", "Format", "shard_id", "a\n", ("wrong_format", "shard_id")),
    ("shard_id with U+001F", "Format", "shard_id", "\x1f", ("wrong_format", "shard_id")),
    ("shard_id with U+007F", "Format", "shard_id", "a\x7fb", ("wrong_format", "shard_id")),
    ("shard_id as a number", "Type", "shard_id", 1, ("wrong_type", "shard_id")),
    ("epoch -1", "PastBound", "epoch", -1, ("out_of_range", "epoch")),
    ("epoch 2^53", "PastBound", "epoch", SAFE + 1, ("not_an_integer", "epoch")),
    ("epoch 1.5", "Type", "epoch", 1.5, ("not_an_integer", "epoch")),
    ("epoch true", "Type", "epoch", True, ("wrong_type", "epoch")),
    ("attempt 2^53", "PastBound", "attempt", SAFE + 1, ("not_an_integer", "attempt")),
    ("attempt 0.5", "Type", "attempt", 0.5, ("not_an_integer", "attempt")),
    ("sent_at of 65 bytes", "PastBound", "sent_at", "2" * 65, ("too_long", "sent_at")),
    ("sent_at as a number", "Type", "sent_at", 1737288000, ("wrong_type", "sent_at")),
    ("seed 2^53", "PastBound", "seed", SAFE + 1, ("not_an_integer", "seed")),
    ("one scale", "PastBound", "scales", [2], ("wrong_count", "scales")),
    ("17 scales", "PastBound", "scales", list(range(2, 19)), ("wrong_count", "scales")),
    ("a scale of 1", "PastBound", "scales", [1, 2], ("out_of_range", "scales.0")),
    ("a scale of 65,537", "PastBound", "scales", [2, 65_537], ("out_of_range", "scales.1")),
    ("a scale twice", "PastBound", "scales", [2, 2], ("out_of_range", "scales.1")),
    ("scales descending", "PastBound", "scales", [4, 2], ("out_of_range", "scales.1")),
    ("a scale as a string", "Type", "scales", [2, "4"], ("wrong_type", "scales.1")),
    ("N_j of 0", "PastBound", "N_j.4", 0, ("out_of_range", "N_j.4")),
    ("N_j of 2^53", "PastBound", "N_j.4", SAFE + 1, ("not_an_integer", "N_j.4")),
    ("N_j lacks a scale", "Missing", "N_j.8", ABSENT, ("missing", "N_j.8")),
    ("N_j with another scale", "Format", "N_j.3", 3, ("unknown_member", "N_j.3")),
    ("N_j with a leading zero", "Format", "N_j.02", 2, ("unknown_member", "N_j.02")),
    ("N_j as an array", "Type", "N_j", [2, 4, 8, 16], ("wrong_type", "N_j")),
    ("coh_star above a million", "PastBound", "coh_star", 1000000.0000000001, ("out_of_range", "coh_star")),
    ("coh_star as a string", "Type", "coh_star", "0.25", ("wrong_type", "coh_star")),
    ("v_star of no number", "PastBound", "v_star", [], ("wrong_count", "v_star")),
    ("v_star of 4,097 numbers", "PastBound", "v_star", [0] * 4_097, ("wrong_count", "v_star")),
    ("v_star with a null", "Type", "v_star", [0, None], ("wrong_type", "v_star.1")),
    ("D_hat below minus a million", "PastBound", "D_hat", -1000000.0000000001, ("out_of_range", "D_hat")),
    ("r above a million", "PastBound", "r", 1e300, ("out_of_range", "r")),
    ("r false", "Type", "r", False, ("wrong_type", "r")),
    ("another regime", "Format", "regime", "Mixed", ("wrong_value", "regime")),
    ("budget above a million", "PastBound", "budget", 1000001, ("out_of_range", "budget")),
    ("root with a g", "Format", "merkle_root", "g" * 64, ("wrong_format", "merkle_root")),
    ("sig of 31 bytes", "PastBound", "sig", zeros(31), ("wrong_length", "sig")),
    ("sig of 33 bytes", "PastBound", "sig", zeros(33), ("wrong_length", "sig")),
    ("sig without padding", "Format", "sig", zeros(32)[:-1], ("not_base64", "sig")),
    ("sig with pad bits", "Format", "sig", "A" * 42 + "B=", ("not_base64", "sig")),
    ("sig in hexadecimal", "Format", "sig", "0" * 63, ("not_base64", "sig")),
    ("sig as a number", "Type", "sig", 0, ("wrong_type", "sig")),
)  # fmt: skip

# A wrong value for each member: (value, reason, member named).
WRONG: Final[dict[str, tuple[object, str, str]]] = {
    "pcs_id": ("x", "wrong_format", "pcs_id"),
    "schema": ("x", "wrong_value", "schema"),
    "shard_id": ("", "wrong_format", "shard_id"),
    "epoch": (-1, "out_of_range", "epoch"),
    "attempt": (None, "wrong_type", "attempt"),
    "sent_at": (0, "wrong_type", "sent_at"),
    "seed": (0.5, "not_an_integer", "seed"),
    "scales": ([4, 2], "out_of_range", "scales.1"),
    "N_j": ({"2": 1}, "missing", "N_j.4"),
    "coh_star": (1e9, "out_of_range", "coh_star"),
    "v_star": ([], "wrong_count", "v_star"),
    "D_hat": ("1", "wrong_type", "D_hat"),
    "r": (True, "wrong_type", "r"),
    "regime": ("", "wrong_value", "regime"),
    "budget": (1e9, "out_of_range", "budget"),
    "merkle_root": ("x", "wrong_format", "merkle_root"),
    "sig": ("*", "not_base64", "sig"),
}

# Of copies; each: what is set, the reason and the member at fault.
SPOILED: Final[tuple[tuple[str, dict[str, object], tuple[str, str]], ...]] = (
    ("fewer cells", {"N_j.8": 4, "N_j.16": 4}, ("d_hat_mismatch", "N_j")),
    ("more cells than a cube has", {"N_j": {"2": 16, "4": 32, "8": 64, "16": 128}}, ("n_j_inconsistent", "N_j")),
    ("cells that fall", {"N_j": {"2": 4, "4": 3, "8": 12, "16": 24}}, ("n_j_inconsistent", "N_j")),
    ("another regime", {"regime": "sticky"}, ("regime_mismatch", "regime")),
    ("cells at fault in both ways", {"N_j": {"2": 9, "4": 9, "8": 9, "16": 9}}, ("d_hat_mismatch", "N_j")),
    ("cells and regime", {"N_j": {"2": 16, "4": 32, "8": 64, "16": 128}, "regime": "non_sticky"}, ("n_j_inconsistent", "N_j")),
)  # fmt: skip

# (comment, what is set, the refusal): the order of the steps, and inside a member.
TWICE: Final[tuple[tuple[str, dict[str, object], Refusal], ...]] = (
    ("another version and no schema", {"version": "0.2", "schema": ABSENT}, ("unsupported_version", "unsupported_version", "version")),
    ("version no string and another id", {"version": 0.1, "epoch": 2}, ("invalid_record", "wrong_type", "version")),
    ("a wrong sig and another id", {"sig": "*", "epoch": 2}, ("invalid_record", "not_base64", "sig")),
    ("another id and a wrong regime's name", {"epoch": 2, "regime": ""}, ("invalid_record", "wrong_value", "regime")),
    ("another id and no sig", {"epoch": 2, "sig": ABSENT}, ("pcs_id_mismatch", "pcs_id_mismatch", "pcs_id")),
    ("another id and a regime that differs", {"epoch": 2, "regime": "sticky"}, ("pcs_id_mismatch", "pcs_id_mismatch", "pcs_id")),
    ("no sig and a regime that differs", {"sig": ABSENT, "regime": "sticky"}, ("signature_missing", "signature_missing", "sig")),
    ("another budget and a regime that differs", {"budget": 0.5, "regime": "sticky"}, ("signature_invalid", "signature_mismatch", "sig")),
    ("shard_id too long, with a line end", {"shard_id": "\n" * 129}, ("invalid_record", "too_long", "shard_id")),
    ("too many scales, the first of them 1", {"scales": list(range(1, 18))}, ("invalid_record", "wrong_count", "scales")),
    ("N_j lacks a scale and has another", {"N_j": {"3": 1}}, ("invalid_record", "missing", "N_j.2")),
    ("N_j wrong at 16 and at 4", {"N_j.16": 0, "N_j.4": "1"}, ("invalid_record", "wrong_type", "N_j.4")),
    ("an unknown member and a wrong one", {"note": 1, "r": None}, ("invalid_record", "wrong_type", "r")),
)  # fmt: skip
