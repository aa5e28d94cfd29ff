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

DIRECTIONS = 100
BINS = 20
# A projection narrower than this (the cube's side is 1) lies in one bin: its spread is rounding.
SPAN_MIN = 1e-9

_DIRECTION_DOMAIN = b"fractal-lba/direction/1"
_WORDS = struct.Struct(">4Q")
# Projected values held at a time (512 KiB for each temporary), whatever the window's length.
_VALUES_AT_ONCE = 65_536
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


def coherence(cube: NDArray[np.float64], seed: int) -> tuple[float, tuple[float, float, float]]:
    """Return the largest share of points in one bin, and the first direction that reaches it.

    Args:
        cube: ``(3, P)``, 0 ... 1, P at least 1.
        seed: 0 ... 2^53-1.

    Returns:
        The share, 1/20 ... 1, and the unit direction; neither is rounded.
    """
    total = cube.shape[1]
    candidates = directions(seed)
    at_once = max(1, _VALUES_AT_ONCE // total)
    fullest = np.concatenate(
        [
            _fullest_bins(cube, candidates[first : first + at_once])
            for first in range(0, DIRECTIONS, at_once)
        ]
    )
    best = int(np.argmax(fullest))  # the first of equals
    v0, v1, v2 = candidates[best].tolist()
    return int(fullest[best]) / total, (v0, v1, v2)


def projections(cube: NDArray[np.float64], some: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return, for each of the ``(k, 3)`` directions, where the ``(3, P)`` points lie along it."""
    x, y, z = cube
    # (x*v0 + y*v1) + z*v2, each operation rounded by itself; a matrix product would fuse them.
    values: NDArray[np.float64] = x * some[:, 0:1]
    values += y * some[:, 1:2]
    values += z * some[:, 2:3]
    return values


def bin_counts(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how many of the ``(k, P)`` projected values lie in each of 20 equal bins, row by row.

    The values are used up. A row narrower than 1e-9 lies in its first bin.
    """
    rows = len(values)
    lows = values.min(axis=1, keepdims=True)
    spans = values.max(axis=1, keepdims=True) - lows
    values -= lows
    values *= BINS
    values /= np.where(spans < SPAN_MIN, 1.0, spans)
    # Truncation is the floor: no value is negative. The upper edge belongs to the last bin.
    bins = np.minimum(values.astype(np.int64), BINS - 1)
    bins += BINS * np.arange(rows, dtype=np.int64)[:, np.newaxis]
    return np.bincount(bins.ravel(), minlength=BINS * rows).reshape(rows, BINS)


def _fullest_bins(cube: NDArray[np.float64], some: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return, for each of the ``(k, 3)`` directions, the number of points in its fullest bin."""
    fullest: NDArray[np.int64] = bin_counts(projections(cube, some)).max(axis=1)
    return fullest
