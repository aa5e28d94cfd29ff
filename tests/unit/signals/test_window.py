"""What is a window, and what is refused, naming the row and no value."""

import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from fractal_lba.protocol.errors import ContractError
from fractal_lba.signals import summarise_bytes, summarise_points
from fractal_lba.signals.window import check_scales, check_seed, point_blocks

GOOD = np.arange(12.0).reshape(4, 3)


def with_value(row: int, column: int, value: float) -> np.ndarray:
    window = GOOD.copy()
    window[row, column] = value
    return window


MASKED = np.ma.masked_array(GOOD, mask=GOOD == 7.0)

REFUSED_WINDOWS: dict[str, tuple[Any, str]] = {
    "nan": (with_value(2, 1, np.nan), "window row 2, column 1: .* got NaN"),
    "nan in the last place": (with_value(3, 2, np.nan), "window row 3, column 2: .* got NaN"),
    "infinity": (with_value(0, 2, np.inf), "window row 0, column 2: .* got an infinity"),
    "minus infinity": (with_value(1, 0, -np.inf), "window row 1, column 0: .* got an infinity"),
    "just beyond 1e300": (
        with_value(3, 0, np.nextafter(1e300, np.inf)),
        "window row 3, column 0: .* got a larger one",
    ),
    "just beyond -1e300": (
        with_value(3, 0, -np.nextafter(1e300, np.inf)),
        "window row 3, column 0: .* got a larger one",
    ),
    "the first of several": (
        np.array([1.0, np.inf, np.nan, 1e301]),
        "window row 1, column 0: .* got an infinity",
    ),
    "a wider float that overflows": (
        np.array([1, 2, np.longdouble("1e4000")], dtype=np.longdouble),
        "window row 2, column 0: ",
    ),
    "masked": (MASKED, "window row 2: expected a value, got a masked one"),
    "two rows": (GOOD[:2], "window: expected 3 to 65536 rows, got 2"),
    "no rows": (GOOD[:0], "window: expected 3 to 65536 rows, got 0"),
    "65,537 rows": (np.zeros(65_537), "window: expected 3 to 65536 rows, got 65537"),
    "no columns": (np.zeros((5, 0)), "window: expected 1 to 4096 columns, got 0"),
    "4,097 columns": (np.zeros((3, 4097)), "window: expected 1 to 4096 columns, got 4097"),
    "one number": (np.float64(3.0), "window: expected 1 or 2 dimensions, got 0"),
    "a stack of tables": (np.zeros((3, 3, 3)), "window: expected 1 or 2 dimensions, got 3"),
    "complex": (GOOD.astype(np.complex128), "window: expected real numbers, got type complex128"),
    "text": (np.array(["1", "2", "3"]), "window: expected real numbers, got type <U1"),
    "objects": (np.array([1, None, 3]), "window: expected real numbers, got type object"),
    "fractions": (
        np.array([Fraction(1, 3)] * 3),
        "window: expected real numbers, got type object",
    ),
    "dates": (
        np.array(["2026-01-01"] * 3, dtype="M8[s]"),
        r"window: expected real numbers, got type datetime64\[s\]",
    ),
    "ragged": ([[1.0, 2.0], [3.0], [4.0, 5.0]], "window: expected rows of equal length"),
}


@pytest.mark.parametrize("name", REFUSED_WINDOWS)
def test_a_bad_window_is_refused_by_name(name: str) -> None:
    window, message = REFUSED_WINDOWS[name]
    with pytest.raises(ContractError, match=f"^{message}"):
        summarise_points(window)


def test_a_refusal_holds_no_value_of_the_window() -> None:
    window = with_value(2, 1, np.nan)
    window[2, 0] = 31_415_926.5
    with pytest.raises(ContractError) as refused:
        summarise_points(window)
    assert "31415926" not in str(refused.value)
    with pytest.raises(ContractError) as refused:
        summarise_points(with_value(2, 1, 2.7182e305))
    assert not re.search(r"2\.7|305", str(refused.value))


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 4096), (65_536,), (65_536, 2)])
def test_shapes_at_the_bounds_are_summarised(shape: tuple[int, ...]) -> None:
    window = np.zeros(shape)
    window[-1] = 1.0
    summary = summarise_points(window)
    assert (summary.n, summary.d) == (shape[0], shape[1] if len(shape) > 1 else 1)


def test_1e300_is_not_too_large() -> None:
    summary = summarise_points(np.array([[1e300] * 4096, [-1e300] * 4096, [0.0] * 4096]))
    assert summary.n_j[2] == 2 or summary.n_j[2] == 3


