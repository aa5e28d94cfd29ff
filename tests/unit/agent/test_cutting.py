"""Units that come by themselves, into windows by count and by time."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fractal_lba.agent.cutting import Cutter
from fractal_lba.agent.window import UNITS_MAX
from fractal_lba.protocol import Profile


def cuts(cutter: Cutter, now_s: float, *, is_end: bool = False) -> list[list[float] | bytes]:
    found: list[list[float] | bytes] = []
    while (data := cutter.cut(now_s=now_s, is_end=is_end)) is not None:
        found.append(data if isinstance(data, bytes) else column(data))
    return found


def column(data: NDArray[np.float64]) -> list[float]:
    return [float(value) for value in data[:, 0]]


def test_rows_are_cut_by_count_and_three_stay_behind() -> None:
    cutter = Cutter(Profile.POINTS, 4)
    for at in range(9):
        cutter.add([[float(at)]], now_s=0.0)
        assert cuts(cutter, 0.0) == ([[0.0, 1.0, 2.0, 3.0]] if at == 6 else [])
    assert cuts(cutter, 0.0, is_end=True) == [[4.0, 5.0, 6.0, 7.0, 8.0]]
    assert cutter.left == 0


def test_bytes_are_cut_by_count_however_they_come() -> None:
    cutter = Cutter(Profile.BYTES, 4)
    cutter.add(b"0123456789", now_s=0.0)
    cutter.add(b"abc", now_s=0.0)
    assert cuts(cutter, 0.0) == [b"0123", b"4567"]
    assert cuts(cutter, 0.0, is_end=True) == [b"89abc"]


def test_a_window_of_time_holds_what_arrived_in_its_period() -> None:
    cutter = Cutter(Profile.POINTS, 4, period_s=10.0)
    found = []
    for at, now_s in enumerate((3.0, 4.0, 9.9, 10.0, 11.0, 12.0, 31.0)):
        found += cuts(cutter, now_s)
        cutter.add([[float(at)]], now_s=now_s)
    assert found == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert cutter.left == 1


def test_fewer_than_three_go_on_into_the_next_period() -> None:
    cutter = Cutter(Profile.POINTS, 4, period_s=10.0)
    found = []
    for at, now_s in enumerate((8.0, 9.0, 12.0, 25.0, 26.0, 27.0)):
        found += cuts(cutter, now_s)
        cutter.add([[float(at)]], now_s=now_s)
    assert found == [[0.0, 1.0, 2.0]]
    assert cuts(cutter, 27.0, is_end=True) == [[3.0, 4.0, 5.0]]


def test_a_period_that_holds_too_much_ends_early() -> None:
    cutter = Cutter(Profile.BYTES, 4, period_s=10.0)
    cutter.add(bytes(UNITS_MAX + 5), now_s=0.0)
    (first,) = cuts(cutter, 1.0)
    assert len(first) == UNITS_MAX
    assert cutter.left == 5


@pytest.mark.parametrize(("rows", "due_s"), [(0, None), (2, None), (3, 20.0)])
def test_it_says_when_a_window_ends_without_another_row(rows: int, due_s: float | None) -> None:
    cutter = Cutter(Profile.POINTS, 4, period_s=10.0)
    for at in range(rows):
        cutter.add([[float(at)]], now_s=11.0)
    assert cutter.due_s() == due_s
    if due_s is not None:
        assert cuts(cutter, due_s - 0.001) == []
        assert len(cuts(cutter, due_s)) == 1


def test_a_clock_that_goes_back_ends_nothing() -> None:
    cutter = Cutter(Profile.POINTS, 4, period_s=10.0)
    for now_s in (25.0, 26.0, 3.0):
        assert cuts(cutter, now_s) == []
        cutter.add([[0.0]], now_s=now_s)
    assert len(cuts(cutter, 30.0)) == 1
