"""Canonical bytes: RFC 8785's own samples, what has no form, and that both paths agree."""

import math
import struct
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import pytest

from fractal_lba.protocol import ContractError, JsonValue, canonical
from fractal_lba.protocol.canonical import (
    JCS_DEPTH_MAX,
    PlainObject,
    _written,
    is_plain,
    with_member,
    without,
)

# RFC 8785 appendix B: IEEE-754 bits and their JSON form.
RFC8785_NUMBERS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}


@pytest.mark.parametrize("bits", RFC8785_NUMBERS)
def test_the_numbers_of_the_rfc(bits: str) -> None:
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical(value).decode() == RFC8785_NUMBERS[bits]


def test_the_names_of_the_rfc_sort_by_utf16() -> None:
    value = {
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\U0001f600": "Emoji: Grinning Face",
        "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis",
    }
    order = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    expected = ",".join(f'"{name}":"{value[name]}"' for name in order).replace("\r", "\\r")
    assert canonical(value).decode() == "{" + expected + "}"


def test_the_sample_of_the_rfc() -> None:
    value: JsonValue = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    assert canonical(value).decode() == (
        '{"literals":[null,true,false],'
        '"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


FORMS: dict[str, tuple[Any, str]] = {
    "an integral double": (1.0, "1"),
    "a large integral double": (1e16, "10000000000000000"),
    "a small double": (1e-6, "0.000001"),
    "a smaller double": (1e-7, "1e-7"),
    "a double orjson spells alike": (1e-5, "0.00001"),
    "minus zero": (-0.0, "0"),
    "digits then zeros": (123e18, "123000000000000000000"),
    "a tuple": ((1, 2), "[1,2]"),
    "a read-only mapping": (MappingProxyType({"a": 1}), '{"a":1}'),
    "the safe bounds": ([2**53 - 1, -(2**53) + 1], "[9007199254740991,-9007199254740991]"),
    "every short escape": ('\b\t\n\f\r"\\/', '"\\b\\t\\n\\f\\r\\"\\\\/"'),
    "control characters": ("\x00\x1f\x7f\x80", '"\\u0000\\u001f\x7f\x80"'),
    "line separators": ("\u2028\u2029", '"\u2028\u2029"'),
    "noncharacters": ("\ufffe\U0010ffff", '"\ufffe\U0010ffff"'),
    "empty ones": ([{}, [], ""], '[{},[],""]'),
}


@pytest.mark.parametrize("case", FORMS)
def test_a_value_has_one_form(case: str) -> None:
    value, expected = FORMS[case]
    assert canonical(value).decode() == expected


class _Word(StrEnum):
    ONE = "one"


@pytest.mark.parametrize("value", [_Word.ONE, [_Word.ONE], {_Word.ONE: True}])
def test_an_enum_of_strings_is_its_string(value: JsonValue) -> None:
    assert canonical(value) == canonical({"one": True} if isinstance(value, dict) else value)
    assert b'"one"' in canonical(value)


WITHOUT_FORM: dict[str, Any] = {
    "NaN": math.nan,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "an integer past the bound": 2**53,
    "an integer past the lower bound": -(2**53),
    "a lone surrogate": "\ud800",
    "a lone surrogate as name": {"\udfff": 1},
    "a number as name": {1: 1},
    "null as name": {None: 1},
    "bytes": b"a",
    "a set": {1},
    "an object": object(),
}


@pytest.mark.parametrize("case", WITHOUT_FORM)
def test_what_is_not_i_json_is_refused(case: str) -> None:
    for value in (WITHOUT_FORM[case], [WITHOUT_FORM[case]], {"a": WITHOUT_FORM[case]}):
        with pytest.raises(ContractError):
            canonical(value)


def test_depth_is_refused_one_past_the_limit() -> None:
    nested: Any = 1
    for _ in range(JCS_DEPTH_MAX):
        nested = [nested]
    assert canonical(nested) == b"[" * 64 + b"1" + b"]" * 64
    with pytest.raises(ContractError, match="64 levels"):
        canonical([nested])
    with pytest.raises(ContractError, match="64 levels"):
        canonical({"a": nested})


def test_a_value_inside_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ContractError, match="64 levels"):
        canonical(endless)


NOT_PLAIN: dict[str, Any] = {
    "an integral double": 2.0,
    "a double below 1e-5": 9.999e-6,
    "a double above the safe integers": 2.0**53 + 2,
    "an integer past the bound": 2**53,
    "NaN": math.nan,
    "a name above U+FFFF": {"\U0001f600": 1},
    "a name that is none": {1: 1},
    "a subclass": _Word.ONE,
    "too deep": [[[1]]],
}


@pytest.mark.parametrize("case", NOT_PLAIN)
def test_what_orjson_spells_differently_takes_the_other_path(case: str) -> None:
    assert not is_plain(NOT_PLAIN[case], 2)
    assert not is_plain([NOT_PLAIN[case]], 2)
    assert not is_plain({"a": NOT_PLAIN[case]}, 2)


def test_both_paths_write_the_same() -> None:
    value: Any = {"b": [1, 0.25, "é\n", True, False, None, {"c": (-7,)}], "a": -1234567.125}
    assert is_plain(value, JCS_DEPTH_MAX)
    assert canonical(value) == _written(value, JCS_DEPTH_MAX).encode()


def test_what_is_left_of_an_object_is_as_plain_as_the_object_was() -> None:
    small: dict[str, JsonValue] = {"b": 1e-6, "a": 1, "c": [2]}
    assert canonical(without(small, frozenset({"a", "x"}))) == b'{"b":0.000001,"c":[2]}'
    assert canonical(with_member(small, "aa", "y")) == b'{"a":1,"aa":"y","b":0.000001,"c":[2]}'
    assert small == {"b": 1e-6, "a": 1, "c": [2]}
    plain = PlainObject({"b": 2, "a": 1})
    left, more = without(plain, frozenset({"a"})), with_member(plain, "aa", "y")
    assert (type(left), dict(left)) == (PlainObject, {"b": 2})
    assert (type(more), list(more)) == (PlainObject, ["a", "aa", "b"])
    assert dict(plain) == {"b": 2, "a": 1}
