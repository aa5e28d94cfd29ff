"""Record 1.0: every member at its bounds and one past."""

from typing import Any

import pytest
from tests.support.records import (
    changed,
    compact,
    refusal,
    removed,
    spaced,
    valid_members,
    with_id,
)

from fractal_lba.protocol import (
    Profile,
    parse_record,
    record_from_members,
    stored_bytes,
)

SAFE = 2**53 - 1

# Path → a value at its bound.
ACCEPTED: list[tuple[str, Any]] = [
    ("kid", "k"),
    ("kid", "K-9._" + "a" * 59),
    ("epoch", 0),
    ("epoch", SAFE),
    ("epoch", 7.0),
    ("shard_id", "s"),
    ("shard_id", "A.z_0:-" + "s" * 121),
    ("created_at", "1970-01-01T00:00:00.000Z"),
    ("created_at", "9999-12-31T23:59:59.999Z"),
    ("n", 800),
    ("n", 65_536),
    ("n", 1e3),
    ("d", 1),
    ("d", 4_096),
    ("seed", 0),
    ("seed", SAFE),
    ("N_j.2", 1),
    ("N_j.32", 1000),
    ("D_hat", -16),
    ("D_hat", 16),
    ("D_hat", 0.0),
    ("D_hat", -0.0),
    ("D_hat", 1e-300),
    ("coh_star", 0.05),
    ("coh_star", 1),
    ("r", 0),
    ("r", 1.0),
    ("budget", 0),
    ("budget", 1),
    ("v_star", [1, 0, 0]),
    ("v_star", [0, -1.0, 0]),
    ("v_star", [0, 0, 0.9999995000000001]),
    ("regime", "sticky"),
    ("regime", "non_sticky"),
    ("ft.degraded", True),
    ("ft.fallbacks", []),
    ("ft.fallbacks", [""] * 8),
    ("ft.fallbacks", ["a" * 64]),
    ("ft.fallbacks", ["é" * 32]),
    ("ft.clock_skew_ms", SAFE),
    ("ft.clock_skew_ms", -SAFE),
    ("meta", {}),
    ("meta", {f"m{index}": index for index in range(16)}),
    ("meta", {"a0_." + "z" * 60: ""}),
    ("meta.x", "a" * 256),
    ("meta.x", "é" * 128),
    ("meta.x", "\ufffe\U0001f600"),
    ("meta.x", SAFE),
    ("meta.x", -SAFE),
    ("meta.x", False),
    ("delivery.attempt", SAFE),
    ("delivery.sent_at", "1970-01-01T00:00:00.000Z"),
    ("delivery.outbox_seq", 1),
    ("delivery.outbox_seq", SAFE),
    ("sig", ""),
    ("sig", "A" * 42 + "8="),
    ("sig", "A" * 85 + "Q=="),
]


@pytest.mark.parametrize(("path", "value"), ACCEPTED)
def test_a_value_at_its_bound_is_accepted(path: str, value: object) -> None:
    members = with_id(changed(valid_members(), path, value))
    records = [parse_record(compact(members)), parse_record(spaced(members))]
    assert records[0] == records[1]
    assert records[0] == record_from_members(members)
    assert stored_bytes(records[0]) == stored_bytes(records[1])


@pytest.mark.parametrize("path", ["meta", "delivery", "sig"])
def test_an_optional_member_may_be_absent(path: str) -> None:
    record = parse_record(compact(removed(valid_members(), path)))
    assert path not in record.members
    assert (record.meta, record.delivery, record.signature).count(None) + (
        record.signature == b""
    ) == 1


SCALES_OK: dict[str, tuple[list[int], int]] = {
    "two": ([2, 4], 3),
    "ten": ([2**power for power in range(1, 11)], 3),
    "not doubling but more": ([2, 5, 11, 1024], 3),
    "the largest": ([512, 1024], 3),
}


@pytest.mark.parametrize("case", SCALES_OK)
def test_scales_at_their_bounds_are_accepted(case: str) -> None:
    scales, n = SCALES_OK[case]
    n_j = {str(scale): 1 for scale in scales}
    members = {**valid_members(), "scales": scales, "N_j": n_j, "n": n, "d": 1}
    for body in (compact(members), spaced(members)):
        assert parse_record(body).n_j == dict.fromkeys(scales, 1)


