"""Strict JSON: bytes in, one value out, or the one reason why not.

Two programs that read the same bytes must see the same value, so whatever parsers treat
differently is refused: duplicate members, lone surrogates, literals that overflow, and any syntax
RFC 8259 does not have. A number is the IEEE double its literal rounds to, never its spelling: a
double that is a safe integer becomes an ``int`` (``1.0`` and ``1e0`` are 1, ``-0`` is 0), every
other one a ``float``.

A body can break several rules. It is refused for the first one in the order of `_RANKED`, wherever
in the body that stands, so that a parser in any language can follow it: encoding, then depth, then
grammar, then what the values are.
"""

import json
import math
import re
from collections.abc import Sequence
from typing import Any, Final, NoReturn, cast

import orjson

from fractal_lba.protocol.canonical import (
    JCS_DEPTH_MAX,
    SAFE_INTEGER_MAX,
    JsonValue,
    PlainObject,
    is_plain,
)
from fractal_lba.protocol.errors import Refusal, RefusalCode

__all__ = ["JCS_DEPTH_MAX", "NUMBER_CHARACTERS_MAX", "RECORD_DEPTH_MAX", "JsonValue", "parse_json"]

RECORD_DEPTH_MAX: Final = 8
"""Open objects and arrays in a record; a valid one has three."""

NUMBER_CHARACTERS_MAX: Final = 64
"""A double needs 25; a longer literal only costs the reader time."""

_RANKED: Final = {
    "byte_order_mark": "document: expected no byte order mark, got one",
    "invalid_utf8": "document: expected UTF-8, got other bytes",
    "too_deep": "document: expected fewer nested objects and arrays, got too many",
    "syntax": "document: expected the grammar of RFC 8259, got something else",
    "trailing_data": "document: expected its end after the value, got more",
    "number_too_long": f"number: expected at most {NUMBER_CHARACTERS_MAX} characters, got more",
    "number_overflow": "number: expected a finite double, got a literal that overflows",
    "lone_surrogate": "string: expected Unicode text, got a lone surrogate",
    "duplicate_member": "object: expected each name once, got a duplicate",
}
_ENCODING: Final = frozenset({"byte_order_mark", "invalid_utf8"})

_STRINGS: Final = re.compile(rb'"(?:[^"\\]+|\\.)*+"?', re.DOTALL)
_NUMBER_RUN: Final = re.compile(r"[-+.0-9eE]*")
_WHITE_SPACE: Final = re.compile(r"[ \t\n\r]*")
_ESCAPE: Final = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair
    r"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"  # a lone surrogate, any other escape
)


def parse_json(data: bytes, *, depth_max: int) -> JsonValue:
    """Return the one value the bytes hold.

    Args:
        data: a whole document.
        depth_max: how many objects and arrays may be open at once, the outermost being 1.

    Raises:
        Refusal: ``bad_encoding`` or ``malformed_json``; the reason is one of `_RANKED`.

    Source: RFC 8259, RFC 7493 section 2.
    """
    value = _parse_canonical(data, depth_max)
    return _parse(data, depth_max) if value is _NOT_CANONICAL else cast("JsonValue", value)


_NOT_CANONICAL: Final = object()


def _parse_canonical(data: bytes, depth_max: int) -> object:
    """Return the value of bytes that are their own canonical form, or `_NOT_CANONICAL`.

    Such bytes cannot hold a duplicate member, a lone surrogate, white space or a second spelling
    of a number, since writing the value again would not give them back.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return _NOT_CANONICAL
    if is_plain(value, depth_max) and orjson.dumps(value, option=orjson.OPT_SORT_KEYS) == data:
        return PlainObject(value) if type(value) is dict else value
    return _NOT_CANONICAL


def _parse(data: bytes, depth_max: int) -> JsonValue:
    if data.startswith(b"\xef\xbb\xbf"):
        raise _refusal("byte_order_mark")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        # The decoder's own message quotes the bytes.
        raise _refusal("invalid_utf8") from None
    if _is_too_deep(data, depth_max):
        raise _refusal("too_deep")
    faults: set[str] = set()
    value = _read_value(text, faults)
    # Searched in the text: a duplicate member could hide the string from a walk over the value.
    if any(escape[1] for escape in _ESCAPE.finditer(text)):
        faults.add("lone_surrogate")
    for reason in _RANKED:
        if reason in faults:
            raise _refusal(reason)
    return value


def _refusal(reason: str) -> Refusal:
    code = RefusalCode.BAD_ENCODING if reason in _ENCODING else RefusalCode.MALFORMED_JSON
    return Refusal(code, reason, _RANKED[reason])


def _is_too_deep(data: bytes, depth_max: int) -> bool:
    """Return whether more brackets outside strings are open at once than may be.

    A scan of its own, so that it asks for no grammar and runs before a parser recurses.
    """
    depth = 0
    for byte in _STRINGS.sub(b"", data):
        if byte in b"{[":
            depth += 1
            if depth > depth_max:
                return True
        elif byte in b"}]":
            depth -= 1
    return False


def _read_value(text: str, faults: set[str]) -> JsonValue:
    """Read the grammar with the standard library's scanner, noting what is wrong with values."""

    def number(literal: str) -> int | float:
        if len(literal) > NUMBER_CHARACTERS_MAX:
            faults.add("number_too_long")
            return 0
        double = float(literal)
        if math.isinf(double):
            faults.add("number_overflow")
        if -SAFE_INTEGER_MAX <= double <= SAFE_INTEGER_MAX and double.is_integer():
            return int(double)
        return double

    def members(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        named = dict(pairs)
        if len(named) != len(pairs):
            faults.add("duplicate_member")
        return named

    decoder = json.JSONDecoder(
        object_pairs_hook=members, parse_float=number, parse_int=number, parse_constant=_constant
    )
    start = _end_of(_WHITE_SPACE, text, 0)
    try:
        value, end = decoder.raw_decode(text, start)
    except json.JSONDecodeError:
        raise _refusal("syntax") from None  # the scanner's own error holds the document
    _check_end(text, end)
    return cast("JsonValue", value)


def _constant(_: str) -> NoReturn:
    """Refuse NaN, Infinity and -Infinity, which the scanner would read."""
    raise _refusal("syntax")


def _check_end(text: str, end: int) -> None:
    # The scanner stops inside "01" and "1.": such a literal is wrong, not followed by more.
    if text[end - 1].isdigit() and _end_of(_NUMBER_RUN, text, end) != end:
        raise _refusal("syntax")
    if _end_of(_WHITE_SPACE, text, end) != len(text):
        raise _refusal("trailing_data")


def _end_of(run: re.Pattern[str], text: str, start: int) -> int:
    match = run.match(text, start)
    assert match is not None  # noqa: S101  # both patterns match the empty string
    return match.end()
