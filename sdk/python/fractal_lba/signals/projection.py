"""Three columns from any number of them, and the unit cube they are measured in.

Points are held as a ``(3, P)`` array here, one contiguous row for each coordinate. The rule: every
addition happens in the order of the columns, one at a time, so that all languages get the same
bits.
"""

import hashlib
import struct
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fractal_lba.signals.buffers import without_buffers

DIMENSIONS = 3
# Below this the division would blow noise up to structure; such a window is one point.
RANGE_MIN = 1e-300

_PROJECTION_DOMAIN = b"fractal-lba/projection/1"
_BLOCK_BITS = 256
# An agent uses one seed and one width; a verifier of several streams a few.
_SIGNS_CACHED = 16
# What a projection holds at a time: few enough values to stay in a core's cache, enough of them
# that the calls cost less than the additions.
_ROWS_AT_ONCE = 512
_COLUMNS_AT_ONCE = 64
# Doubles of one cache line: rows a power of two apart would all want the same few lines.
_GAP = 8


def coordinates(rows: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return what three dimensions keep of some rows: up to three columns as they are, more summed.

    Each row's are its own, so that a window may come in pieces.

    Args:
        rows: ``(k, d)``, finite, magnitude at most 1e300.
        seed: 0 ... 2^53-1; matters for d > 3 only.

    Returns:
        ``(min(d, 3), k)``.

    Source: Achlioptas (2003), doi:10.1016/S0022-0000(03)00025-4, for the signs.
    """
    if rows.shape[1] <= DIMENSIONS:
        return rows.T.copy()
    signs = projection_signs(seed, rows.shape[1])
    sums = np.zeros((DIMENSIONS, len(rows)))
    with without_buffers():
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            piece = slice(first, first + _ROWS_AT_ONCE)
            sums[:, piece] = _project(rows[piece], signs)
    return sums


def in_space(kept: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a window's points in three dimensions.

    One column becomes its delay embedding, two get a zero, three stay.

    Args:
        kept: ``(c, n)``, what `coordinates` gives of all rows, c at most 3.

    Returns:
        ``(3, P)``, where P is n - 2 if c = 1, else n.

    Source: Takens (1981), doi:10.1007/BFb0091924, for the embedding.
    """
    columns, rows = kept.shape
    if columns == 1:
        series = kept[0]
        return np.stack((series[:-2], series[1:-1], series[2:]))
    if columns == DIMENSIONS:
        return kept
    return np.concatenate((kept, np.zeros((1, rows))))


def distinct_points(data: bytes) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the different points of a byte string's delay embedding and how often each is there.

    Text repeats itself: of its n - 2 points a part is different, and equal ones share a cell and
    every bin.

    Returns:
        ``(3, P)``, ascending by coordinates, and ``(P,)``.
    """
    values = np.frombuffer(data, dtype=np.uint8).astype(np.int32)
    keys, counts = np.unique(
        (values[:-2] << 16) | (values[1:-1] << 8) | values[2:], return_counts=True
    )
    return np.stack((keys >> 16, (keys >> 8) & 0xFF, keys & 0xFF)).astype(np.float64), counts


@lru_cache(maxsize=_SIGNS_CACHED)
def projection_signs(seed: int, columns: int) -> NDArray[np.float64]:
    """Return the ``(columns, 3)`` signs of a seed, read-only.

    1.0 where bit 3j + k of its SHA-256 stream is 1, else -1.0.
    """
    blocks = -(-DIMENSIONS * columns // _BLOCK_BITS)
    stream = b"".join(
        hashlib.sha256(_PROJECTION_DOMAIN + struct.pack(">QI", seed, block)).digest()
        for block in range(blocks)
    )
    bits = np.unpackbits(np.frombuffer(stream, dtype=np.uint8), bitorder="big")
    signs = np.where(bits[: DIMENSIONS * columns] == 1, 1.0, -1.0).reshape(columns, DIMENSIONS)
    signs.setflags(write=False)
    return signs


def _project(rows: NDArray[np.float64], signs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ``(3, k)`` sums of ``(k, d)`` rows under ``(d, 3)`` signs."""
    total, columns = rows.shape
    sums = np.zeros((DIMENSIONS, total))
    at_once = min(columns, _COLUMNS_AT_ONCE)
    near = np.empty((total, at_once + _GAP))
    terms = np.empty((at_once, DIMENSIONS, total))
    for first in range(0, columns, at_once):
        some = signs[first : first + at_once, :, np.newaxis]
        held, signed = near[:, : len(some)], terms[: len(some)]
        np.copyto(held, rows[:, first : first + at_once])
        np.multiply(held.T[:, np.newaxis], some, out=signed)  # exact: a sign changes no bit else
        # Not a matrix product: BLAS adds in an order of its own and fuses multiply with add.
        for column in signed:
            np.add(sums, column, out=sums)
    return sums


def unit_cube(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ``(3, P)`` points moved and scaled, alike in all directions, into the unit cube.

    The column of the largest range fills 0 ... 1; the others keep their proportion to it. A largest
    range below 1e-300 makes all zeros.
    """
    lows = points.min(axis=1, keepdims=True)
    extent = (points.max(axis=1, keepdims=True) - lows).max()
    if extent < RANGE_MIN:
        return np.zeros_like(points)
    moved: NDArray[np.float64] = (points - lows) / extent
    return moved


def occupied_cells(cube: NDArray[np.float64], scale: int) -> int:
    """Return how many of the ``scale``^3 cells of the unit cube hold a point.

    Args:
        cube: ``(3, P)``, 0 ... 1.
        scale: cells along each axis, 2 ... 1,024, so that a cell's number fits in 30 bits.
    """
    # Truncation is the floor: no coordinate is negative. The upper edge belongs to the last cell.
    x, y, z = np.minimum((cube * scale).astype(np.int32), scale - 1)
    cells = (x * scale + y) * scale + z
    cells.sort()
    return 1 + int(np.count_nonzero(cells[1:] != cells[:-1]))
