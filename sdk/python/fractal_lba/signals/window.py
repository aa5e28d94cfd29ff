"""Windows: what may be summarised at all, and the bytes the Merkle root commits to.

The rule: a window is refused whole, naming the row, before anything is computed from it. Messages
name rows, columns, shapes and types, never a value of the window. Rows and columns count from 0.
"""

import itertools
import operator
from collections.abc import Sequence
from typing import SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fractal_lba.protocol.errors import ContractError

DEFAULT_SEED = 42
DEFAULT_SCALES = (2, 4, 8, 16, 32)

ROWS_MIN = 3  # the delay embedding of a series needs three values
ROWS_MAX = 65_536
COLUMNS_MAX = 4_096
# Sums of 4,096 such values, and differences of two, stay far below the largest double.
MAGNITUDE_MAX = 1e300
TEXT_LEAF_BYTES = 64

_SEED_MAX = 2**53 - 1
_SCALE_COUNT_MIN, _SCALE_COUNT_MAX = 2, 10
_SCALE_MIN, _SCALE_MAX = 2, 1024


def check_points(window: ArrayLike) -> NDArray[np.float64]:
    """Return the window as an ``(n, d)`` array of native doubles, rows contiguous.

    Args:
        window: ``(n, d)``, or ``(n,)`` for one column; bool, integer or real floating numbers,
            which convert to the nearest double. The result may share the memory of the argument.

    Raises:
        ContractError: Wrong type or shape, or a value that is NaN, infinite or beyond 1e300 in
            magnitude; the message names the first such row.
    """
    if isinstance(window, np.ma.MaskedArray) and np.ma.is_masked(window):
        row = int(np.argwhere(np.ma.getmaskarray(window))[0][0])
        raise ContractError(f"window row {row}: expected a value, got a masked one")
    try:
        given = np.asarray(window)
    except ValueError as error:  # rows of different lengths
        raise ContractError("window: expected rows of equal length, got a ragged one") from error
    if given.dtype.kind not in "biuf":
        raise ContractError(f"window: expected real numbers, got type {given.dtype}")
    if given.ndim == 1:
        given = given.reshape(-1, 1)
    if given.ndim != 2:  # noqa: PLR2004 - a table has two dimensions
        raise ContractError(f"window: expected 1 or 2 dimensions, got {given.ndim}")
    rows, columns = given.shape
    if not ROWS_MIN <= rows <= ROWS_MAX:
        raise ContractError(f"window: expected {ROWS_MIN} to {ROWS_MAX} rows, got {rows}")
    if not 1 <= columns <= COLUMNS_MAX:
        raise ContractError(f"window: expected 1 to {COLUMNS_MAX} columns, got {columns}")
    with np.errstate(over="ignore", invalid="ignore"):  # a wider float may overflow: refused below
        doubles = np.ascontiguousarray(given, dtype=np.float64)
    # NaN makes both comparisons false, and no temporary as large as the window is needed.
    if not (doubles.min() >= -MAGNITUDE_MAX and doubles.max() <= MAGNITUDE_MAX):
        _refuse_first_bad_value(doubles)
    return doubles


def _refuse_first_bad_value(window: NDArray[np.float64]) -> None:
    for row, values in enumerate(window):
        bad = np.flatnonzero(~(np.abs(values) <= MAGNITUDE_MAX))
        if bad.size:
            column = int(bad[0])
            value = values[column]
            if np.isnan(value):
                what = "NaN"
            elif np.isinf(value):
                what = "an infinity"
            else:
                what = "a larger one"
            raise ContractError(
                f"window row {row}, column {column}: expected a finite number of magnitude at most "
                f"1e300, got {what}"
            )
    raise AssertionError("unreachable: the caller found a value out of range")


def check_bytes(data: bytes | bytearray | memoryview) -> bytes:
    """Return the byte string, copied if it was mutable.

    Raises:
        ContractError: Not bytes, shorter than 3 or longer than 65,536 bytes.
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ContractError(f"data: expected bytes, got {type(data).__name__}")
    held = bytes(data)
    if not ROWS_MIN <= len(held) <= ROWS_MAX:
        raise ContractError(f"data: expected {ROWS_MIN} to {ROWS_MAX} bytes, got {len(held)}")
    return held


def check_seed(seed: SupportsIndex) -> int:
    """Return the seed as an int.

    Raises:
        ContractError: Not an integer of 0 ... 2^53-1.
    """
    number = _integer(seed)
    if number is None or not 0 <= number <= _SEED_MAX:
        raise ContractError(f"seed: expected an integer of 0 to {_SEED_MAX}, got {seed!r}")
    return number


def check_scales(scales: Sequence[SupportsIndex]) -> tuple[int, ...]:
    """Return the scales as a tuple of ints, ascending.

    Raises:
        ContractError: Not 2 to 10 integers of 2 to 1,024, each at least twice the one before.
    """
    numbers = [_integer(scale) for scale in scales]
    checked = tuple(number for number in numbers if number is not None)
    if (
        len(checked) != len(numbers)
        or not _SCALE_COUNT_MIN <= len(checked) <= _SCALE_COUNT_MAX
        or not all(_SCALE_MIN <= scale <= _SCALE_MAX for scale in checked)
        or any(b < 2 * a for a, b in itertools.pairwise(checked))
    ):
        raise ContractError(
            f"scales: expected {_SCALE_COUNT_MIN} to {_SCALE_COUNT_MAX} integers of {_SCALE_MIN} "
            f"to {_SCALE_MAX}, each at least twice the one before, got {list(scales)!r}"
        )
    return checked


def _integer(value: object) -> int | None:
    """Return the value of any integer type, numpy's included; None for a bool or another."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, SupportsIndex):
        return None
    return operator.index(value)


def point_leaves(window: NDArray[np.float64]) -> list[bytes]:
    """Return each row as little-endian doubles, bit for bit (``-0.0`` stays ``-0.0``)."""
    row_bytes = 8 * window.shape[1]
    data = window.astype("<f8", copy=False).tobytes()
    return [data[start : start + row_bytes] for start in range(0, len(data), row_bytes)]


def byte_leaves(data: bytes) -> list[bytes]:
    """Return the chunks of 64 bytes, the last one shorter where it must be."""
    return [data[start : start + TEXT_LEAF_BYTES] for start in range(0, len(data), TEXT_LEAF_BYTES)]
