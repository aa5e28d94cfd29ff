"""A record before its version is known: size, strict JSON, an object, and what it says it is.

Every version is read through here, so that a body is refused for the same fault whichever version
it claims.
"""

from collections.abc import Sequence
from typing import Final

from fractal_lba.protocol import structure
from fractal_lba.protocol.canonical import JsonValue
from fractal_lba.protocol.errors import Refusal, RefusalCode
from fractal_lba.protocol.strict_json import RECORD_DEPTH_MAX, parse_json
from fractal_lba.protocol.structure import MISSING

SCHEMA: Final = "fractal-lba-kakeya"

RECORD_BYTES_MAX: Final = 65_536
"""A body as sent; the longest canonical record needs less than half of it."""


def read_document(body: bytes) -> dict[str, JsonValue]:
    """Return the members of the one object a body holds.

    Raises:
        Refusal: ``too_large``, ``bad_encoding``, ``malformed_json``, or ``invalid_record``
            (``not_an_object``), in this order.
    """
    if len(body) > RECORD_BYTES_MAX:
        message = f"record: expected at most {RECORD_BYTES_MAX} bytes, got {len(body)}"
        raise Refusal(RefusalCode.TOO_LARGE, "record_too_large", message)
    value = parse_json(body, depth_max=RECORD_DEPTH_MAX)
    if not isinstance(value, dict):
        message = "record: expected an object, got another value"
        raise Refusal(RefusalCode.INVALID_RECORD, "not_an_object", message)
    return value


def require_version(document: dict[str, JsonValue], versions: Sequence[str]) -> str:
    """Return which of the versions a document says it has.

    Raises:
        Refusal: ``invalid_record`` where it says nothing, ``unsupported_version`` where another.
    """
    version: object = document.get("version", MISSING)
    if type(version) is not str:
        structure.refuse_type(version, "version", "a string")
    if version not in versions:
        message = f"version: expected {' or '.join(versions)}, got another"
        raise Refusal(
            RefusalCode.UNSUPPORTED_VERSION, "unsupported_version", message, member="version"
        )
    return version