REFUSED: list[tuple[str, Any, str]] = [
    ("schema", "fractal-lba", "wrong_value"),
    ("schema", "", "wrong_value"),
    ("schema", 1, "wrong_type"),
    ("kid", "", "wrong_format"),
    ("kid", "a" * 65, "wrong_format"),
    ("kid", "a b", "wrong_format"),
    ("kid", "a:b", "wrong_format"),
    ("kid", "a\n", "wrong_format"),
    ("kid", "é", "wrong_format"),
    ("kid", None, "wrong_type"),
    ("pcs_id", "a" * 63, "wrong_format"),
    ("pcs_id", "a" * 65, "wrong_format"),
    ("pcs_id", "A" * 64, "wrong_format"),
    ("pcs_id", "g" * 64, "wrong_format"),
    ("pcs_id", "a" * 64 + "\n", "wrong_format"),
    ("pcs_id", 1, "wrong_type"),
    ("merkle_root", "a" * 63, "wrong_format"),
    ("merkle_root", "AB" * 32, "wrong_format"),
    ("merkle_root", [], "wrong_type"),
    ("epoch", -1, "out_of_range"),
    ("epoch", SAFE + 1, "not_an_integer"),
    ("epoch", 1.5, "not_an_integer"),
    ("epoch", 1e300, "not_an_integer"),
    ("epoch", "7", "wrong_type"),
    ("epoch", True, "wrong_type"),
    ("epoch", None, "wrong_type"),
    ("shard_id", "", "wrong_format"),
    ("shard_id", "s" * 129, "wrong_format"),
    ("shard_id", "a|b", "wrong_format"),
    ("shard_id", "a/b", "wrong_format"),
    ("shard_id", {}, "wrong_type"),
    ("created_at", "2026-11-21T06:00:00Z", "wrong_format"),
    ("created_at", "1969-12-31T23:59:59.999Z", "wrong_format"),
    ("created_at", "2026-02-29T06:00:00.000Z", "wrong_format"),
    ("created_at", "2026-11-21T06:00:60.000Z", "wrong_format"),
    ("created_at", 1, "wrong_type"),
    ("profile", "points/2", "wrong_value"),
    ("profile", "POINTS/1", "wrong_value"),
    ("profile", 1, "wrong_type"),
    ("n", 2, "out_of_range"),
    ("n", 65_537, "out_of_range"),
    ("n", 3.5, "not_an_integer"),
    ("n", "3", "wrong_type"),
    ("d", 0, "out_of_range"),
    ("d", 4_097, "out_of_range"),
    ("d", 1.000001, "not_an_integer"),
    ("d", False, "wrong_type"),
    ("seed", -1, "out_of_range"),
    ("seed", SAFE + 1, "not_an_integer"),
    ("seed", -1e16, "not_an_integer"),
    ("seed", [], "wrong_type"),
    ("scales", [2], "wrong_count"),
    ("scales", [], "wrong_count"),
    ("scales", [2] * 11, "wrong_count"),
    ("scales", "2", "wrong_type"),
    ("N_j", [], "wrong_type"),
    ("D_hat", -16.000001, "out_of_range"),
    ("D_hat", 16.000001, "out_of_range"),
    ("D_hat", 1e300, "out_of_range"),
    ("D_hat", "1", "wrong_type"),
    ("D_hat", True, "wrong_type"),
    ("coh_star", 0.0499999, "out_of_range"),
    ("coh_star", 1.0000001, "out_of_range"),
    ("coh_star", None, "wrong_type"),
    ("r", -1e-300, "out_of_range"),
    ("r", 1.0000000000000002, "out_of_range"),
    ("r", "0", "wrong_type"),
    ("budget", -1, "out_of_range"),
    ("budget", 2, "out_of_range"),
    ("budget", {}, "wrong_type"),
    ("v_star", [1, 0], "wrong_count"),
    ("v_star", [1, 0, 0, 0], "wrong_count"),
    ("v_star", {"0": 1}, "wrong_type"),
    ("v_star", [0, 0, 0], "not_a_unit_vector"),
    ("v_star", [1, 0.001001, 0], "not_a_unit_vector"),
    ("v_star", [0, 0, 0.9999994], "not_a_unit_vector"),
    ("regime", "Sticky", "wrong_value"),
    ("regime", "", "wrong_value"),
    ("regime", 1, "wrong_type"),
    ("ft", [], "wrong_type"),
    ("ft.degraded", 0, "wrong_type"),
    ("ft.degraded", None, "wrong_type"),
    ("ft.fallbacks", [""] * 9, "wrong_count"),
    ("ft.fallbacks", "", "wrong_type"),
    ("ft.clock_skew_ms", SAFE + 1, "not_an_integer"),
    ("ft.clock_skew_ms", 0.5, "not_an_integer"),
    ("ft.clock_skew_ms", "0", "wrong_type"),
    ("meta", None, "wrong_type"),
    ("meta", [], "wrong_type"),
    ("meta", {f"m{index}": 0 for index in range(17)}, "wrong_count"),
    ("meta.x", "a" * 257, "too_long"),
    ("meta.x", "é" * 128 + "a", "too_long"),
    ("meta.x", 0.5, "not_an_integer"),
    ("meta.x", SAFE + 1, "not_an_integer"),
    ("meta.x", None, "wrong_type"),
    ("meta.x", [], "wrong_type"),
    ("meta.x", {}, "wrong_type"),
    ("meta.Upper", 1, "wrong_format"),
    ("meta." + "a" * 65, 1, "wrong_format"),
    ("delivery", None, "wrong_type"),
    ("delivery.attempt", 0, "out_of_range"),
    ("delivery.attempt", SAFE + 1, "not_an_integer"),
    ("delivery.attempt", "1", "wrong_type"),
    ("delivery.sent_at", "2026-11-21", "wrong_format"),
    ("delivery.sent_at", 1, "wrong_type"),
    ("delivery.outbox_seq", 0, "out_of_range"),
    ("delivery.outbox_seq", 1.5, "not_an_integer"),
    ("sig", None, "wrong_type"),
    ("sig", 1, "wrong_type"),
    ("sig", "*", "not_base64"),
    ("sig", "A" * 43, "not_base64"),
    ("sig", "A" * 42 + "B=", "not_base64"),
    ("sig", "A" * 43 + "=\n", "not_base64"),
    ("sig", "-" * 43 + "=", "not_base64"),
    ("sig", "AA==", "wrong_length"),
    ("sig", "A" * 42 + "==", "wrong_length"),
    ("sig", "A" * 44, "wrong_length"),
    ("sig", "A" * 84, "wrong_length"),
    ("sig", "A" * 87 + "=", "wrong_length"),
]


