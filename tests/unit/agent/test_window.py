"""How a source is cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fractal_lba.agent.window import (
    UNITS_MAX,
    UNITS_MIN,
    check_points,
    check_window_size,
    next_cut,
)
from fractal_lba.protocol import ContractError


def cuts(total: int, window: int, *, at_once: int | None = None) -> list[int]:
    """Return the sizes of the windows of a source that gives ``at_once`` units at a time."""
    sizes = []
    arrived = held = 0
    while True:
        size = next_cut(held, window, is_end=arrived == total)
        if size:
            sizes.append(size)
            held -= size
        elif arrived == total:
            return sizes
        else:
            more = min(at_once or total, total - arrived)
            arrived += more
            held += more


@pytest.mark.parametrize(
    ("total", "window", "sizes"),
    [
        (2, 10, []),
        (3, 10, [3]),
        (10, 10, [10]),
        (11, 10, [11]),
        (12, 10, [12]),
        (13, 10, [10, 3]),
        (20, 10, [10, 10]),
        (22, 10, [10, 12]),
        (25, 10, [10, 10, 5]),
        (3, 3, [3]),
        (5, 3, [5]),
        (6, 3, [3, 3]),
        (65_536, 65_536, [65_536]),
        (65_537, 65_536, [65_534, 3]),
        (65_538, 65_536, [65_535, 3]),
        (65_539, 65_536, [65_536, 3]),
        (65_536, 65_535, [65_536]),
        (65_537, 65_535, [65_534, 3]),
    ],
)
def test_a_source_is_cut_as_the_rules_say(total: int, window: int, sizes: list[int]) -> None:
    assert cuts(total, window) == sizes


@given(
    total=st.integers(0, 2 * UNITS_MAX + 10),
    window=st.integers(UNITS_MIN, UNITS_MAX) | st.integers(UNITS_MAX - 3, UNITS_MAX),
)
def test_every_unit_is_in_one_window_and_every_window_fits_a_record(
    total: int, window: int
) -> None:
    window = max(window, total // 200)  # a few hundred windows at most
    if window > UNITS_MAX:
        return
    sizes = cuts(total, window)
    assert sum(sizes) == (total if total >= UNITS_MIN else 0)
    assert all(UNITS_MIN <= size <= UNITS_MAX for size in sizes)
    assert all(size == window for size in sizes[:-2])


@given(total=st.integers(0, 200), window=st.integers(3, 50), at_once=st.integers(1, 60))
def test_the_cut_does_not_depend_on_how_units_arrive(total: int, window: int, at_once: int) -> None:
    assert cuts(total, window, at_once=at_once) == cuts(total, window)


@pytest.mark.parametrize("window", [2, 0, -1, 65_537])
def test_a_window_no_record_can_hold_is_refused(window: int) -> None:
    with pytest.raises(ContractError, match=rf"window: expected 3 … 65536, got {window}"):
        check_window_size(window)


@pytest.mark.parametrize("window", [3, 65_536])
def test_the_bounds_of_a_window_are_windows(window: int) -> None:
    assert check_window_size(window) == window


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf"), 1.1e300, -1.1e300])
def test_a_value_that_cannot_be_summarised_is_named_by_row_and_column(bad: float) -> None:
    points = np.zeros((5, 2))
    points[3, 1] = bad
    with pytest.raises(ContractError, match=r"x\.csv: row 104, column 'b': expected a finite"):
        check_points(points, where="x.csv", first_row=101, columns=["a", "b"])


def test_the_largest_values_can_be_summarised() -> None:
    check_points(np.array([[1e300], [-1e300]]), where="x", first_row=1, columns=["a"])
