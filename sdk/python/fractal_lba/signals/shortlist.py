"""Bounds, in single precision, on the fullest bin of each direction.

The rule: a bound may be quick and coarse as long as it is one. A direction that has at most fewer
points in a bin than another has at least cannot be the answer; all others are counted in doubles,
operation by operation, so that no bit of a signal comes from here.
"""

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

_Real = TypeVar("_Real", np.float32, np.float64)

BINS: Final = 20
# From so many points on, the bounds cost less than the counts that they save.
SHORTLIST_MIN: Final = 2048

# Steps of one bin. A point in the first or the last of them may belong next door.
_STEP_BITS: Final = 10
_STEPS: Final = 1 << _STEP_BITS
# With u = 2^-24 a coordinate, a direction, a product and a sum are each off by one u: a projection
# by at most 5 √3 u < 6e-7, as are the smallest and the largest. Its place, in bins, is then off by
# less than 80 × 6e-7 / span + 80 u, which from this span on is less than one step.
_SPAN_MIN: Final = 0.1
# A power of two above the bins. The last place is for points of which no bin is sure: those near an
# edge, the largest value among them.
_PLACES: Final = 32
_SIGN_BIT: Final = 15
# Projected values held at a time, or two directions' where they have more: twice 256 KiB stay in a
# core's cache.
_VALUES_AT_ONCE: Final = 65_536


def bounds(
    cube: NDArray[np.float64], some: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many points the fullest bin of each direction has at least, and at most.

    Args:
        cube: ``(3, P)``, 0 ... 1.
        some: ``(k, 3)``, unit directions, k even.

    Returns:
        ``(k,)`` and ``(k,)``, 0 ... P.
    """
    points = cube.shape[1]
    coarse, units = cube.astype(np.float32), some.astype(np.float32)
    at_once = min(len(some), max(2, _VALUES_AT_ONCE // points // 2 * 2))
    values, spare = np.empty((2, at_once, points), dtype=np.float32)
    wide = np.empty((at_once // 2, points), dtype=np.int64)
    at_least, at_most = np.empty((2, len(some)), dtype=np.int64)
    for first in range(0, len(some), at_once):
        part = slice(first, first + at_once)
        rows = len(units[part])
        projections(coarse, units[part], values[:rows], spare[:rows])
        at_least[part], at_most[part] = _row_bounds(values[:rows], spare[:rows], wide[: rows // 2])
    return at_least, at_most


def projections(
    cube: NDArray[_Real], some: NDArray[_Real], values: NDArray[_Real], spare: NDArray[_Real]
) -> NDArray[_Real]:
    """Return ``values``, filled with where the points lie along each direction.

    Args:
        cube: ``(3, P)``, the points.
        some: ``(k, 3)``, the directions.
        values: ``(k, P)``, memory for the result.
        spare: ``(k, P)``, memory that is overwritten.
    """
    x, y, z = cube
    # (x*v0 + y*v1) + z*v2, each operation rounded by itself; a matrix product would fuse them.
    np.multiply(x, some[:, 0:1], out=values)
    np.multiply(y, some[:, 1:2], out=spare)
    np.add(values, spare, out=values)
    np.multiply(z, some[:, 2:3], out=spare)
    return np.add(values, spare, out=values)


def _row_bounds(
    values: NDArray[np.float32], spare: NDArray[np.float32], wide: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the bounds of each row of projections.

    Args:
        values: ``(k, P)``, k even; used up.
        spare: ``(k, P)``, memory that is overwritten.
        wide: ``(k / 2, P)``, memory that is overwritten.
    """
    rows, points = values.shape
    lows = np.minimum.reduce(values, axis=1, keepdims=True)
    spans = np.maximum.reduce(values, axis=1, keepdims=True) - lows
    narrow = spans[:, 0] < _SPAN_MIN
    spans[narrow] = 1.0
    values -= lows
    values *= np.float32(BINS * _STEPS) / spans
    steps, doubt = spare.ravel().view(np.int16).reshape(2, rows, points)
    np.copyto(steps, values, casting="unsafe")  # truncation is the floor: no value is negative
    # All bits set in the first and the last step of a bin, none in between: one step on, those two
    # are the highest, and a sum that they alone make overflow leaves its sign in every bit.
    np.subtract(steps, 1, out=doubt)
    doubt &= _STEPS - 1
    doubt += (1 << _SIGN_BIT) - (_STEPS - 2)
    doubt >>= _SIGN_BIT
    steps >>= _STEP_BITS
    steps |= doubt
    steps &= _PLACES - 1
    tallies = _tallies(steps, wide)[:, :BINS]
    sure, doubtful = tallies.max(axis=1), points - tallies.sum(axis=1)
    sure[narrow], doubtful[narrow] = 0, points
    return sure, sure + doubtful


def _tallies(places: NDArray[np.int16], wide: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many points of each row are in each place, ``(k, 32)``; ``places`` is used up.

    Two rows are counted at once: a point adds one to the pair of its two places, which halves the
    dearest step, and what each row has is a sum over the other's places.
    """
    pairs = len(places) // 2
    both = places[:pairs]
    both *= _PLACES
    both += places[pairs:]
    np.copyto(wide, both)  # what `bincount` takes without a copy of its own
    joint = np.array([np.bincount(pair, minlength=_PLACES**2) for pair in wide])
    joint = joint.reshape(pairs, _PLACES, _PLACES)
    # Products of integers are exact, and quicker than sums over so short an axis.
    each = np.ones(_PLACES, dtype=np.int64)
    return np.concatenate((joint @ each, each @ joint))
