"""Strict JSON: every rule by itself, both layers, and bodies that break two rules."""

import pytest

from fractal_lba.protocol import JCS_DEPTH_MAX, RECORD_DEPTH_MAX, Refusal, parse_json
from fractal_lba.protocol.strict_json import _RANKED

LAYERS = [RECORD_DEPTH_MAX, JCS_DEPTH_MAX]


def why(data: bytes, depth_max: int = JCS_DEPTH_MAX) -> str:
    with pytest.raises(Refusal) as caught:
        parse_json(data, depth_max=depth_max)
    assert caught.value.member is None
    return f"{caught.value.code} {caught.value.reason}"


def read(data: bytes) -> object:
    return parse_json(data, depth_max=JCS_DEPTH_MAX)


REFUSED = {
    "a byte order mark": (b'\xef\xbb\xbf{"a":1}', "bad_encoding byte_order_mark"),
    "a UTF-16 mark": (b"\xff\xfe1\x00", "bad_encoding invalid_utf8"),
    "a stray continuation byte": (b'"\x80"', "bad_encoding invalid_utf8"),
    "an overlong encoding": (b'"\xc0\xaf"', "bad_encoding invalid_utf8"),
    "a surrogate in UTF-8": (b'"\xed\xa0\x80"', "bad_encoding invalid_utf8"),
    "beyond U+10FFFF": (b'"\xf4\x90\x80\x80"', "bad_encoding invalid_utf8"),
    "a cut sequence": (b'"\xe2\x82"', "bad_encoding invalid_utf8"),
    "nothing": (b"", "malformed_json syntax"),
    "white space alone": (b" \t\r\n", "malformed_json syntax"),
    "a mark inside": (b"[\xef\xbb\xbf1]", "malformed_json syntax"),
    "NaN": (b"[NaN]", "malformed_json syntax"),
    "Infinity": (b"[Infinity]", "malformed_json syntax"),
    "-Infinity": (b"[-Infinity]", "malformed_json syntax"),
    "a line comment": (b"[1] // one", "malformed_json trailing_data"),
    "a comment": (b"[/* one */1]", "malformed_json syntax"),
    "a trailing comma in an array": (b"[1,]", "malformed_json syntax"),
    "a trailing comma in an object": (b'{"a":1,}', "malformed_json syntax"),
    "a leading zero": (b"[01]", "malformed_json syntax"),
    "a leading zero alone": (b"01", "malformed_json syntax"),
    "a negative leading zero": (b"-00", "malformed_json syntax"),
    "a leading plus": (b"+1", "malformed_json syntax"),
    "a lone minus": (b"-", "malformed_json syntax"),
    "no digit before the point": (b"[.5]", "malformed_json syntax"),
    "no digit after the point": (b"1.", "malformed_json syntax"),
    "no digit in the exponent": (b"1e", "malformed_json syntax"),
    "no digit in the exponent, spaced": (b" 1e+ ", "malformed_json syntax"),
    "hexadecimal": (b"[0x10]", "malformed_json syntax"),
    "digits of another script": ("[\u0661]".encode(), "malformed_json syntax"),
    "a digit of another script behind": ("[1\u0661]".encode(), "malformed_json syntax"),
    "single quotes": (b"['a']", "malformed_json syntax"),
    "a bare name": (b"{a:1}", "malformed_json syntax"),
    "a number as name": (b"{1:1}", "malformed_json syntax"),
    "no colon": (b'{"a" 1}', "malformed_json syntax"),
    "no comma": (b"[1 2]", "malformed_json syntax"),
    "an unclosed array": (b"[1", "malformed_json syntax"),
    "an unclosed object": (b'{"a":1', "malformed_json syntax"),
    "an unclosed string": (b'["a', "malformed_json syntax"),
    "a closing bracket alone": (b"]", "malformed_json syntax"),
    "the wrong bracket": (b"[1}", "malformed_json syntax"),
    "True": (b"[True]", "malformed_json syntax"),
    "a raw newline in a string": (b'["a\nb"]', "malformed_json syntax"),
    "a raw NUL in a string": (b'["\x00"]', "malformed_json syntax"),
    "a raw U+001F in a string": (b'["\x1f"]', "malformed_json syntax"),
    "an unknown escape": (b'["\\x41"]', "malformed_json syntax"),
    "an upper-case escape": (b'["\\U0041"]', "malformed_json syntax"),
    "a short escape": (b'["\\u041"]', "malformed_json syntax"),
    "a signed escape": (b'["\\u+041"]', "malformed_json syntax"),
    "an underscored escape": (b'["\\u0_41"]', "malformed_json syntax"),
    "a no-break space": ("[\u00a01]".encode(), "malformed_json syntax"),
    "a form feed": (b"[\x0c1]", "malformed_json syntax"),
    "a second value": (b"{} {}", "malformed_json trailing_data"),
    "a bracket behind": (b"[]]", "malformed_json trailing_data"),
    "a NUL behind": (b"[]\x00", "malformed_json trailing_data"),
    "a number behind a string": (b'"1"1', "malformed_json trailing_data"),
    "a letter behind a literal": (b"truex", "malformed_json trailing_data"),
    "two numbers": (b"1 2", "malformed_json trailing_data"),
    "65 characters of a number": (b"[0." + b"0" * 62 + b"1]", "malformed_json number_too_long"),
    "65 digits": (b"[" + b"1" * 65 + b"]", "malformed_json number_too_long"),
    "64 digits and a sign": (b"[-" + b"1" * 64 + b"]", "malformed_json number_too_long"),
    "65 with an exponent": (b"[1." + b"0" * 60 + b"e-1]", "malformed_json number_too_long"),
    "an overflow": (b"[1e400]", "malformed_json number_overflow"),
    "a negative overflow": (b"[-1e400]", "malformed_json number_overflow"),
    "half a unit above the largest": (
        b"[1.7976931348623159e308]",
        "malformed_json number_overflow",
    ),
    "a lone high surrogate": (b'["\\ud800"]', "malformed_json lone_surrogate"),
    "a lone low surrogate": (b'["\\uDFFF"]', "malformed_json lone_surrogate"),
    "a pair the wrong way round": (b'["\\udc00\\ud800"]', "malformed_json lone_surrogate"),
    "a pair with a gap": (b'["\\ud83d \\ude00"]', "malformed_json lone_surrogate"),
    "two high and a low": (b'["\\ud83d\\ud83d\\ude00"]', "malformed_json lone_surrogate"),
    "a lone surrogate in a name": (b'{"\\udabc":1}', "malformed_json lone_surrogate"),
    "a lone surrogate behind backslashes": (b'["\\\\\\ud800"]', "malformed_json lone_surrogate"),
    "a duplicate": (b'{"a":1,"a":2}', "malformed_json duplicate_member"),
    "an equal duplicate": (b'{"a":1,"a":1}', "malformed_json duplicate_member"),
    "a duplicate inside": (b'[{"b":{"a":1,"c":0,"a":1}}]', "malformed_json duplicate_member"),
    "a duplicate after unescaping": (b'{"a":1,"\\u0061":2}', "malformed_json duplicate_member"),
    "a duplicate pair": (
        '{"\\ud83d\\ude00":1,"\U0001f600":2}'.encode(),
        "malformed_json duplicate_member",
    ),
    "an empty name twice": (b'{"":1,"":2}', "malformed_json duplicate_member"),
}


