"""The record of version 0.1: each rule, the order of refusals, and what is kept of it."""

import json
from typing import Any

import pytest
from tests.oracle import legacy as oracle
from tests.support.legacy import body, members, signed
from tests.support.records import changed, removed

from fractal_lba.protocol import (
    ContractError,
    LegacyRecord,
    Refusal,
    parse_any_record,
    parse_legacy_record,
    parse_record,
    read_stored,
    stored_bytes_of,
)

TABLE = [
    *("pcs_id", "schema", "shard_id", "epoch", "attempt", "sent_at", "seed", "scales", "N_j"),
    *("coh_star", "v_star", "D_hat", "r", "regime", "budget", "merkle_root", "sig"),
]


def parsed(**changes: Any) -> LegacyRecord:  # noqa: ANN401 - members by name
    return parse_legacy_record(body(signed(**changes)))


def why(record: object) -> tuple[str, str, str | None]:
    with pytest.raises(Refusal) as caught:
        parse_legacy_record(json.dumps(record).encode())
    assert str(caught.value).count("expected") == 1
    return caught.value.code, caught.value.reason, caught.value.member


def test_a_record_is_read() -> None:
    record = signed()
    read = parse_legacy_record(body(record))
    assert read.pcs_id == record["pcs_id"]
    assert read.version == "0.1"
    assert read.signed.d_hat == record["D_hat"]
    assert read.n_j == {2: 4, 4: 9, 8: 20, 16: 31}
    assert len(read.signature) == 32


@pytest.mark.parametrize("member", [name for name in TABLE if name != "sig"])
def test_every_member_but_ft_and_sig_must_be_there(member: str) -> None:
    assert why(removed(signed(), member)) == ("invalid_record", "missing", member)


def test_ft_is_optional_and_may_be_anything() -> None:
    without = parse_legacy_record(body(removed(signed(), "ft")))
    values: list[Any] = [None, 7, "x", [], {"degraded": True, "new": {}}]
    for value in values:
        assert parse_legacy_record(body({**signed(), "ft": value})) == without


def test_unknown_members_are_ignored() -> None:
    record = {**signed(), "agent": "0.1.7", "kid": 9, "delivery": None, "": {"a": [1, {}]}}
    assert parse_legacy_record(body(record)) == parse_legacy_record(body(signed()))


WRONG: dict[str, list[tuple[object, str]]] = {
    "pcs_id": [(1, "wrong_type"), ("A" * 64, "wrong_format"), ("a" * 63, "wrong_format")],
    "schema": [(None, "wrong_type"), ("fractal-lba", "wrong_value")],
    "shard_id": [
        (1, "wrong_type"),
        ("", "wrong_format"),
        ("a\nb", "wrong_format"),
        ("a\x00", "wrong_format"),
        ("a\x7f", "wrong_format"),
        ("é" * 65, "too_long"),
    ],
    "epoch": [("1", "wrong_type"), (1.5, "not_an_integer"), (-1, "out_of_range")],
    "attempt": [(None, "wrong_type"), (0.5, "not_an_integer"), (2**53, "not_an_integer")],
    "sent_at": [(1737288000, "wrong_type"), ("2" * 65, "too_long")],
    "seed": [(True, "wrong_type"), (1e300, "not_an_integer")],
    "scales": [
        ({}, "wrong_type"),
        ([2], "wrong_count"),
        ([2**i for i in range(1, 18)], "wrong_count"),
    ],
    "N_j": [([], "wrong_type")],
    "coh_star": [("0.1", "wrong_type"), (1_000_000.1, "out_of_range"), (1e308, "out_of_range")],
    "v_star": [(0.5, "wrong_type"), ([], "wrong_count"), ([0.0] * 4097, "wrong_count")],
    "D_hat": [(None, "wrong_type"), (-1_000_000.5, "out_of_range")],
    "r": [([], "wrong_type"), (2e6, "out_of_range")],
    "regime": [(0, "wrong_type"), ("Mixed", "wrong_value")],
    "budget": [(False, "wrong_type"), (-2e6, "out_of_range")],
    "merkle_root": [(1, "wrong_type"), ("g" * 64, "wrong_format")],
    "sig": [
        (1, "wrong_type"),
        (None, "wrong_type"),
        ("A", "not_base64"),
        ("AAAA", "wrong_length"),
        ("A" * 42 + "B=", "not_base64"),
    ],
}


@pytest.mark.parametrize(
    ("member", "value", "reason"),
    [(member, value, reason) for member, cases in WRONG.items() for value, reason in cases],
)
def test_a_wrong_member_is_named(member: str, value: object, reason: str) -> None:
    assert why({**signed(), member: value}) == ("invalid_record", reason, member)


INSIDE: dict[str, tuple[str, object, str, str]] = {
    "a scale that is none": ("scales.1", "4", "wrong_type", "scales.1"),
    "a scale below two": ("scales.0", 1, "out_of_range", "scales.0"),
    "a scale that does not rise": ("scales.1", 2, "out_of_range", "scales.1"),
    "a scale over the most": ("scales.3", 65_537, "out_of_range", "scales.3"),
    "no cells": ("N_j.4", 0, "out_of_range", "N_j.4"),
    "a part of a cell": ("N_j.8", 1.5, "not_an_integer", "N_j.8"),
    "a count of no scale": ("N_j.32", 40, "unknown_member", "N_j.32"),
    "a direction of text": ("v_star.2", "0", "wrong_type", "v_star.2"),
    "a direction of nothing": ("v_star.0", None, "wrong_type", "v_star.0"),
}