@pytest.mark.parametrize(("path", "value", "reason"), REFUSED)
def test_a_value_past_its_bound_is_refused_by_name(path: str, value: object, reason: str) -> None:
    error = refusal(changed(valid_members(), path, value))
    shown = path if path != "meta." + "a" * 65 else "meta.?"
    assert (error.code, error.reason, error.member) == ("invalid_record", reason, shown)
    assert str(error).startswith(f"{shown}: expected ")


ITEMS: list[tuple[str, Any, str, str]] = [
    ("scales", [1, 2], "out_of_range", "scales.0"),
    ("scales", [2, 1025], "out_of_range", "scales.1"),
    ("scales", [2, 3], "not_doubled", "scales.1"),
    ("scales", [2, 4, 4], "not_doubled", "scales.2"),
    ("scales", [4, 2], "not_doubled", "scales.1"),
    ("scales", [2, 4.5], "not_an_integer", "scales.1"),
    ("scales", ["2", 4], "wrong_type", "scales.0"),
    ("N_j", {"2": 0, "4": 1, "8": 1, "16": 1, "32": 1}, "out_of_range", "N_j.2"),
    ("N_j", {"2": 1, "4": 1001, "8": 1, "16": 1, "32": 1}, "out_of_range", "N_j.4"),
    ("N_j", {"2": 1, "4": 1, "8": 1.5, "16": 1, "32": 1}, "not_an_integer", "N_j.8"),
    ("N_j", {"2": 1, "4": 1, "8": 1, "16": "1", "32": 1}, "wrong_type", "N_j.16"),
    ("N_j", {"2": 1, "4": 1, "8": 1, "16": 1}, "missing", "N_j.32"),
    ("N_j", {"02": 1, "4": 1, "8": 1, "16": 1, "32": 1}, "missing", "N_j.2"),
    (
        "N_j",
        {"2": 1, "4": 1, "8": 1, "16": 1, "32": 1, "64": 1},
        "unknown_member",
        "N_j.64",
    ),
    (
        "N_j",
        {"2": 1, "4": 1, "04": 1, "8": 1, "16": 1, "32": 1},
        "unknown_member",
        "N_j.04",
    ),
    ("v_star", [1.1, 0, 0], "out_of_range", "v_star.0"),
    ("v_star", [0, -1.0000001, 0], "out_of_range", "v_star.1"),
    ("v_star", [0, 1, "0"], "wrong_type", "v_star.2"),
    ("ft.fallbacks", ["a", "a" * 65], "too_long", "ft.fallbacks.1"),
    ("ft.fallbacks", ["é" * 32 + "a"], "too_long", "ft.fallbacks.0"),
    ("ft.fallbacks", [1], "wrong_type", "ft.fallbacks.0"),
    ("meta", {"": 1}, "wrong_format", "meta.?"),
    ("meta", {"é": 1}, "wrong_format", "meta.?"),
    ("meta", {"a": None, "B": 1}, "wrong_format", "meta.B"),
]


@pytest.mark.parametrize(("path", "value", "reason", "member"), ITEMS)
def test_an_item_past_its_bound_is_refused_by_its_path(
    path: str, value: object, reason: str, member: str
) -> None:
    error = refusal(changed(valid_members(), path, value))
    assert (error.code, error.reason, error.member) == ("invalid_record", reason, member)


def test_a_line_of_one_column_loses_two_points() -> None:
    line = {**valid_members(), "d": 1, "n": 802}
    assert parse_record(compact(line)).n_j[32] == 800
    error = refusal({**line, "n": 801})
    assert (error.reason, error.member) == ("out_of_range", "N_j.32")


def test_bytes_have_one_column() -> None:
    text = {**valid_members(), "profile": "bytes/1", "d": 1}
    assert parse_record(compact(text)).profile is Profile.BYTES
    error = refusal({**text, "d": 2})
    assert (error.reason, error.member) == ("out_of_range", "d")


def test_no_message_holds_a_value_of_the_record() -> None:
    for path, _, _ in REFUSED:
        if path.rpartition(".")[2] not in {"x", "Upper", "a" * 65}:
            assert "hunter2" not in str(refusal(changed(valid_members(), path, "hunter2 |")))
    assert "hunter2" not in str(refusal({**valid_members(), "hunter2 !": 1}))
