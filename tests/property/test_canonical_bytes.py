"""Canonical bytes: against another implementation, there and back, and by both paths."""

import math

import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from fractal_lba.protocol import JCS_DEPTH_MAX, JsonValue, Refusal, canonical, parse_json
from fractal_lba.protocol.canonical import SAFE_INTEGER_MAX, _written, is_plain
from fractal_lba.protocol.strict_json import _NOT_CANONICAL, _parse, _parse_canonical

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
safe = st.integers(-SAFE_INTEGER_MAX, SAFE_INTEGER_MAX)
doubles = st.floats(allow_nan=False, allow_infinity=False)
edges = st.sampled_from(
    [0.0, -0.0, 1.0, 1e-5, 9.999e-6, 1e-6, 1e-7, 1e15, 1e16, 1e20, 1e21, 2.0**53, 5e-324, 0.1]
)
# Doubles as records have them: rounded to nine decimals.
short = st.integers(-(10**10), 10**10).map(lambda n: n / 1e9)
values = st.recursive(
    st.none() | st.booleans() | safe | doubles | edges | short | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def normalised(value: JsonValue) -> JsonValue:
    """Return a value as parsing gives it: doubles that are safe integers are integers."""
    if isinstance(value, list):
        return [normalised(item) for item in value]
    if isinstance(value, dict):
        return {name: normalised(item) for name, item in value.items()}
    if isinstance(value, float) and value.is_integer() and abs(value) <= SAFE_INTEGER_MAX:
        return int(value)
    return value


def typed(value: object) -> object:
    """Return a value in which 1, 1.0 and True differ."""
    if isinstance(value, list):
        return [typed(item) for item in value]
    if isinstance(value, dict):
        return {name: typed(item) for name, item in value.items()}
    return type(value), value


@given(values)
def test_another_implementation_writes_the_same(value: JsonValue) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(doubles | edges)
def test_another_implementation_writes_every_double_the_same(value: float) -> None:
    assert canonical(value) == rfc8785.dumps(value)
    assert float(canonical(value)) == value


@given(values)
def test_the_quick_path_writes_the_same_as_the_plain_one(value: JsonValue) -> None:
    assert canonical(value) == _written(value, JCS_DEPTH_MAX).encode()


@given(short.filter(lambda x: not x.is_integer() and abs(x) >= 1e-5))
def test_a_rounded_value_of_a_record_takes_the_quick_path(value: float) -> None:
    assert is_plain([value], 1)


@given(values)
def test_parsing_is_the_inverse_of_writing(value: JsonValue) -> None:
    parsed = parse_json(canonical(value), depth_max=JCS_DEPTH_MAX)
    assert typed(parsed) == typed(normalised(value))
    assert canonical(parsed) == canonical(value)


def outcome(data: bytes, depth_max: int) -> object:
    try:
        return typed(_parse(data, depth_max))
    except Refusal as refusal:
        return refusal.reason


@given(values, st.integers(0, 6), st.integers(0, 1))
def test_the_quick_reader_gives_what_the_plain_one_gives(
    value: JsonValue, depth_max: int, spaces: int
) -> None:
    data = canonical(value) + b" " * spaces
    quick = _parse_canonical(data, depth_max)
    if quick is not _NOT_CANONICAL:
        assert typed(quick) == outcome(data, depth_max)


pieces = st.lists(
    st.sampled_from(
        [
            *(b"{", b"}", b"[", b"]", b",", b":", b'"', b'"a"', b'"a":', b'"\\u0061":', b"1"),
            *(b"1.0", b"-0", b"1e5", b"1e400", b".", b"\\", b"\\ud800", b"\\udc00", b" "),
            *(b"\xff", b"null", b"0", b"NaN", b"9007199254740993", b"1" * 65),
            *("é".encode(), "\U0001f600".encode()),
        ]
    ),
    max_size=8,
).map(b"".join)


@given(pieces | st.binary(max_size=16), st.integers(0, 4))
@example(b'{"a":1,"a":1}', 4)
@example(b'{"\xf0\x9f\x98\x80":1,"\xef\xac\xb3":2}', 4)
@example(b"1.0", 4)
@example(b"9007199254740993", 4)
def test_both_readers_agree_on_any_bytes(data: bytes, depth_max: int) -> None:
    quick = _parse_canonical(data, depth_max)
    plain = outcome(data, depth_max)
    if quick is not _NOT_CANONICAL:
        assert typed(quick) == plain
        assert canonical(quick) == data  # type: ignore[arg-type]  # a value was read
    try:
        found = typed(parse_json(data, depth_max=depth_max))
    except Refusal as refusal:
        found = refusal.reason
    assert found == plain


@given(doubles)
def test_a_literal_of_any_spelling_is_its_double(value: float) -> None:
    for literal in (repr(value), f"{value:.17e}", f"{value:+.25E}".lstrip("+")):
        parsed = parse_json(literal.encode(), depth_max=1)
        assert parsed == value
        assert math.copysign(1, float(str(parsed))) == (
            1 if value == 0 else math.copysign(1, value)
        )