@pytest.mark.parametrize("depth_max", LAYERS)
@pytest.mark.parametrize("case", REFUSED)
def test_both_layers_refuse(case: str, depth_max: int) -> None:
    data, expected = REFUSED[case]
    assert why(data, depth_max) == expected


def test_every_reason_is_met_by_a_case() -> None:
    met = {expected.split()[1] for _, expected in REFUSED.values()} | {"too_deep"}
    assert met == set(_RANKED)


# Each fault as a member of one object; a body with two is refused for the one that ranks first,
# whichever of the two comes first in the text.
FAULTS = {
    "invalid_utf8": b'"\x80"',
    "too_deep": b"[" * 8 + b"]" * 8,
    "syntax": b"01",
    "number_too_long": b"1" * 65,
    "number_overflow": b"1e400",
    "lone_surrogate": b'"\\ud800"',
    "duplicate_member": b'{"a":1,"a":2}',
}


@pytest.mark.parametrize("second", FAULTS)
@pytest.mark.parametrize("first", FAULTS)
def test_the_rank_decides_and_not_the_place(first: str, second: str) -> None:
    ranked = sorted({first, second}, key=list(_RANKED).index)
    body = b'{"x":' + FAULTS[first] + b',"y":' + FAULTS[second] + b"}"
    assert why(body, RECORD_DEPTH_MAX).split()[1] == ranked[0]