SAME_VALUES: dict[str, Any] = {
    "a list": GOOD.tolist(),
    "a tuple of rows": tuple(map(tuple, GOOD.tolist())),
    "int8": GOOD.astype(np.int8),
    "uint64": GOOD.astype(np.uint64),
    "float16": GOOD.astype(np.float16),
    "float32": GOOD.astype(np.float32),
    "longdouble": GOOD.astype(np.longdouble),
    "big-endian": GOOD.astype(">f8"),
    "column by column in memory": np.asfortranarray(GOOD),
    "every other element": np.repeat(np.repeat(GOOD, 2, axis=0), 2, axis=1)[::2, ::2],
    "a reversed view of a reversed copy": GOOD[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": np.frombuffer(GOOD.tobytes()).reshape(4, 3),
    "a mask that hides nothing": np.ma.masked_array(GOOD, mask=np.zeros((4, 3), dtype=bool)),
}


@pytest.mark.parametrize("name", SAME_VALUES)
def test_the_same_values_have_the_same_summary(name: str) -> None:
    assert summarise_points(SAME_VALUES[name]) == summarise_points(GOOD)


def test_one_column_and_a_flat_series_are_the_same_window() -> None:
    series = np.array([3.0, 1.0, 4.0, 1.0, 5.0])
    assert summarise_points(series) == summarise_points(series.reshape(-1, 1))
    wide = np.arange(10.0).reshape(5, 2)
    assert summarise_points(wide[:, 1]) == summarise_points(wide[:, 1].copy())


CONVERSIONS = {
    "2^53+1 ties to even": (np.array([2**53 + 1, 0, 1]), 2.0**53),
    "2^53+3 ties to even": (np.array([2**53 + 3, 0, 1]), 2.0**53 + 4),
    "the largest uint64": (np.array([2**64 - 1, 0, 1], dtype=np.uint64), 2.0**64),
    "the smallest int64": (np.array([-(2**63), 0, 1], dtype=np.int64), -(2.0**63)),
    "a float32 tenth": (np.array([0.1, 0, 1], dtype=np.float32), 0.100000001490116119384765625),
    "true": (np.array([True, False, True]), 1.0),
    "a longdouble between two doubles": (
        np.array([np.longdouble(1) + np.longdouble(2) ** -60, 0, 1]),
        1.0,
    ),
}


@pytest.mark.parametrize("name", CONVERSIONS)
def test_other_types_convert_to_the_nearest_double(name: str) -> None:
    given, first = CONVERSIONS[name]
    (rows,) = point_blocks(given)
    assert rows[0, 0] == first


def test_the_window_is_left_as_it_was() -> None:
    window = np.random.default_rng(8).normal(size=(30, 70))
    before = window.tobytes()
    summarise_points(window)
    assert window.tobytes() == before


@pytest.mark.parametrize("length", [0, 1, 2, 65_537])
def test_bytes_of_a_length_out_of_range_are_refused(length: int) -> None:
    with pytest.raises(ContractError, match=rf"^data: expected 3 to 65536 bytes, got {length}$"):
        summarise_bytes(b"x" * length)


@pytest.mark.parametrize("length", [3, 65_536])
def test_bytes_of_a_length_at_the_bounds_are_summarised(length: int) -> None:
    assert summarise_bytes(b"x" * length).n == length


def test_bytes_in_another_holder_are_the_same_window() -> None:
    data = b"the same bytes"
    assert summarise_bytes(bytearray(data)) == summarise_bytes(data)
    assert summarise_bytes(memoryview(data)) == summarise_bytes(data)


def test_text_is_not_bytes() -> None:
    with pytest.raises(ContractError, match=r"^data: expected bytes, got str$"):
        summarise_bytes("text")  # type: ignore[arg-type] # what the refusal is for


@pytest.mark.parametrize("seed", [-1, 2**53, True, 1.0, "42", None, np.True_])
def test_a_seed_out_of_range_is_refused(seed: object) -> None:
    with pytest.raises(ContractError, match=r"^seed: expected an integer of 0 to 9007199254740991"):
        summarise_points(GOOD, seed=seed)  # type: ignore[arg-type] # what the refusal is for


@pytest.mark.parametrize(
    "scales",
    [
        (),
        (2,),
        (1, 2),
        (2, 3),
        (4, 2),
        (2, 2),
        (2, 1025),
        (0, 2),
        (2.0, 4),
        (True, 2),
        (2, 4, "8"),
        tuple(2**k for k in range(1, 12)),
    ],
)
def test_scales_out_of_range_are_refused(scales: tuple[int, ...]) -> None:
    with pytest.raises(ContractError, match=r"^scales: expected 2 to 10 integers of 2 to 1024"):
        summarise_bytes(b"some text", scales=scales)


def test_scales_and_seeds_at_the_bounds_are_taken() -> None:
    longest = tuple(2**k for k in range(1, 11))
    assert check_scales(longest) == longest
    assert check_scales([np.int64(3), np.uint8(6)]) == (3, 6)
    assert [check_seed(seed) for seed in (0, 2**53 - 1, np.uint64(7))] == [0, 2**53 - 1, 7]


def test_the_members_are_those_of_the_record() -> None:
    summary = summarise_points(GOOD)
    members = summary.members()
    assert list(members) == [
        "profile",
        "n",
        "d",
        "seed",
        "scales",
        "N_j",
        "D_hat",
        "coh_star",
        "r",
        "budget",
        "v_star",
        "regime",
        "merkle_root",
    ]
    assert members["scales"] == [2, 4, 8, 16, 32]
    assert members["N_j"] == {str(scale): count for scale, count in summary.n_j.items()}
    assert type(members["regime"]) is str
