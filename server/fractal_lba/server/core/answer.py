"""Answers as values: a status, the exact body, and what stands in headers.

Problems follow RFC 9457. Their codes and statuses are the table of ``specs/pcs.md``; a problem
never holds a byte of the body it speaks of beyond the names and numbers of the record's own
members.
"""

import math
from enum import StrEnum
from functools import lru_cache

import msgspec

from fractal_lba.protocol.canonical import canonical
from fractal_lba.protocol.errors import Refusal, RefusalCode
from fractal_lba.protocol.strict_json import JsonValue
from fractal_lba.protocol.timestamps import format_timestamp

_NS_PER_MS = 1_000_000
_TIMES_CACHED = 256
"""Every line of a batch has one time of receipt."""


class ServerCode(StrEnum):
    """Codes of problems that concern the request and not the record in it."""

    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    TIMEOUT = "timeout"
    PCS_ID_CONFLICT = "pcs_id_conflict"
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXCEEDED = "quota_exceeded"
    OVERLOADED = "overloaded"
    DRAINING = "draining"
    STORAGE_UNAVAILABLE = "storage_unavailable"
    BAD_REQUEST = "bad_request"
    INTERNAL_ERROR = "internal_error"


STATUS_OF: dict[str, int] = {
    RefusalCode.TOO_LARGE: 413,
    RefusalCode.MALFORMED_JSON: 400,
    RefusalCode.BAD_ENCODING: 400,
    RefusalCode.INVALID_RECORD: 400,
    RefusalCode.PCS_ID_MISMATCH: 400,
    RefusalCode.UNSUPPORTED_VERSION: 400,
    RefusalCode.SIGNATURE_MISSING: 401,
    RefusalCode.SIGNATURE_INVALID: 401,
    RefusalCode.UNKNOWN_KEY: 401,
    RefusalCode.KEY_NOT_VALID_NOW: 401,
    RefusalCode.TENANT_MISMATCH: 403,
    RefusalCode.BEYOND_HORIZON: 410,
    RefusalCode.UNSIGNED_MEMBER_MISMATCH: 422,
    ServerCode.UNAUTHENTICATED: 401,
    ServerCode.FORBIDDEN: 403,
    ServerCode.NOT_FOUND: 404,
    ServerCode.METHOD_NOT_ALLOWED: 405,
    ServerCode.TIMEOUT: 408,
    ServerCode.PCS_ID_CONFLICT: 409,
    ServerCode.TOO_LARGE: 413,
    ServerCode.UNSUPPORTED_MEDIA_TYPE: 415,
    ServerCode.RATE_LIMITED: 429,
    ServerCode.QUOTA_EXCEEDED: 429,
    ServerCode.OVERLOADED: 503,
    ServerCode.DRAINING: 503,
    ServerCode.STORAGE_UNAVAILABLE: 503,
    ServerCode.BAD_REQUEST: 400,
    ServerCode.INTERNAL_ERROR: 500,
}
"""The status of each code, whichever call it answers."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What the caller gets.

    ``code`` is the problem's, ``None`` for a decision; ``received_ns`` is when the answered record
    was first received; ``retry_after_s`` goes with 429 and 503.
    """

    status: int
    body: bytes
    code: str | None = None
    is_replayed: bool = False
    received_ns: int | None = None
    retry_after_s: float | None = None

    @property
    def is_final(self) -> bool:
        """Whether sending the same bytes again cannot end otherwise."""
        return self.status not in {408, 429, 503, 500}


def problem(
    code: RefusalCode | ServerCode,
    detail: str,
    *,
    retry_after_s: float | None = None,
    members: dict[str, JsonValue] | None = None,
) -> Answer:
    """Return an RFC 9457 problem.

    Args:
        code: Stable; names the type as well.
        detail: One sentence, ``where: expected X, got Y``.
        retry_after_s: Seconds, for 429 and 503.
        members: Extension members, such as ``member`` and ``reason``.
    """
    status = STATUS_OF[code]
    body: dict[str, JsonValue] = {
        **(members or {}),
        "type": f"urn:fractal-lba:problem:{code}",
        "title": code.replace("_", " "),
        "status": status,
        "code": str(code),
        "detail": detail,
    }
    return Answer(status=status, body=canonical(body), code=str(code), retry_after_s=retry_after_s)


def named(body: bytes, request_id: str) -> bytes:
    """Return a problem's body with the request it answers as its member ``request_id``.

    A problem is made before anyone knows how the request is called; a decision's body never names
    one, since a repeat gets the same bytes.
    """
    members: dict[str, JsonValue] = msgspec.json.decode(body)
    return canonical({**members, "request_id": request_id})


def refused(refusal: Refusal) -> Answer:
    """Return the problem of a record's refusal, with its reason and member."""
    members: dict[str, JsonValue] = {"reason": refusal.reason}
    if refusal.member is not None:
        members["member"] = refusal.member
    return problem(refusal.code, str(refusal), members=members)


def body_too_large(bytes_max: int) -> Answer:
    """Return the 413 of a body, or of a batch's line, that is longer than it may be."""
    return problem(ServerCode.TOO_LARGE, f"body: expected at most {bytes_max} bytes, got more")


def conflicting(
    *, pcs_id: str, first_content_digest: str, content_digest: str, first_received_ns: int
) -> Answer:
    """Return the 409 of another content under a decided id."""
    return problem(
        ServerCode.PCS_ID_CONFLICT,
        "pcs_id: expected the content that was decided first, got another",
        members={
            "pcs_id": pcs_id,
            "first_content_digest": first_content_digest,
            "content_digest": content_digest,
            "first_received_at": timestamp(first_received_ns),
        },
    )


def whole_seconds(seconds: float) -> int:
    """Write a wait as the wire does: whole seconds, at least one, never too short."""
    return max(1, math.ceil(seconds))


@lru_cache(maxsize=_TIMES_CACHED)
def timestamp(ns: int) -> str:
    """Write nanoseconds since 1970 as the wire writes times, cut to milliseconds."""
    return format_timestamp(ns // _NS_PER_MS)
