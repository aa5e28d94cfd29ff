"""Repairs: what stands in a window in place of what the source did not have.

Pure. A record of such a window says so (``ft.degraded``) and names what was done, from a closed
list, so that its server escalates it and nobody takes it for a whole one. A repair looks at nothing
but its window: a file that is cut again is repaired in the same way.
"""

from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fractal_lba.agent.window import VALUE_ABS_MAX
from fractal_lba.signals.window import check_points

# Between two windows a wall clock that is steered moves by less; what passes it was set, or slept.
CLOCK_JUMP_MS = 1000
# Steering moves a clock by 500 ppm at the most (adjtimex(2)); twice that is no jump.
_STEERING = 0.001


class Fallback(StrEnum):
    """What was done in place of the real thing; the names in ``ft.fallbacks``."""

    COLUMN_LOST = "column_lost"  # no value of a column in the whole window: 0 in each row
    VALUE_REPLACED = "value_replaced"  # a value: the last good one of its column, else the next
    CLOCK_JUMPED = "clock_jumped"  # `created_at` is by a clock that was set since the last window


def repaired(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], tuple[Fallback, ...]]:
    """Return a window whose every value can be summarised, and what was done for that.

    Args:
        points: ``(n, d)``; NaN, infinities and what is beyond 1e300 count as missing.
    """
    # NaN compares as false, so that this one comparison finds it too.
    is_bad = ~(np.abs(points) <= VALUE_ABS_MAX)
    if not is_bad.any():
        return points, ()
    found = points.copy()
    done: set[Fallback] = set()
    rows = np.arange(len(points))
    for column in np.flatnonzero(is_bad.any(axis=0)):
        good = np.flatnonzero(~is_bad[:, column])
        if good.size == 0:
            found[:, column] = 0.0
            done.add(Fallback.COLUMN_LOST)
            continue
        before = np.searchsorted(good, rows, side="right") - 1
        found[:, column] = points[good[np.maximum(before, 0)], column]
        done.add(Fallback.VALUE_REPLACED)
    return found, tuple(each for each in Fallback if each in done)


class ClockWatch:
    """How far the wall clock moved against the one that cannot be set."""

    def __init__(self) -> None:
        self._last: tuple[int, float] | None = None

    def skew_ms(self, now_ms: int, monotonic_s: float) -> tuple[int, bool]:
        """Return by how much since the last call, and whether that is a jump; at first 0.

        Args:
            now_ms: Wall clock, ms since 1970.
            monotonic_s: Seconds since any fixed moment.
        """
        last, self._last = self._last, (now_ms, monotonic_s)
        if last is None:
            return 0, False
        passed_ms = (monotonic_s - last[1]) * 1000
        skew_ms = round(now_ms - last[0] - passed_ms)
        return skew_ms, abs(skew_ms) > CLOCK_JUMP_MS + passed_ms * _STEERING


def gappy(points: ArrayLike) -> NDArray[np.float64]:
    """Return a copy of a table some of whose values may be missing.

    Raises:
        ContractError: Nothing can be made of it by repairing values.
    """
    try:
        with np.errstate(over="ignore"):  # a wider float may overflow: repaired later
            given = np.array(points, dtype=np.float64, ndmin=1)
    except (TypeError, ValueError):
        return check_points(points)  # says what is wrong with it
    found = given.reshape(-1, 1) if given.ndim == 1 else given
    check_points(repaired(found)[0])
    return found
