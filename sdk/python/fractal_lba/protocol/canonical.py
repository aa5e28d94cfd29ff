"""Canonical bytes: one JSON value, one spelling (RFC 8785, JCS).

What is signed and hashed are these bytes, so they must be the same in every language: members in
the order of their UTF-16 code units, numbers as ECMAScript writes them, no white space, UTF-8.

Two paths give them. ``orjson`` writes the same bytes as long as no value is one of those it
spells differently (``1.0``, ``1e-06``, ``1e+16``, names above U+FFFF); `is_plain` says when that
holds, and everything else takes the path written out here.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import orjson

from fractal_lba.protocol.errors import ContractError

JsonValue: TypeAlias = (
    "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)

SAFE_INTEGER_MAX: Final = 2**53 - 1
"""The largest integer a double holds without holding its neighbour too (RFC 7493)."""

JCS_DEPTH_MAX: Final = 64
"""Open objects and arrays, the outermost being 1."""

_STR: Final = frozenset({str})
PLAIN_FLOAT_MIN: Final = 1e-5  # below 1e-5 orjson and ECMAScript choose exponents differently
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
        if type(value) is PlainObject or is_plain(value, JCS_DEPTH_MAX):
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        return _written(value, JCS_DEPTH_MAX).encode()
    except (orjson.JSONEncodeError, UnicodeEncodeError) as error:
        raise ContractError("string: expected Unicode text, got a lone surrogate") from error


class PlainObject(dict[str, JsonValue]):
    """An object of which `is_plain` is known, so that it is not walked again. Never changed.

    A record is canonicalised for its signature, for its content and for the ledger; the walk would
    cost more than all three.
    """

    __slots__ = ()


def without(members: Mapping[str, JsonValue], names: frozenset[str]) -> Mapping[str, JsonValue]:
    """Return an object without some of its members; what is left of a plain one is plain.

    Where it has none of them it is returned itself.
    """
    if members.keys().isdisjoint(names):
        return members
    left = PlainObject(members) if type(members) is PlainObject else dict(members)
    for name in names:
        left.pop(name, None)
    return left


def with_member(members: Mapping[str, JsonValue], name: str, value: str) -> dict[str, JsonValue]:
    """Return an object with one more member, all names ASCII, in the order of canonical bytes.

    A plain object stays plain.
    """
    more = dict(sorted({**members, name: value}.items()))
    return PlainObject(more) if type(members) is PlainObject else more


def is_plain(value: object, depth_max: int) -> bool:
    """Return whether ``orjson`` with sorted keys writes exactly the canonical bytes.

    True only for what `strict_json.parse_json` returns as well: no float that is a safe integer.
    """
    return _are_plain((value,), depth_max)


def _are_plain(values: Iterable[Any], depth_max: int) -> bool:
    # One loop for each level: a call for each scalar would be most of the time of reading a record.
    # The kinds stand in the order of how many of them a record has.
    for value in values:
        kind = type(value)
        if kind is int:
            plain = -SAFE_INTEGER_MAX <= value <= SAFE_INTEGER_MAX
        elif kind is str:
            continue
        elif kind is float:
            plain = (
                PLAIN_FLOAT_MIN <= value <= SAFE_INTEGER_MAX
                or -SAFE_INTEGER_MAX <= value <= -PLAIN_FLOAT_MIN
            ) and value % 1.0 != 0.0
        elif kind is dict:
            plain = (
                depth_max > 0 and _sort_alike(value) and _are_plain(value.values(), depth_max - 1)
            )
        elif kind is list or kind is tuple:
            plain = depth_max > 0 and _are_plain(value, depth_max - 1)
        else:
            plain = kind is bool or value is None
        if not plain:
            return False
    return True


def _sort_alike(names: Iterable[Any]) -> bool:
    """Return whether names sort the same in UTF-8 and in UTF-16: ASCII does for certain."""
    return _STR.issuperset(map(type, names)) and "".join(names).isascii()


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
