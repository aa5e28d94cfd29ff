"""One sound record to bend, and its spellings."""

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from fractal_lba.protocol import budget, d_hat, pcs_id, regime

# The Merkle root, epoch and stream of the first prototype's golden record, and the id it states.
LEGACY_ROOT: Final = "e966b52c992aefad3c3d0196db02554f30d10d55e8a6e5e3038f88e79e414112"
LEGACY_SHARD: Final = "test-shard-001"
LEGACY_PCS_ID: Final = "c50bb25a7aff94164147b73c846f0e5e10890d75df204875ca70c448f52c6edf"

Members = dict[str, Any]

ABSENT: Final = object()
"""What `bent` takes for a member to leave out."""


def sound(**changes: object) -> Members:
    """Return the members of a record nothing is wrong with, without the optional ones."""
    made: Members = {
        "schema": "fractal-lba-kakeya",
        "version": "1.0",
        "kid": "acme-2026-11",
        "pcs_id": LEGACY_PCS_ID,
        "merkle_root": LEGACY_ROOT,
        "epoch": 1,
        "shard_id": LEGACY_SHARD,
        "created_at": "2026-11-21T06:00:00.123Z",
        "profile": "points/1",
        "n": 1000,
        "d": 3,
        "seed": 42,
        "scales": [2, 4, 8, 16, 32],
        "N_j": {"2": 8, "4": 40, "8": 150, "16": 400, "32": 800},
        "D_hat": 1.660964047,
        "coh_star": 0.12,
        "r": 0.77,
        "budget": 0.193,
        "v_star": [0.6, 0.64, 0.48],
        "regime": "mixed",
        "ft": {"degraded": False, "fallbacks": [], "clock_skew_ms": 0},
    }
    return {**made, **changes}


def full(**changes: object) -> Members:
    """Return the members of a sound record with every optional one."""
    optional = {
        "meta": {"model": "demo", "run": 3, "warm": True},
        "delivery": {"attempt": 1, "sent_at": "2026-11-21T06:00:01.000Z", "outbox_seq": 7},
        "sig": base64.b64encode(bytes(32)).decode(),
    }
    return sound(**{**optional, **changes})


def named(members: Members) -> Members:
    """Return the members with the pcs_id that fits them."""
    made = pcs_id(members["merkle_root"], int(members["epoch"]), members["shard_id"])
    return {**members, "pcs_id": made}


def judged(n_j: Mapping[int, int], *, coh_star: float, r: float, **changes: object) -> Members:
    """Return the members of a sound record whose derived values follow from these."""
    slope = d_hat(n_j)
    derived: Members = {
        "n": 65_536,
        "scales": list(n_j),
        "N_j": {str(scale): cells for scale, cells in n_j.items()},
        "D_hat": slope,
        "coh_star": coh_star,
        "r": r,
        "regime": str(regime(slope, coh_star)),
        "budget": budget(slope, coh_star, r),
    }
    return sound(**{**derived, **changes})


def bent(members: Mapping[str, Any], changes: Mapping[str, object]) -> Members:
    """Return a deep copy in which the members at dotted paths are set, or left out."""
    copy: Members = json.loads(json.dumps(members))
    for path, value in changes.items():
        *parents, last = path.split(".")
        inner: Any = copy
        for parent in parents:
            inner = inner[int(parent)] if isinstance(inner, list) else inner[parent]
        if value is ABSENT:
            del inner[last]
        else:
            inner[int(last) if isinstance(inner, list) else last] = value
    return copy


def text(members: object) -> bytes:
    """Return compact JSON with the members in the order given."""
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


def body(document: bytes, trailing_spaces: int = 0) -> dict[str, object]:
    """Return a body as an input has it."""
    return {
        "body": base64.b64encode(document).decode(),
        "trailing_spaces": trailing_spaces,
    }
