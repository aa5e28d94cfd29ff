"""Three columns from any number of them, and the unit cube they are measured in.

Points are held as a ``(3, P)`` array here, one contiguous row for each coordinate. The rule: every
addition happens in the order of the columns, one at a time, so that all languages get the same
bits.
"""

import hashlib
import struct

import numpy as np
from numpy.typing import NDArray

DIMENSIONS = 3
# Below this the division would blow noise up to structure; such a window is one point.
RANGE_MIN = 1e-300

_PROJECTION_DOMAIN = b"fractal-lba/projection/1"
_BLOCK_BITS = 256
# Columns copied at a time, so that a column is contiguous while the window is never held twice.
_COLUMNS_AT_ONCE = 64


def three_columns(window: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Return the window's points in three dimensions.

    One column becomes its delay embedding, two get a zero, three stay, more are projected with
    random signs.

    Args:
        window: ``(n, d)``, finite, magnitude at most 1e300.
        seed: 0 ... 2^53-1; matters for d > 3 only.

    Returns:
        ``(3, P)``, where P is n - 2 if d = 1, else n.

    Source: Takens (1981), doi:10.1007/BFb0091924, for the embedding; Achlioptas (2003),
    doi:10.1016/S0022-0000(03)00025-4, for the signs.
    """
    rows, columns = window.shape
    if columns == 1:
        series = window[:, 0]
        return np.stack((series[:-2], series[1:-1], series[2:]))
    if columns > DIMENSIONS:
        return _project(window, projection_signs(seed, columns))
    points = np.zeros((DIMENSIONS, rows))
    points[:columns] = window.T
    return points


def projection_signs(seed: int, columns: int) -> NDArray[np.bool_]:
    """Return the ``(columns, 3)`` signs: bit 3j + k of the seed's SHA-256 stream, true for plus."""
    blocks = -(-DIMENSIONS * columns // _BLOCK_BITS)
    stream = b"".join(
        hashlib.sha256(_PROJECTION_DOMAIN + struct.pack(">QI", seed, block)).digest()
        for block in range(blocks)
    )
    bits = np.unpackbits(np.frombuffer(stream, dtype=np.uint8), bitorder="big")
    return bits[: DIMENSIONS * columns].reshape(columns, DIMENSIONS).astype(np.bool_)


def _project(window: NDArray[np.float64], signs: NDArray[np.bool_]) -> NDArray[np.float64]:
    rows, columns = window.shape
    points = np.zeros((DIMENSIONS, rows))
    sums = list(points)
    for first in range(0, columns, _COLUMNS_AT_ONCE):
        block = np.ascontiguousarray(window[:, first : first + _COLUMNS_AT_ONCE].T)
        block_signs = signs[first : first + _COLUMNS_AT_ONCE].tolist()
        # Not a matrix product: BLAS adds in an order of its own and fuses multiply with add.
        for column, plus in zip(block, block_signs, strict=True):
            for total, is_plus in zip(sums, plus, strict=True):
                (np.add if is_plus else np.subtract)(total, column, out=total)
    return points


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
    x, y, z = np.minimum((cube * scale).astype(np.int64), scale - 1)
    return int(np.unique((x * scale + y) * scale + z).size)
