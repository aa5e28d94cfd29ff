"""What bodies look like, as JSON Schema 2020-12: answers and problems, and the record in them."""

from typing import Final

from fractal_lba.protocol.canonical import SAFE_INTEGER_MAX
from fractal_lba.protocol.errors import RefusalCode
from fractal_lba.protocol.judge import Reason
from fractal_lba.server.core.answer import ServerCode
from fractal_lba.server.core.listing import OUTCOMES
from fractal_lba.server.http.legacy_schema import (
    LEGACY_EXAMPLE,
    LEGACY_MEMBERS,
    LEGACY_STORED_EXAMPLE,
    LEGACY_STORED_MEMBERS,
)
from fractal_lba.server.http.record_schema import (
    EXAMPLE_TIME,
    HASH,
    NAME,
    RECORD_EXAMPLE,
    RECORD_MEMBERS,
    STORED_EXAMPLE,
    STORED_MEMBERS,
    TIMESTAMP,
    Schema,
    integer,
    object_of,
)
from fractal_lba.server.http.resolve import NOTE_BYTES_MAX

_EXAMPLE_ID: Final = "4f1a" * 16
_EXAMPLE_WHO: Final = "token:0123456789abcdef"
NOTE: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": NOTE_BYTES_MAX}
WHO: Final[Schema] = {"type": "string", "minLength": 1}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_CURSOR: Final[Schema] = {"type": "string", "minLength": 1}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_GROWTH: Final = object_of(
    {
        "data_bytes": {"type": "integer", "minimum": 0},
        "room_bytes": {"type": "integer", "minimum": 0},
        "bytes_per_second": {"type": "integer"},
        "full_in_seconds": {"type": ["integer", "null"], "minimum": 0},
        "index_bytes": {"type": "integer", "minimum": 0},
        "index_bytes_per_second": {"type": "integer"},
        "index_bytes_in_a_day": {"type": "integer", "minimum": 0},
    }
)

