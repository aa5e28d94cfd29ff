"""The quick way to read a record beside the long one: never another answer, and seldom none."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.support.records import HMAC_KEY, changed, removed, valid_members, with_id

from fractal_lba.protocol import ContractError, Record, Refusal, canonical, sign_record
from fractal_lba.protocol.canonical import PlainObject
from fractal_lba.protocol.document import read_document, require_version
from fractal_lba.protocol.reading import parse_record, plain_record
from fractal_lba.protocol.record import VERSION, record_of

SAFE = 2**53 - 1
DELIVERY = {"attempt": 1, "sent_at": "2026-11-21T10:00:00.000Z", "outbox_seq": 7}
SIGNED: dict[str, Any] = {**sign_record(valid_members(), HMAC_KEY).members, "delivery": DELIVERY}
PATHS = sorted(SIGNED) + [
    f"{outer}.{inner}" for outer in ("ft", "meta", "N_j", "delivery") for inner in SIGNED[outer]
]
PATHS += [f"v_star.{index}" for index in range(3)] + [f"scales.{index}" for index in range(5)]
PATHS += ["ft.fallbacks.0", "ft.new", "new", "meta.new", "delivery.new", "N_j.64"]

BORDERS = [-SAFE - 1, -SAFE, -17, -16, -1, 0, 1, 2, 3, 8, 16, 17, 64, 1024, 1025, 4096, 4097]
BORDERS += [65_536, 65_537, SAFE, SAFE + 1]
numbers: st.SearchStrategy[Any] = (
    st.sampled_from(BORDERS)
    | st.sampled_from(BORDERS).map(float)
    | st.sampled_from([0.05, 0.049999999, 1e-5, 9.999e-6, 1e-9, 0.999999999, -0.5, 15.5, -15.5])
    | st.floats(-17, 17)
)
TIMES = ["1969-12-31T23:59:59.999Z", "2026-02-30T00:00:00.000Z", "2026-11-21T10:00:00.000Z"]
SIGNATURES = ["A" * 43 + "=", "A" * 86 + "==", "A" * 42 + "B="]
NAMES = ["kid-1", "kid|1", "shard:1", "shard|1", "a" * 64, "A" * 64, "a" * 65, "é" * 33]
CHOICES = ["", "1.0", "points/1", "bytes/1", "sticky", "\x7f/\b"]
texts = st.text(max_size=3) | st.sampled_from([*TIMES, *SIGNATURES, *NAMES, *CHOICES])
scalars = st.none() | st.booleans() | numbers | texts
values = scalars | st.lists(scalars, max_size=9) | st.dictionaries(texts, scalars, max_size=3)


def long_way(body: bytes) -> Record | None:
    try:
        document = read_document(body)
        require_version(document, (VERSION,))
        return record_of(document)
    except Refusal:
        return None


def agree(body: bytes) -> None:
    found = plain_record(body)
    if found is None:
        return
    expected = long_way(body)
    assert found == expected
    # Equal numbers may be of two types, and canonical bytes depend on which.
    assert repr(found) == repr(expected)
    assert type(found.members) is PlainObject


@given(st.lists(st.tuples(st.sampled_from(PATHS), values), min_size=1, max_size=3))
@example([("d", 1), ("profile", "bytes/1")])
@example([("N_j.2", 1000), ("d", 1)])
@example([("coh_star", 1)])
@example([("r", 1e-5)])
@example([("v_star", [1, 0, 0])])
@example([("v_star", [0.6, 0.8, 0.0])])
@example([("scales.1", 3)])
@example([("meta", None)])
@example([("D_hat", 16.0)])
def test_what_the_quick_way_reads_is_what_the_long_way_reads(
    changes: list[tuple[str, Any]],
) -> None:
    members = SIGNED
    for path, value in changes:
        try:
            members = changed(members, path, value)
        except (KeyError, IndexError, TypeError, ValueError):
            continue  # an earlier change took its place away
    for spelled in (members, with_id_or_not(members)):
        try:
            agree(canonical(spelled))
        except ContractError:
            continue  # it has no canonical form


def with_id_or_not(members: dict[str, Any]) -> dict[str, Any]:
    try:
        return with_id(members)
    except (KeyError, TypeError, ValueError, OverflowError):
        return members


@given(st.data())
def test_no_bytes_make_the_quick_way_say_more(data: st.DataObject) -> None:
    body = canonical(SIGNED)
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, min(len(body), start + 4)))
    pieces = [b"}", b'"', b"1.0", b"1e3", b"-0", b'"d":1,', b'"d":1,"d":1,', b" ", b"\\u0041"]
    agree(body[:start] + data.draw(st.binary(max_size=4) | st.sampled_from(pieces)) + body[end:])


@pytest.mark.parametrize("without", ["", "delivery", "meta", "sig"])
def test_what_an_agent_sends_is_read_the_quick_way(without: str) -> None:
    members = removed(SIGNED, without) if without else SIGNED
    body = canonical(members)
    assert plain_record(body) == long_way(body) is not None


@pytest.mark.parametrize("spaced", [b" ", b"\n"])
def test_another_spelling_goes_the_long_way(spaced: bytes) -> None:
    body = canonical(SIGNED) + spaced
    assert plain_record(body) is None
    assert long_way(body) is not None


BROKEN: dict[str, list[tuple[str, Any]]] = {
    "bytes of two columns": [("profile", "bytes/1"), ("d", 2)],
    "more cells than points": [("N_j.32", SIGNED["n"] + 1)],
    "more cells than embedded points": [("d", 1), ("N_j.32", SIGNED["n"] - 1)],
    "a count of no scale": [("N_j.64", 9)],
    "scales too close": [("scales", [2, 3]), ("N_j", {"2": 8, "3": 8})],
    "no unit vector": [("v_star", [0.6, 0.8, 0.01])],
    "a bar in the kid": [("kid", "kid|1")],
    "a bar in the stream": [("shard_id", "shard|1")],
    "a reason too long": [("ft.fallbacks", ["é" * 33])],
    "no time": [("created_at", "2026-02-30T00:00:00.000Z")],
    "no time of sending": [("delivery.sent_at", "2026-02-30T00:00:00.000Z")],
    "pad bits": [("sig", "A" * 42 + "B=")],
    "a name in meta": [("meta", {"A": 1})],
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_only_several_members_show_goes_the_long_way(name: str) -> None:
    members = SIGNED
    for path, value in BROKEN[name]:
        members = changed(members, path, value)
    body = canonical(with_id(members))
    assert plain_record(body) is None
    assert long_way(body) is None


def test_another_id_goes_the_long_way() -> None:
    body = canonical({**SIGNED, "pcs_id": "0" * 64})
    assert plain_record(body) is None
    assert long_way(body) is None


@pytest.mark.parametrize(
    "literal", ["1.0", "0.0", "-0.0", "1e-6", "0.000001", "-1.0", "2.0", "1e0"]
)
@pytest.mark.parametrize("path", ["D_hat", "r", "budget", "coh_star", "v_star.1", "n", "epoch"])
def test_a_number_that_is_spelled_otherwise_goes_the_long_way(path: str, literal: str) -> None:
    body = canonical(changed(SIGNED, path, "?")).replace(b'"?"', literal.encode())
    assert plain_record(body) is None


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
def test_nesting_that_is_read_and_cannot_be_written_is_refused_as_too_deep(
    opened: str, closed: str
) -> None:
    inmost = "" if opened == "[" else "0"
    for depth in (9, 64, 253, 254, 255, 1_023, 1_024, 10_000):
        body = ('{"a":' + opened * depth + inmost + closed * depth + "}").encode()
        with pytest.raises(Refusal) as refused:
            parse_record(body)
        assert (refused.value.code, refused.value.reason) == ("malformed_json", "too_deep")