def test_a_mark_goes_before_invalid_utf8() -> None:
    assert why(b"\xef\xbb\xbf\x80") == "bad_encoding byte_order_mark"


def test_depth_goes_before_an_unclosed_document() -> None:
    assert why(b"[" * 65) == "malformed_json too_deep"


def test_trailing_data_goes_before_a_fault_inside_the_value() -> None:
    assert why(b'{"a":1e400} 1') == "malformed_json trailing_data"


def test_a_duplicate_cannot_hide_a_lone_surrogate() -> None:
    assert why(b'{"a":"\\ud800","a":1}') == "malformed_json lone_surrogate"


@pytest.mark.parametrize("depth_max", LAYERS)
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_is_refused_one_past_the_limit(
    depth_max: int, opening: bytes, closing: bytes
) -> None:
    def nested(depth: int, white_space: bytes) -> bytes:
        return opening * depth + white_space + b"1" + closing * depth

    for white_space in (b"", b" "):
        assert parse_json(nested(depth_max, white_space), depth_max=depth_max)
        assert why(nested(depth_max + 1, white_space), depth_max) == "malformed_json too_deep"


def test_a_hundred_thousand_brackets_are_refused_and_not_recursed_into() -> None:
    assert why(b"[" * 100_000) == "malformed_json too_deep"


def test_brackets_in_strings_and_side_by_side_are_not_depth() -> None:
    assert parse_json(b'["[[[[[[[[[[", "\\"[[[[[[[["]', depth_max=1)
    assert parse_json(b"[" + b",".join([b"[]"] * 100) + b"]", depth_max=2)


NUMBERS = {
    "1": 1,
    "1.0": 1,
    "1e0": 1,
    "100e-2": 1,
    "10E-1": 1,
    "-0": 0,
    "-0.0": 0,
    "-0e5": 0,
    "1e-400": 0,
    "-1e-400": 0,
    "4.9e-324": 5e-324,
    "1.5": 1.5,
    "9007199254740991": 2**53 - 1,
    "-9007199254740991.0": -(2**53) + 1,
    "9007199254740992": 2.0**53,
    "9007199254740993": 2.0**53,
    "9007199254740990.9": 2**53 - 1,
    "1e300": 1e300,
    "1.7976931348623157e308": 1.7976931348623157e308,
    "1" * 64: float("1" * 64),
    "0." + "0" * 61 + "1": 1e-62,
}


@pytest.mark.parametrize("literal", NUMBERS)
def test_a_number_is_its_double_and_not_its_spelling(literal: str) -> None:
    for text in (literal, f" {literal} ", f"[{literal}]", f'{{"a": {literal}}}'):
        value = read(text.encode())
        while isinstance(value, list | dict):
            value = value[0] if isinstance(value, list) else value["a"]
        assert (value, type(value)) == (NUMBERS[literal], type(NUMBERS[literal]))
        assert str(value) != "-0.0"


STRINGS = {
    '"\\ud83d\\ude00"': "\U0001f600",
    '"\\\\ud800"': "\\ud800",
    '"\\\\\\\\ud800"': "\\\\ud800",
    '"\\u0000"': "\0",
    '"\\/"': "/",
    '"\x7f"': "\x7f",
    '"\\uFFFE\\uffff"': "\ufffe\uffff",
    '"\ufffe\U0010ffff\ufdd0"': "\ufffe\U0010ffff\ufdd0",
    '"\ufeff"': "\ufeff",
    '"\u2028"': "\u2028",
}


@pytest.mark.parametrize("literal", STRINGS)
def test_a_string_is_what_its_escapes_stand_for(literal: str) -> None:
    assert read(literal.encode()) == STRINGS[literal]
    assert read(f'[{{"{STRINGS[literal]!s:.0}":{literal}}}]'.encode()) == [{"": STRINGS[literal]}]


def test_names_are_not_normalised() -> None:
    assert read('{"\u00e9":1,"e\u0301":2}'.encode()) == {"\u00e9": 1, "e\u0301": 2}


def test_every_literal_and_every_white_space_is_read() -> None:
    assert read(b'\t\r\n [ null , true , false , { } , [ ] , "" ]\n') == [
        None,
        True,
        False,
        {},
        [],
        "",
    ]


@pytest.mark.parametrize("fault", FAULTS)
def test_no_error_holds_a_piece_of_the_document(fault: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_json(b'{"hunter2":"hunter2","x":' + FAULTS[fault] + b"}", depth_max=8)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