_ROW: Final[dict[str, Schema]] = {
    "pcs_id": HASH,
    "shard_id": {"type": "string", "minLength": 1},
    "epoch": RECORD_MEMBERS["epoch"],
    "version": {"type": "string"},
    "ledger": {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$"},
    "number": COUNT,
    "status": {"enum": sorted(OUTCOMES)},
    "outcome": {"enum": sorted(OUTCOMES.values())},
    "regime": {"type": "string"},
    "received_at": TIMESTAMP,
    "conflicts": COUNT,
    "resolutions": COUNT,
}

_ROW_EXAMPLE: Final[Schema] = {
    "pcs_id": _EXAMPLE_ID,
    "shard_id": "press-7",
    "epoch": 17,
    "version": "1.0",
    "ledger": "shard-0",
    "number": 4,
    "status": 202,
    "outcome": "escalated",
    "regime": "mixed",
    "received_at": EXAMPLE_TIME,
    "conflicts": 0,
    "resolutions": 0,
}

_DECISION_EXAMPLE: Final[Schema] = {
    "pcs_id": _EXAMPLE_ID,
    "record_digest": "0b" * 32,
    "accepted": True,
    "escalated": False,
    "reasons": [],
    "recomputed_D_hat": 0.984962501,
    "recomputed_budget": 0.3,
    "params_version": "1",
}

_REMEMBERED: Final[dict[str, Schema]] = {
    "record": {"anyOf": [_ref("StoredRecord"), _ref("StoredLegacyRecord")]},
    "outcome": _ref("Decision"),
    "received_at": TIMESTAMP,
    "tier": {"enum": ["warm"]},
    "conflicts": {
        "type": "array",
        "items": object_of({"content_digest": HASH, "received_at": TIMESTAMP}),
    },
    "resolutions": {
        "type": "array",
        "items": object_of({"note": NOTE, "who": WHO, "at": TIMESTAMP}),
    },
}
_REMEMBERED_EXAMPLE: Final = {
    "record": STORED_EXAMPLE,
    "outcome": _DECISION_EXAMPLE,
    "received_at": EXAMPLE_TIME,
    "tier": "warm",
    "conflicts": [{"content_digest": "1c" * 32, "received_at": EXAMPLE_TIME}],
    "resolutions": [{"note": "belt replaced", "who": _EXAMPLE_WHO, "at": EXAMPLE_TIME}],
}
_PROBLEM_EXAMPLE: Final = {
    "type": "urn:fractal-lba:problem:unknown_key",
    "title": "unknown key",
    "status": 401,
    "code": "unknown_key",
    "detail": "kid: expected a key of this server, got another",
    "reason": "unknown_key",
    "member": "kid",
    "request_id": "7d1f0e5c3b2a49688f7e6d5c4b3a2910",
}


def schemas() -> dict[str, Schema]:
    """Return every named schema with an example that is valid by it."""
    return {
        "Record": {
            **object_of(RECORD_MEMBERS, optional=frozenset({"meta", "delivery", "sig"})),
            "description": "A record of version 1.0 as it is sent (specs/pcs.md).",
            "examples": [RECORD_EXAMPLE],
        },
        "StoredRecord": {
            **object_of(STORED_MEMBERS, optional=frozenset({"meta"})),
            "description": "A decided record as it is kept: with `sig`, without `delivery`.",
            "examples": [STORED_EXAMPLE],
        },
        "LegacyRecord": {
            **object_of(LEGACY_MEMBERS, optional=frozenset({"sig"})),
            # Old agents send more; it is ignored.
            "additionalProperties": True,
            "description": "A record of version 0.1, which old agents send (specs/pcs.md).",
            "examples": [LEGACY_EXAMPLE],
        },
        "StoredLegacyRecord": {
            **object_of(LEGACY_STORED_MEMBERS),
            "description": "A decided record of version 0.1 as it is kept: what was signed.",
            "examples": [LEGACY_STORED_EXAMPLE],
        },
        "Decision": {
            **object_of(
                {
                    "pcs_id": HASH,
                    "record_digest": HASH,
                    "accepted": {"type": "boolean"},
                    "escalated": {"type": "boolean"},
                    "reasons": {
                        "type": "array",
                        "items": {"enum": [reason.value for reason in Reason]},
                        "uniqueItems": True,
                    },
                    # Null of version 0.1: it would depend on what is not signed.
                    "recomputed_D_hat": {"type": ["number", "null"]},
                    "recomputed_budget": {"type": "number"},
                    "params_version": {"type": "string"},
                }
            ),
            "description": "What was decided; the same bytes for every repeat.",
            "examples": [_DECISION_EXAMPLE],
        },
        "Remembered": {
            **object_of(_REMEMBERED),
            "description": "One record with its outcome and what else came under its id.",
            "examples": [_REMEMBERED_EXAMPLE],
        },
        "ExportLine": _export_line(),
        "BatchLine": _batch_line(),
        "Page": {
            **object_of(
                {
                    "records": {"type": "array", "items": object_of(_ROW)},
                    "next": {"type": ["string", "null"]},
                }
            ),
            "description": "A page of a listing; it is over when `next` is null.",
            "examples": [{"records": [_ROW_EXAMPLE], "next": None}],
        },
        "Note": {
            **object_of({"note": NOTE}),
            "description": "What an operator found.",
            "examples": [{"note": "belt replaced"}],
        },
        "Resolved": {
            **object_of({"pcs_id": HASH, "who": WHO, "at": TIMESTAMP, "resolutions": COUNT}),
            "description": "The resolution as it was appended, and how many there are now.",
            "examples": [
                {
                    "pcs_id": _EXAMPLE_ID,
                    "who": _EXAMPLE_WHO,
                    "at": EXAMPLE_TIME,
                    "resolutions": 1,
                }
            ],
        },
        "Readiness": {
            **object_of(
                {
                    "ready": {"type": "boolean"},
                    "reasons": {"type": "array", "items": {"type": "string"}},
                    "growth": {"anyOf": [_GROWTH, {"type": "null"}]},
                }
            ),
            "description": "Whether everything can be served, what can not, and how the data folder"
            " and its indexes grow: bytes, averaged over about ten minutes; null where the folder"
            " could not be measured.",
            "examples": [
                {
                    "ready": False,
                    "reasons": ["draining"],
                    "growth": {
                        "data_bytes": 734_003_200,
                        "room_bytes": 52_613_349_376,
                        "bytes_per_second": 41_500,
                        "full_in_seconds": 1_267_791,
                        "index_bytes": 96_468_992,
                        "index_bytes_per_second": 5_200,
                        "index_bytes_in_a_day": 545_748_992,
                    },
                }
            ],
        },
        "Problem": _problem(),
    }


def _export_line() -> Schema:
    whole = object_of({"pcs_id": HASH, **_REMEMBERED, "cursor": _CURSOR})
    damaged = object_of(
        {
            "pcs_id": HASH,
            "code": {"const": ServerCode.STORAGE_UNAVAILABLE.value},
            "cursor": _CURSOR,
        }
    )
    cursor = {"cursor": "AAAA"}
    return {
        "anyOf": [whole, damaged],
        "description": "A line of an export; `code` in place of a record whose bytes are damaged.",
        "examples": [
            {"pcs_id": _EXAMPLE_ID, **_REMEMBERED_EXAMPLE, **cursor},
            {"pcs_id": _EXAMPLE_ID, "code": ServerCode.STORAGE_UNAVAILABLE.value, **cursor},
        ],
    }


def _batch_line() -> Schema:
    # What submit says in headers.
    decided = {
        "status": {"enum": sorted(OUTCOMES)},
        "body": _ref("Decision"),
        "replayed": {"const": True},
        "received_at": TIMESTAMP,
    }
    refused = {
        "status": integer(400, 599),
        "body": _ref("Problem"),
        "retry_after": integer(1, SAFE_INTEGER_MAX),
    }
    return {
        "anyOf": [
            object_of(decided, optional=frozenset({"replayed"})),
            object_of(refused, optional=frozenset({"retry_after"})),
        ],
        "description": "The answer to one line of a batch: what `submit` would give.",
        "examples": [
            {"status": 200, "body": _DECISION_EXAMPLE, "received_at": EXAMPLE_TIME},
            {"status": 401, "body": _PROBLEM_EXAMPLE},
        ],
    }


def _problem() -> Schema:
    members: dict[str, Schema] = {
        "type": {"type": "string", "pattern": "^urn:fractal-lba:problem:[a-z_]+$"},
        "title": {"type": "string"},
        "status": integer(400, 599),
        "code": {"enum": sorted({code.value for code in (*ServerCode, *RefusalCode)})},
        "detail": {"type": "string"},
        "request_id": NAME,
        "reason": {"type": "string", "pattern": "^[a-z0-9_]+$"},
        "member": {"type": "string"},
        "pcs_id": HASH,
        "first_content_digest": HASH,
        "content_digest": HASH,
        "first_received_at": TIMESTAMP,
    }
    optional = frozenset(list(members)[6:])
    return {
        **object_of(members, optional=optional),
        "description": "RFC 9457; `code` and `reason` are stable, `detail` is for people.",
        "examples": [_PROBLEM_EXAMPLE],
    }
