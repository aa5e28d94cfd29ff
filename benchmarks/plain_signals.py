"""The signals as one writes them down first: numpy, a loop over columns, a loop over directions.

What `benchmarks.signals` measures against, and what a property test compares bit for bit. The same
operations in the same order as ``fractal_lba.signals``; only the seed's signs and directions, the
rounding and the formulas behind the signals are the product's.
"""

import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fractal_lba.protocol.derive import budget, d_hat, regime, rounded
from fractal_lba.protocol.strict_json import JsonValue
from fractal_lba.signals.coherence import SPAN_MIN, directions
from fractal_lba.signals.projection import RANGE_MIN, projection_signs
from fractal_lba.signals.shortlist import BINS

Points = NDArray[np.float64]
DIMENSIONS: Final = 3


def plain_points(window: Points, seed: int, scales: tuple[int, ...]) -> dict[str, JsonValue]:
    """Return the signals of an ``(n, d)`` table under a record's member names."""
    cube = plain_cube(plain_columns(window, seed))
    return _signals(cube, (cube.T * 255.0 + 0.5).astype(np.uint8).tobytes(), seed, scales)


def plain_bytes(data: bytes, seed: int, scales: tuple[int, ...]) -> dict[str, JsonValue]:
    """Return the signals of a byte string under a record's member names."""
    series = np.frombuffer(data, dtype=np.uint8).astype(np.float64)[:, np.newaxis]
    return _signals(plain_cube(plain_columns(series, seed)), data, seed, scales)


def plain_columns(window: Points, seed: int) -> Points:
    """Return a table's ``(3, P)`` points."""
    rows, columns = window.shape
    if columns == 1:
        series = window[:, 0]
        return np.stack((series[:-2], series[1:-1], series[2:]))
    points = np.zeros((DIMENSIONS, rows))
    if columns <= DIMENSIONS:
        points[:columns] = window.T
        return points
    for column, signs in zip(window.T, projection_signs(seed, columns).tolist(), strict=True):
        for total, sign in zip(points, signs, strict=True):
            (np.add if sign > 0 else np.subtract)(total, column, out=total)
    return points


def plain_cube(points: Points) -> Points:
    """Return the points in the unit cube."""
    lows = points.min(axis=1, keepdims=True)
    extent = (points.max(axis=1, keepdims=True) - lows).max()
    return np.zeros_like(points) if extent < RANGE_MIN else (points - lows) / extent


def plain_cells(cube: Points, scale: int) -> int:
    """Return the number of occupied cells."""
    x, y, z = np.minimum(np.floor(cube * scale), scale - 1).astype(np.int64)
    return int(np.unique((x * scale + y) * scale + z).size)


def plain_coherence(cube: Points, seed: int) -> tuple[float, Points]:
    """Return the largest share and the first direction that reaches it, one after another."""
    x, y, z = cube
    most, best = 0, np.zeros(DIMENSIONS)
    for direction in directions(seed):
        v0, v1, v2 = direction
        along = (x * v0 + y * v1) + z * v2
        low, high = along.min(), along.max()
        if high - low < SPAN_MIN:
            fullest = along.size
        else:
            bins = np.minimum(np.floor((BINS * (along - low)) / (high - low)), BINS - 1)
            fullest = int(np.bincount(bins.astype(np.int64), minlength=BINS).max())
        if fullest > most:
            most, best = fullest, direction
    return most / cube.shape[1], best


def _signals(
    cube: Points, packed: bytes, seed: int, scales: tuple[int, ...]
) -> dict[str, JsonValue]:
    n_j = {scale: plain_cells(cube, scale) for scale in scales}
    share, direction = plain_coherence(cube, seed)
    slope, coh_star = d_hat(n_j), rounded(share)
    r = rounded(min(1.0, len(zlib.compress(packed, 6)) / len(packed)))
    return {
        "N_j": {str(scale): count for scale, count in n_j.items()},
        "D_hat": slope,
        "coh_star": coh_star,
        "r": r,
        "budget": budget(slope, coh_star, r),
        "v_star": [rounded(part) for part in direction.tolist()],
        "regime": regime(slope, coh_star).value,
    }
