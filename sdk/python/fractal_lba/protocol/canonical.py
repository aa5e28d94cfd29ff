"""Canonical bytes: one JSON value, one spelling (RFC 8785, JCS).

What is signed and hashed are these bytes, so they must be the same in every language: members in
the order of their UTF-16 code units, numbers as ECMAScript writes them, no white space, UTF-8.

Two paths give them. ``orjson`` writes the same bytes as long as no value is one of those it
spells differently (``1.0``, ``1e-06``, ``1e+16``, names above U+FFFF); `is_plain` says when that
holds, and everything else takes the path written out here.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import orjson

from fractal_lba.protocol.errors import ContractError

JsonValue: TypeAlias = (
    "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)

SAFE_INTEGER_MAX: Final = 2**53 - 1
"""The largest integer a double holds without holding its neighbour too (RFC 7493)."""

JCS_DEPTH_MAX: Final = 64
"""Open objects and arrays, the outermost being 1."""

_PLAIN_FLOAT_MIN: Final = 1e-5  # below 1e-5 orjson and ECMAScript choose exponents differently
_ECMA_FIXED_DIGITS_MAX: Final = 21  # ECMA-262, Number::toString: an exponent from 1e21 on
_ECMA_FIXED_ZEROS_MAX: Final = 6  # and below 1e-6


def canonical(value: JsonValue) -> bytes:
    """Return the canonical bytes of a JSON value.

    Args:
        value: None, bool, int within ±(2^53−1), finite float, str without lone surrogates, and
            lists, tuples and mappings of these, at most 64 deep. ``-0.0`` is written ``0``.

    Raises:
        ContractError: The value has no I-JSON form (RFC 7493).

    Source: RFC 8785 section 3.2.
    """
    try:
        if is_plain(value, JCS_DEPTH_MAX):
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        return _written(value, JCS_DEPTH_MAX).encode()
    except (orjson.JSONEncodeError, UnicodeEncodeError) as error:
        raise ContractError("string: expected Unicode text, got a lone surrogate") from error


def is_plain(value: object, depth_max: int) -> bool:
    """Return whether ``orjson`` with sorted keys writes exactly the canonical bytes.

    True only for what `strict_json.parse_json` returns as well: no float that is a safe integer.
    """
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return -SAFE_INTEGER_MAX <= value <= SAFE_INTEGER_MAX  # type: ignore[operator]  # an int
    if kind is float:
        return is_plain_float(value)  # type: ignore[arg-type]  # a float
    if kind is dict and depth_max > 0:
        # Names below U+10000 sort the same in UTF-8 and in UTF-16; ASCII ones do for certain.
        return all(
            type(name) is str and name.isascii() and is_plain(member, depth_max - 1)
            for name, member in value.items()  # type: ignore[attr-defined]  # a dict
        )
    if (kind is list or kind is tuple) and depth_max > 0:
        return all(is_plain(item, depth_max - 1) for item in value)  # type: ignore[attr-defined]
    return False


def is_plain_float(value: float) -> bool:
    """Return whether a double is no integer and is written without an exponent everywhere."""
    return _PLAIN_FLOAT_MIN <= abs(value) <= SAFE_INTEGER_MAX and not value.is_integer()


def _written(value: JsonValue, depth_max: int) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        if not -SAFE_INTEGER_MAX <= value <= SAFE_INTEGER_MAX:
            raise ContractError("integer: expected at most 2^53−1 in size, got a larger one")
        return str(int(value))
    if isinstance(value, float):
        return _ecma_number(value)
    if not isinstance(value, (list, tuple, Mapping)):
        raise ContractError(f"value: expected a JSON type, got {type(value).__name__}")
    if depth_max == 0:
        raise ContractError(f"value: expected at most {JCS_DEPTH_MAX} levels, got more")
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise ContractError("object: expected strings as names, got another type")
        members = sorted(value.items(), key=lambda member: member[0].encode("utf-16-be"))
        inner = (f"{_written(k, 0)}:{_written(v, depth_max - 1)}" for k, v in members)
        return "{" + ",".join(inner) + "}"
    return "[" + ",".join(_written(item, depth_max - 1) for item in value) + "]"


def _ecma_number(value: float) -> str:
    """Write a double as ECMA-262 Number::toString does (RFC 8785 section 3.2.2.3)."""
    if value == 0:
        return "0"
    if value - value != 0:
        raise ContractError("number: expected a finite double, got an infinity or NaN")
    # repr gives the shortest digits that round back, as ECMAScript does; only the layout differs.
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0)  # the value is 0.DIGITS · 10^point, once aligned
    point -= len(whole + fraction) - len(digits)
    digits = digits.rstrip("0")
    sign = "-" if value < 0 else ""
    if len(digits) <= point <= _ECMA_FIXED_DIGITS_MAX:
        return f"{sign}{digits:0<{point}}"
    if 0 < point <= _ECMA_FIXED_DIGITS_MAX:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -_ECMA_FIXED_ZEROS_MAX < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{point - 1:+d}"
