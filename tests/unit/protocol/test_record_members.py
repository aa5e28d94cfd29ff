"""Record 1.0: what must be there and what must not, the order of refusals, and the fields."""

from typing import Any

import pytest
from tests.support.records import (
    DELIVERY,
    changed,
    compact,
    refusal,
    refused,
    removed,
    spaced,
    valid_members,
)

from fractal_lba.protocol import (
    RECORD_BYTES_MAX,
    ContractError,
    Delivery,
    FaultTolerance,
    Profile,
    Record,
    Regime,
    canonical,
    parse_json,
    parse_record,
    record_from_members,
    sent_bytes,
    stored_bytes,
)

SAFE = 2**53 - 1

REQUIRED = [name for name in valid_members() if name not in {"meta", "delivery", "sig"}]
INNER = [f"ft.{name}" for name in ("degraded", "fallbacks", "clock_skew_ms")]
INNER += [f"delivery.{name}" for name in DELIVERY]


@pytest.mark.parametrize("path", [*REQUIRED, *INNER])
def test_an_absent_member_is_missing(path: str) -> None:
    error = refusal(removed(valid_members(), path))
    assert (error.code, error.reason, error.member) == ("invalid_record", "missing", path)


@pytest.mark.parametrize(
    ("path", "member"),
    [
        ("x", "x"),
        ("Epoch", "Epoch"),
        ("d_hat", "d_hat"),
        ("ft.x", "ft.x"),
        ("delivery.x", "delivery.x"),
        ("", "?"),
        ("a b", "?"),
        ("x" * 65, "?"),
    ],
)
def test_an_unknown_member_is_refused(path: str, member: str) -> None:
    error = refusal(changed(valid_members(), path, 1))
    assert (error.code, error.reason, error.member) == ("invalid_record", "unknown_member", member)


def test_the_first_unknown_member_in_canonical_order_is_named() -> None:
    error = refusal({**valid_members(), "y": 1, "Z": 1, "\U0001f600": 1, "x": 1})
    assert error.member == "Z"


@pytest.mark.parametrize("value", [[], "a", 1, None, True, [{}]])
def test_a_body_that_is_no_object_is_refused(value: object) -> None:
    error = refusal(value)
    assert (error.code, error.reason, error.member) == ("invalid_record", "not_an_object", None)


@pytest.mark.parametrize("version", ["0.1", "1", "1.1", "1.00", "2.0", "", " 1.0", "1.0\n"])
def test_another_version_is_not_read(version: str) -> None:
    error = refusal({"version": version})
    assert (error.code, error.reason) == ("unsupported_version", "unsupported_version")
    assert error.member == "version"


@pytest.mark.parametrize("version", [1.0, None, ["1.0"], 1, True])
def test_a_version_that_is_no_text_is_an_invalid_record(version: object) -> None:
    error = refusal({"version": version})
    assert (error.code, error.reason, error.member) == ("invalid_record", "wrong_type", "version")


def test_a_version_that_is_missing_is_an_invalid_record() -> None:
    error = refusal({})
    assert (error.code, error.reason, error.member) == ("invalid_record", "missing", "version")


@pytest.mark.parametrize(
    "path", [("merkle_root", "cd" * 32), ("epoch", 8), ("shard_id", "lab:line-2")]
)
def test_a_pcs_id_that_does_not_fit_is_refused(path: tuple[str, object]) -> None:
    error = refusal(changed(valid_members(), *path))
    assert (error.code, error.reason) == ("pcs_id_mismatch", "pcs_id_mismatch")
    assert error.member == "pcs_id"


ORDER = ["schema", *(name for name in valid_members() if name not in {"schema", "version"})]


@pytest.mark.parametrize(
    ("first", "second"), [(a, b) for i, a in enumerate(ORDER) for b in ORDER[i + 1 :]]
)
def test_of_two_wrong_members_the_one_higher_in_the_table_is_named(first: str, second: str) -> None:
    # An array is wrong for every member but these two, which take an empty object for wrong.
    wrong: dict[str, object] = {"scales": {}, "v_star": {}}
    members = valid_members()
    members[second] = wrong.get(second, [])
    members[first] = wrong.get(first, [])
    assert refusal(members).member == first


def test_the_version_goes_before_every_member_and_json_before_the_version() -> None:
    wrong: dict[str, Any] = dict.fromkeys(ORDER)
    assert refusal({**wrong, "version": "0.1"}).code == "unsupported_version"
    body = compact({**wrong, "version": "0.1"})
    assert refused(body.replace(b'"schema"', b'"version"')).reason == "duplicate_member"


