"""Coherence: how much of a window falls into one thin slab, over 100 fixed directions.

The rule: directions come from ``+ - * sqrt`` of hashed words alone, because sine and cosine differ
between machines, and shares are compared as counts, never as rounded quotients.
"""

import hashlib
import math
import struct
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fractal_lba.signals.buffers import without_buffers
from fractal_lba.signals.shortlist import BINS, SHORTLIST_MIN, bounds, projections

DIRECTIONS = 100
# A projection narrower than this (the cube's side is 1) lies in one bin: its spread is rounding.
SPAN_MIN = 1e-9

_DIRECTION_DOMAIN = b"fractal-lba/direction/1"
_WORDS = struct.Struct(">4Q")
# Projected values held at a time, or one direction's where it has more: twice 512 KiB stay in a
# core's cache.
_VALUES_AT_ONCE = 65_536
# From so many points on, a direction is counted by a call of its own: telling the bins of several
# apart takes a pass over all values, which costs more than the calls.
_ALONE_MIN = 1024
# The largest value is at the upper edge of the last bin and gets a column of its own at first.
_WITH_EDGE = BINS + 1
# An agent uses one seed; a verifier of several streams a few.
_SEEDS_CACHED = 16


def direction(seed: int, index: int) -> tuple[float, float, float]:
    """Return direction ``index`` of the seed, a point of the unit sphere.

    Args:
        seed: 0 ... 2^53-1.
        index: 0 ... 99.

    Source: Marsaglia (1972), doi:10.1214/aoms/1177692644.
    """
    words = _direction_words(seed, index)
    while True:
        u = (next(words) >> 11) * 2.0**-52 - 1.0
        v = (next(words) >> 11) * 2.0**-52 - 1.0
        s = u * u + v * v
        if s >= 1.0 or s == 0.0:
            continue
        q = math.sqrt(1.0 - s)
        return 2.0 * u * q, 2.0 * v * q, 1.0 - 2.0 * s


def _direction_words(seed: int, index: int) -> Iterator[int]:
    block = 0
    while True:
        hashed = hashlib.sha256(_DIRECTION_DOMAIN + struct.pack(">QII", seed, index, block))
        yield from _WORDS.unpack(hashed.digest())
        block += 1


@lru_cache(maxsize=_SEEDS_CACHED)
def directions(seed: int) -> NDArray[np.float64]:
    """Return the ``(100, 3)`` directions of a seed, read-only."""
    all_directions = np.array([direction(seed, index) for index in range(DIRECTIONS)])
    all_directions.setflags(write=False)
    return all_directions


def coherence(
    cube: NDArray[np.float64], seed: int, counts: NDArray[np.int64] | None = None
) -> tuple[float, tuple[float, float, float]]:
    """Return the largest share of points in one bin, and the first direction that reaches it.

    Args:
        cube: ``(3, P)``, 0 ... 1, P at least 1.
        seed: 0 ... 2^53-1.
        counts: ``(P,)``, how often each point is there; once each when None.

    Returns:
        The share, 1/20 ... 1, and the unit direction; neither is rounded.
    """
    points = cube.shape[1]
    total = points if counts is None else int(counts.sum())
    weights = None if counts is None else counts.astype(np.float64)
    candidates = directions(seed)
    if counts is None and points >= SHORTLIST_MIN:
        with without_buffers():
            at_least, at_most = bounds(cube, candidates)
        candidates = candidates[at_most >= at_least.max()]
    at_once = min(len(candidates), max(1, _VALUES_AT_ONCE // points))
    # Taken once: to fault fresh pages in again for each chunk costs as much as to fill them.
    values, spare = np.empty((2, at_once, points))
    counted = np.empty((len(candidates), BINS), dtype=np.int64)
    with without_buffers():
        for first in range(0, len(candidates), at_once):
            some = candidates[first : first + at_once]
            along = projections(cube, some, values[: len(some)], spare[: len(some)])
            counted[first : first + at_once] = bin_counts(along, spare[: len(some)], weights)
    fullest = counted.max(axis=1)
    best = int(np.argmax(fullest))  # the first of equals
    v0, v1, v2 = candidates[best].tolist()
    return int(fullest[best]) / total, (v0, v1, v2)


def bin_counts(
    values: NDArray[np.float64],
    spare: NDArray[np.float64],
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """Return how many values of each row lie in each of 20 equal bins, ``(k, 20)``.

    A row narrower than 1e-9 lies in its first bin.

    Args:
        values: ``(k, P)``, projections; used up.
        spare: ``(k, P)``, memory that is overwritten.
        weights: ``(P,)``, how often a value counts, whole numbers; once when None.
    """
    rows, points = values.shape
    lows = np.minimum.reduce(values, axis=1, keepdims=True)
    spans = np.maximum.reduce(values, axis=1, keepdims=True) - lows
    spans[spans < SPAN_MIN] = 1.0
    values -= lows
    values *= BINS
    values /= spans
    bins = spare.view(np.int64)
    # Truncation is the floor: no value is negative.
    np.copyto(bins, values, casting="unsafe")
    if points < _ALONE_MIN:
        bins += _WITH_EDGE * np.arange(rows)[:, np.newaxis]
        tiled = None if weights is None else np.tile(weights, rows)
        counted = np.bincount(bins.ravel(), tiled, _WITH_EDGE * rows)
        tallies = counted.astype(np.int64).reshape(rows, _WITH_EDGE)
    else:
        # Weighted counts are doubles; they are whole, because their sums stay far below 2^53.
        tallies = np.empty((rows, _WITH_EDGE), dtype=np.int64)
        for tally, row in zip(tallies, bins, strict=True):
            tally[:] = np.bincount(row, weights, _WITH_EDGE)
    tallies[:, BINS - 1] += tallies[:, BINS]  # the upper edge belongs to the last bin
    return tallies[:, :BINS]