@pytest.mark.parametrize(("path", "value", "reason", "member"), INSIDE.values(), ids=INSIDE)
def test_a_wrong_item_is_named(path: str, value: object, reason: str, member: str) -> None:
    assert why(changed(signed(), path, value)) == ("invalid_record", reason, member)


def test_a_count_must_be_there_for_each_scale() -> None:
    assert why(removed(signed(), "N_j.8")) == ("invalid_record", "missing", "N_j.8")


def test_the_first_wrong_member_of_the_table_is_reported() -> None:
    record: dict[str, Any] = {**signed(), **{name: {} for name in TABLE}}
    for member in TABLE:
        record[member] = [] if member == "N_j" else {}
        assert why(record) == ("invalid_record", "wrong_type", member)
        record[member] = signed()[member]
    assert parse_legacy_record(body(record)).pcs_id == record["pcs_id"]


def test_the_id_is_compared_after_every_member() -> None:
    other = {**signed(), "pcs_id": "ab" * 32}
    assert why(other) == ("pcs_id_mismatch", "pcs_id_mismatch", "pcs_id")
    assert why({**other, "sig": "?"})[1] == "not_base64"


def test_a_bar_in_the_name_of_a_stream_still_names_one_window() -> None:
    assert parsed(shard_id="a|b").signed.shard_id == "a|b"
    assert parsed(shard_id="Presse 7 – Süd").signed.shard_id == "Presse 7 – Süd"


@pytest.mark.parametrize("version", [None, 0.1, 1, [], {}])
def test_a_version_that_is_no_string_is_structure(version: object) -> None:
    assert why({**signed(), "version": version}) == ("invalid_record", "wrong_type", "version")


def test_the_version_is_asked_before_any_member() -> None:
    wrong = {**signed(), "pcs_id": 1}
    for text in ("0.10", "0", "", "1.0", "0.1 "):
        assert why({**wrong, "version": text})[0] == "unsupported_version"
    body_ = body({**wrong, "version": "0.1"})
    with pytest.raises(Refusal) as caught:
        parse_record(body_)
    assert caught.value.reason == "unsupported_version"
    with pytest.raises(Refusal) as caught:
        parse_any_record(body_, accepts_legacy=False)
    assert (caught.value.code, caught.value.reason, caught.value.member) == (
        "unsupported_version",
        "legacy_switched_off",
        "version",
    )
    with pytest.raises(Refusal) as caught:
        parse_any_record(body_, accepts_legacy=True)
    assert caught.value.member == "pcs_id"


def test_json_is_as_strict_as_for_every_record() -> None:
    text = body(signed())
    for spoiled, reason in (
        (b"\xef\xbb\xbf" + text, "byte_order_mark"),
        (text.replace(b'"r": 0.5', b'"r": NaN'), "syntax"),
        (text.replace(b'"r": 0.5', b'"r": 0.5, "r": 0.5'), "duplicate_member"),
        (text + b" " * 65_536, "record_too_large"),
        (b"[]", "not_an_object"),
    ):
        with pytest.raises(Refusal) as caught:
            parse_legacy_record(spoiled)
        assert caught.value.reason == reason


def test_the_signed_numbers_are_rounded_and_the_others_forgotten() -> None:
    exact = parsed()
    carried = {
        **signed(),
        "D_hat": members()["D_hat"] + 4e-10,
        "r": 0.5 - 4e-10,
        "attempt": 7,
        "sent_at": "later",
        "seed": -1,
        "v_star": [1],
        "N_j": {"2": 4, "4": 9, "8": 20, "16": 32},
        "ft": {"degraded": True},
        "note": "x",
    }
    relayed = parse_legacy_record(body(carried))
    assert relayed.signed == exact.signed
    assert stored_bytes_of(relayed) == stored_bytes_of(exact) == oracle.stored(signed())


def test_stored_bytes_are_read_back() -> None:
    cases: list[dict[str, Any]] = [
        {},
        {"shard_id": 'a|"b\\ é😀'},
        {"coh_star": 1, "r": 0},
        {"r": -0.0},
    ]
    for changes in cases:
        record = signed(**changes)
        stored = read_stored(stored_bytes_of(parse_legacy_record(body(record))))
        assert stored.version == "0.1"
        assert stored.pcs_id == record["pcs_id"]
        assert stored.kid is None
        assert stored.record_digest == stored.content_digest


STORED = json.loads(stored_bytes_of(parse_legacy_record(body(signed()))))


@pytest.mark.parametrize(
    "changes",
    [
        {"N_j": {"2": 4}},
        {"schema": "x"},
        {"sig": ""},
        {"sig": "AAAA"},
        {"epoch": 2},
        {"D_hat": STORED["D_hat"] + 4e-10},
        {"r": None},
    ],
)
def test_anything_else_is_no_stored_record(changes: dict[str, object]) -> None:
    text = json.dumps({**STORED, **changes}, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(ContractError):
        read_stored(text)
