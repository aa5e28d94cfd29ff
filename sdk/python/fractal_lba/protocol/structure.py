"""Checks on one member: a parsed value in, a typed value out, or the refusal that names it.

Every check has its own reason, so that (reason, member) says which rule was broken; the value
itself never appears in a message.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, NoReturn, TypeAlias

from fractal_lba.protocol.canonical import SAFE_INTEGER_MAX
from fractal_lba.protocol.errors import ContractError, Refusal, RefusalCode
from fractal_lba.protocol.strict_base64 import decode_base64
from fractal_lba.protocol.timestamps import parse_timestamp

Value: TypeAlias = object
"""What a member holds after parsing, or `MISSING`."""

MISSING: Final = object()

HASH: Final = re.compile(r"[0-9a-f]{64}")
SIGNATURE_BYTES: Final = (32, 64)

_TAME_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

_TYPE_NAMES: Final = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def refuse(reason: str, member: str, expected: str, got: str) -> NoReturn:
    """Raise the refusal of one member."""
    message = f"{member}: expected {expected}, got {got}"
    raise Refusal(RefusalCode.INVALID_RECORD, reason, message, member=member)


def refuse_type(value: Value, member: str, expected: str) -> NoReturn:
    """Raise the refusal of a member that is absent (``missing``) or of another ``wrong_type``."""
    if value is MISSING:
        refuse("missing", member, expected, "nothing")
    refuse("wrong_type", member, expected, _TYPE_NAMES[type(value)])


def require_integer(value: Value, member: str, least: int, most: int) -> int:
    """Return an integer in a range; parsing has made every double that is a safe integer one."""
    if type(value) is not int:
        if type(value) is float:
            refuse("not_an_integer", member, "an integer within ±(2^53−1)", "another number")
        refuse_type(value, member, "an integer")
    if not least <= value <= most:
        refuse("out_of_range", member, f"{least} … {most}", "an integer outside")
    return value


def require_safe_integer(value: Value, member: str) -> int:
    """Return any integer a double holds exactly."""
    return require_integer(value, member, -SAFE_INTEGER_MAX, SAFE_INTEGER_MAX)


def require_number(value: Value, member: str, least: float, most: float) -> float:
    """Return a number in a range."""
    if type(value) is not float and type(value) is not int:
        refuse_type(value, member, "a number")
    if not least <= value <= most:
        refuse("out_of_range", member, f"{least:g} … {most:g}", "a number outside")
    return float(value)


def require_boolean(value: Value, member: str) -> bool:
    """Return true or false."""
    if type(value) is not bool:
        refuse_type(value, member, "true or false")
    return value


def require_text(value: Value, member: str, bytes_max: int) -> str:
    """Return a string of at most ``bytes_max`` bytes of UTF-8."""
    if type(value) is not str:
        refuse_type(value, member, "a string")
    if len(value.encode()) > bytes_max:
        refuse("too_long", member, f"at most {bytes_max} bytes of UTF-8", "more")
    return value


def require_match(value: Value, member: str, pattern: re.Pattern[str]) -> str:
    """Return a string that matches a pattern as a whole."""
    if type(value) is not str:
        refuse_type(value, member, "a string")
    if pattern.fullmatch(value) is None:
        refuse("wrong_format", member, f"a match of {pattern.pattern}", "another text")
    return value


def require_one_of(value: Value, member: str, choices: Iterable[str]) -> str:
    """Return a string of a closed set."""
    if type(value) is not str:
        refuse_type(value, member, "a string")
    if value not in choices:
        refuse("wrong_value", member, " or ".join(choices), "another text")
    return value


def require_timestamp(value: Value, member: str) -> int:
    """Return the milliseconds since 1970 a timestamp stands for."""
    if type(value) is not str:
        refuse_type(value, member, "a string")
    try:
        return parse_timestamp(value)
    except ContractError:
        refuse("wrong_format", member, "YYYY-MM-DDTHH:MM:SS.mmmZ from 1970 on", "another text")


def require_signature(value: Value) -> bytes:
    """Return the bytes of ``sig``, none where it is absent or empty: that is refused later."""
    if value is MISSING or value == "":
        return b""
    if type(value) is not str:
        refuse_type(value, "sig", "a string")
    try:
        signature = decode_base64(value)
    except ContractError:
        refuse("not_base64", "sig", "standard base64 with padding", "another text")
    if len(signature) not in SIGNATURE_BYTES:
        refuse("wrong_length", "sig", "32 or 64 bytes", str(len(signature)))
    return signature


def require_own_id(pcs_id: str, own: str) -> None:
    """Refuse a ``pcs_id`` that is not the one its record must have."""
    if pcs_id != own:
        message = "pcs_id: expected the hash of merkle_root, epoch and shard_id, got another"
        raise Refusal(RefusalCode.PCS_ID_MISMATCH, "pcs_id_mismatch", message, member="pcs_id")


def require_array(value: Value, member: str, least: int, most: int) -> list[object]:
    """Return an array with a bounded number of items."""
    if type(value) is not list:
        refuse_type(value, member, "an array")
    if not least <= len(value) <= most:
        refuse("wrong_count", member, f"{least} … {most} items", str(len(value)))
    return value


def require_object(value: Value, member: str) -> dict[str, object]:
    """Return an object."""
    if type(value) is not dict:
        refuse_type(value, member, "an object")
    return value


def refuse_unknown(members: Mapping[str, object], known: frozenset[str], path: str = "") -> None:
    """Refuse the first member, in canonical order, that is not one of the known names."""
    if not known.issuperset(members):
        # UTF-16 orders names as code points do but beyond ASCII, where all are shown alike.
        first = min(members.keys() - known)
        refuse("unknown_member", path + shown(first), "no such member", "one")


def shown(name: str) -> str:
    """Return a name the sender chose as a message may hold it: as it is where it is tame."""
    return name if _TAME_NAME.fullmatch(name) else "?"
