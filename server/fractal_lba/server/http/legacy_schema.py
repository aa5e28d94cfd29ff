"""What a record of version 0.1 looks like, as JSON Schema 2020-12: as it is sent, and as kept."""

from typing import Final

from fractal_lba.protocol import legacy_record
from fractal_lba.protocol.canonical import SAFE_INTEGER_MAX
from fractal_lba.protocol.document import SCHEMA
from fractal_lba.server.http.record_schema import HASH, RECORD_MEMBERS, Schema, integer, number

_SAFE: Final = integer(-SAFE_INTEGER_MAX, SAFE_INTEGER_MAX)
_NUMBER: Final = number(-legacy_record.NUMBER_MAX, legacy_record.NUMBER_MAX)

LEGACY_STORED_MEMBERS: Final[dict[str, Schema]] = {
    "schema": {"const": SCHEMA},
    "version": {"const": legacy_record.LEGACY_VERSION},
    "pcs_id": HASH,
    "merkle_root": HASH,
    "epoch": integer(0, SAFE_INTEGER_MAX),
    "shard_id": {
        "type": "string",
        "pattern": r"^[^\u0000-\u001f\u007f]+$",
        "minLength": 1,
        "maxLength": legacy_record.SHARD_ID_BYTES_MAX,
    },
    "D_hat": _NUMBER,
    "coh_star": _NUMBER,
    "r": _NUMBER,
    "budget": _NUMBER,
    "sig": RECORD_MEMBERS["sig"],
}

LEGACY_MEMBERS: Final[dict[str, Schema]] = {
    **LEGACY_STORED_MEMBERS,
    "attempt": _SAFE,
    "sent_at": {"type": "string", "maxLength": legacy_record.SENT_AT_BYTES_MAX},
    "seed": _SAFE,
    "scales": {
        "type": "array",
        "items": integer(legacy_record.SCALE_MIN, legacy_record.SCALE_MAX),
        "minItems": legacy_record.SCALES_MIN,
        "maxItems": legacy_record.SCALES_MAX,
    },
    "N_j": {
        "type": "object",
        "patternProperties": {"^[1-9][0-9]{0,4}$": integer(1, SAFE_INTEGER_MAX)},
        "additionalProperties": False,
        "minProperties": legacy_record.SCALES_MIN,
        "maxProperties": legacy_record.SCALES_MAX,
    },
    "v_star": {
        "type": "array",
        "items": {"type": "number"},
        "minItems": 1,
        "maxItems": legacy_record.V_STAR_MAX,
    },
    "regime": RECORD_MEMBERS["regime"],
}

LEGACY_STORED_EXAMPLE: Final[Schema] = {
    "schema": SCHEMA,
    "version": legacy_record.LEGACY_VERSION,
    "pcs_id": "c50bb25a7aff94164147b73c846f0e5e10890d75df204875ca70c448f52c6edf",
    "merkle_root": "e966b52c992aefad3c3d0196db02554f30d10d55e8a6e5e3038f88e79e414112",
    "epoch": 1,
    "shard_id": "test-shard-001",
    "D_hat": 0.528320834,
    "coh_star": 0.066666667,
    "r": 0.318421053,
    "budget": 0.317807017,
    "sig": "x5KLRpKb75Oy1oxLA+3V+bgY/HL/3ZYOk1rw3pCiSm4=",
}

LEGACY_EXAMPLE: Final[Schema] = {
    **LEGACY_STORED_EXAMPLE,
    "attempt": 1,
    "sent_at": "2025-01-19T12:00:00Z",
    "seed": 42,
    "scales": [2, 4, 8, 16],
    "N_j": {"2": 5, "4": 10, "8": 13, "16": 15},
    "v_star": [0.6000020458127243, -0.16701530057610703, 0.7823703946303298],
    "regime": "mixed",
    "ft": {"outbox_seq": 0, "degraded": False, "fallbacks": [], "clock_skew_ms": 0},
}
