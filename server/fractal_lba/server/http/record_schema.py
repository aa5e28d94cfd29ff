"""What a record looks like, as JSON Schema 2020-12.

Bounds come from the code that checks them. What a schema cannot say (that ``pcs_id`` is a hash of
other members, that a signature verifies) stands in ``specs/pcs.md``; a body that is valid here may
still be refused, a body that is not is never accepted.
"""

from typing import Any, Final

from fractal_lba.protocol import record
from fractal_lba.protocol.canonical import SAFE_INTEGER_MAX
from fractal_lba.protocol.derive import Regime
from fractal_lba.protocol.document import SCHEMA
from fractal_lba.protocol.record import Profile

Schema = dict[str, Any]

_TIMESTAMP_PATTERN: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"
EXAMPLE_TIME: Final = "2026-11-21T06:00:00.000Z"

HASH: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
TIMESTAMP: Final[Schema] = {"type": "string", "pattern": _TIMESTAMP_PATTERN}
NAME: Final[Schema] = {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}


def integer(low: int, high: int) -> Schema:
    """Return an integer from ``low`` to ``high``, both inclusive."""
    return {"type": "integer", "minimum": low, "maximum": high}


def number(low: float, high: float) -> Schema:
    """Return a number from ``low`` to ``high``, both inclusive."""
    return {"type": "number", "minimum": low, "maximum": high}


def object_of(members: dict[str, Schema], *, optional: frozenset[str] = frozenset()) -> Schema:
    """Return an object of exactly these members."""
    return {
        "type": "object",
        "properties": members,
        "required": [name for name in members if name not in optional],
        "additionalProperties": False,
    }


_SAFE: Final = integer(-SAFE_INTEGER_MAX, SAFE_INTEGER_MAX)

RECORD_MEMBERS: Final[dict[str, Schema]] = {
    "schema": {"const": SCHEMA},
    "version": {"const": record.VERSION},
    "kid": NAME,
    "pcs_id": HASH,
    "merkle_root": HASH,
    "epoch": integer(0, SAFE_INTEGER_MAX),
    "shard_id": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"},
    "created_at": TIMESTAMP,
    "profile": {"enum": [profile.value for profile in Profile]},
    "n": integer(record.ROWS_MIN, record.ROWS_MAX),
    "d": integer(1, record.COLUMNS_MAX),
    "seed": integer(0, SAFE_INTEGER_MAX),
    "scales": {
        "type": "array",
        "items": integer(record.SCALE_MIN, record.SCALE_MAX),
        "minItems": record.SCALES_MIN,
        "maxItems": record.SCALES_MAX,
    },
    "N_j": {
        "type": "object",
        "patternProperties": {"^[1-9][0-9]{0,3}$": integer(1, record.ROWS_MAX)},
        "additionalProperties": False,
        "minProperties": record.SCALES_MIN,
        "maxProperties": record.SCALES_MAX,
    },
    "D_hat": number(-16, 16),
    "coh_star": number(0.05, 1),
    "r": number(0, 1),
    "budget": number(0, 1),
    "v_star": {"type": "array", "items": number(-1, 1), "minItems": 3, "maxItems": 3},
    "regime": {"enum": [regime.value for regime in Regime]},
    "ft": object_of(
        {
            "degraded": {"type": "boolean"},
            "fallbacks": {
                "type": "array",
                "items": {"type": "string", "maxLength": 64},
                "maxItems": 8,
            },
            "clock_skew_ms": _SAFE,
        }
    ),
    "meta": {
        "type": "object",
        "patternProperties": {
            "^[a-z0-9_.]{1,64}$": {
                "anyOf": [{"type": "string", "maxLength": 256}, _SAFE, {"type": "boolean"}]
            }
        },
        "additionalProperties": False,
        "maxProperties": 16,
    },
    "delivery": object_of(
        {
            "attempt": integer(1, SAFE_INTEGER_MAX),
            "sent_at": TIMESTAMP,
            "outbox_seq": integer(1, SAFE_INTEGER_MAX),
        }
    ),
    "sig": {"type": "string", "pattern": "^([A-Za-z0-9+/]{4}){0,22}([A-Za-z0-9+/=]{4})?$"},
}

RECORD_EXAMPLE: Final[Schema] = {
    "schema": SCHEMA,
    "version": record.VERSION,
    "kid": "acme-1",
    "pcs_id": "975643af2d8a2766abda6220cf773aebc026f4b9add23f62fbad5de4adbd4b22",
    "merkle_root": "9c56cc51b374c3ba189210d5b6d4bf57790d351c96c47c02190ecf1e430635ab",
    "epoch": 17,
    "shard_id": "press-7",
    "created_at": EXAMPLE_TIME,
    "profile": "points/1",
    "n": 64,
    "d": 3,
    "seed": 42,
    "scales": [2, 4, 8, 16, 32],
    "N_j": {"2": 4, "4": 8, "8": 16, "16": 30, "32": 60},
    "D_hat": 0.984962501,
    "coh_star": 0.25,
    "r": 0.5,
    "budget": 0.3,
    "v_star": [0.0, 0.6, 0.8],
    "regime": "mixed",
    "ft": {"degraded": False, "fallbacks": [], "clock_skew_ms": 0},
    "meta": {"model": "press-model", "task": "wear"},
    "delivery": {"attempt": 1, "sent_at": EXAMPLE_TIME, "outbox_seq": 18},
    "sig": "A" * 43 + "=",
}

STORED_MEMBERS: Final = {name: each for name, each in RECORD_MEMBERS.items() if name != "delivery"}
STORED_EXAMPLE: Final = {name: each for name, each in RECORD_EXAMPLE.items() if name != "delivery"}