def test_members_go_before_unknown_ones_and_these_before_the_pcs_id() -> None:
    members = {**valid_members(), "epoch": 8, "a": 1}
    assert refusal(members).reason == "unknown_member"
    assert refusal({**members, "sig": "*"}).reason == "not_base64"


def test_inside_an_object_known_members_go_before_unknown_ones() -> None:
    members = changed(valid_members(), "ft.a", 1)
    assert refusal(members).member == "ft.a"
    assert refusal(changed(members, "ft.clock_skew_ms", "")).member == "ft.clock_skew_ms"
    assert refusal(changed(members, "meta", None)).member == "ft.a"


def test_a_record_nested_too_deep_is_malformed() -> None:
    nested: Any = 1
    for _ in range(7):
        nested = [nested]
    assert refusal(changed(valid_members(), "meta", nested)).code == "invalid_record"
    assert refusal(changed(valid_members(), "meta", [nested])).reason == "too_deep"


def test_a_body_is_refused_one_byte_past_its_limit() -> None:
    body = compact(valid_members())
    assert parse_record(body + b" " * (RECORD_BYTES_MAX - len(body))) == parse_record(body)
    error = refused(body + b" " * (RECORD_BYTES_MAX + 1 - len(body)))
    assert (error.code, error.reason) == ("too_large", "record_too_large")
    assert refused(b"\xff" * (RECORD_BYTES_MAX + 1)).code == "too_large"


def test_the_largest_record_fits_its_limit_in_canonical_form() -> None:
    # U+0001 takes six bytes in JSON and one in the limits of the table.
    members = {
        **valid_members(),
        "ft": {"degraded": True, "fallbacks": ["\x01" * 64] * 8, "clock_skew_ms": -SAFE},
        "meta": {f"{index:02d}" + "m" * 62: "\x01" * 256 for index in range(16)},
    }
    body = canonical(members)
    assert parse_record(body).meta == members["meta"]
    assert RECORD_BYTES_MAX / 2 - 4_096 < len(body) < RECORD_BYTES_MAX / 2


def test_every_member_reaches_its_field() -> None:
    members = valid_members()
    record = parse_record(compact(members))
    assert record == Record(
        schema="fractal-lba-kakeya",
        version="1.0",
        kid="hmac-1",
        pcs_id=members["pcs_id"],
        merkle_root="ab" * 32,
        epoch=7,
        shard_id="lab:line-1",
        created_at="2026-11-21T06:00:00.123Z",
        created_at_ms=1_795_240_800_123,
        profile=Profile.POINTS,
        n=1000,
        d=3,
        seed=42,
        scales=(2, 4, 8, 16, 32),
        n_j={2: 8, 4: 40, 8: 150, 16: 400, 32: 800},
        d_hat=1.660964047,
        coh_star=0.12,
        r=0.77,
        budget=0.193,
        v_star=(0.6, 0.64, 0.48),
        regime=Regime.MIXED,
        ft=FaultTolerance(degraded=False, fallbacks=("column 3 lost",), clock_skew_ms=-12),
        meta={"model": "demo", "run": 3, "warm": True},
        delivery=Delivery(attempt=1, sent_at="2026-11-21T06:00:01.000Z", outbox_seq=7),
        signature=bytes(32),
        members=members,
    )


def test_numbers_are_doubles_where_the_table_says_number() -> None:
    members = {**valid_members(), "D_hat": 2, "coh_star": 1, "r": 0, "budget": 1}
    record = parse_record(compact({**members, "v_star": [0, 1, 0]}))
    values = (record.d_hat, record.coh_star, record.r, record.budget, *record.v_star)
    assert {type(value) for value in values} == {float}


def test_stored_bytes_leave_out_the_delivery_alone() -> None:
    record = parse_record(spaced(valid_members()))
    stored = parse_json(stored_bytes(record), depth_max=8)
    assert stored == removed(valid_members(), "delivery")
    again = parse_record(stored_bytes(record))
    assert stored_bytes(again) == stored_bytes(record)


def test_sent_bytes_carry_the_delivery_of_this_attempt() -> None:
    record = parse_record(spaced(removed(valid_members(), "delivery")))
    delivery = Delivery(attempt=3, sent_at="2026-11-21T07:00:00.000Z", outbox_seq=9)
    sent = parse_record(sent_bytes(record, delivery))
    assert sent.delivery == delivery
    assert stored_bytes(sent) == stored_bytes(record)


def test_members_without_a_json_form_are_refused() -> None:
    with pytest.raises(ContractError):
        record_from_members({**valid_members(), "D_hat": float("nan")})
