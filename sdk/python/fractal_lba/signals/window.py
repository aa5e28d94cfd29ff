"""Windows: what may be summarised at all, and the bytes the Merkle root commits to.

The rule: a window is refused whole, naming the row, and nothing is returned of it. It is read once,
front to back, some rows at a time, so that a table larger than memory can be a window. Messages
name rows, columns, shapes and types, never a value of the window. Rows and columns count from 0.
"""

import itertools
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, SupportsIndex

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
# Of a table, as doubles, so much is held at a time: 256 of the widest rows, enough of them that
# the calls for each column cost less than the additions.
BLOCK_BYTES = 8 * 2**20

_SEED_MAX = 2**53 - 1
_SCALE_COUNT_MIN, _SCALE_COUNT_MAX = 2, 10
_SCALE_MIN, _SCALE_MAX = 2, 1024


def point_blocks(window: ArrayLike) -> Iterator[NDArray[np.float64]]:
    """Yield the rows of a table in order, some at a time, as native doubles.

    A table of doubles is not copied, nor is it read before its turn: a mapped file stays on disk.

    Args:
        window: ``(n, d)``, or ``(n,)`` for one column; bool, integer or real floating numbers,
            which convert to the nearest double.

    Raises:
        ContractError: Wrong type or shape, at once; or a value that is NaN, infinite or beyond
            1e300 in magnitude, in its turn: the message names the first such row.
    """
    given = _table(window, "window")
    rows, columns = given.shape
    if not ROWS_MIN <= rows <= ROWS_MAX:
        raise ContractError(f"window: expected {ROWS_MIN} to {ROWS_MAX} rows, got {rows}")
    _check_columns(columns)
    yield from _pieces(given, 0)


def check_points(window: ArrayLike) -> NDArray[np.float64]:
    """Return a copy of a table as an ``(n, d)`` array of native doubles.

    Raises:
        ContractError: As `point_blocks`.
    """
    return np.concatenate(tuple(point_blocks(window)))


def joined_blocks(blocks: Iterable[ArrayLike]) -> Iterator[NDArray[np.float64]]:
    """Yield, as `point_blocks` does, the rows of a table that comes in blocks of whole rows.

    Raises:
        ContractError: As `point_blocks`; or a block of another width than the first one, or too
            few or too many rows in all, once that is known.
    """
    total, columns = 0, 0
    for number, block in enumerate(blocks):
        given = _table(block, f"block {number}")
        columns = columns or given.shape[1]
        _check_columns(columns)
        if given.shape[1] != columns:
            raise ContractError(f"block {number}: expected {columns} columns, got {given.shape[1]}")
        if total + len(given) > ROWS_MAX:
            raise ContractError(f"window: expected {ROWS_MIN} to {ROWS_MAX} rows, got more")
        yield from _pieces(given, total)
        total += len(given)
    if total < ROWS_MIN:
        raise ContractError(f"window: expected {ROWS_MIN} to {ROWS_MAX} rows, got {total}")


def _table(given: ArrayLike, where: str) -> NDArray[Any]:
    """Return a table as an array of real numbers of its own type, two-dimensional."""
    try:
        table = np.asanyarray(given)
    except ValueError as error:  # rows of different lengths
        raise ContractError(f"{where}: expected rows of equal length, got a ragged one") from error
    if table.dtype.kind not in "biuf":
        raise ContractError(f"{where}: expected real numbers, got type {table.dtype}")
    if table.ndim == 1:
        table = table.reshape(-1, 1)
    if table.ndim != 2:  # noqa: PLR2004 - a table has two dimensions
        raise ContractError(f"{where}: expected 1 or 2 dimensions, got {table.ndim}")
    return table


def _check_columns(columns: int) -> None:
    if not 1 <= columns <= COLUMNS_MAX:
        raise ContractError(f"window: expected 1 to {COLUMNS_MAX} columns, got {columns}")


def _pieces(table: NDArray[Any], first_row: int) -> Iterator[NDArray[np.float64]]:
    at_once = max(1, BLOCK_BYTES // (8 * table.shape[1]))
    for first in range(0, len(table), at_once):
        yield _doubles(table[first : first + at_once], first_row + first)


def _doubles(rows: NDArray[Any], first_row: int) -> NDArray[np.float64]:
    if isinstance(rows, np.ma.MaskedArray) and np.ma.is_masked(rows):
        row = first_row + int(np.argwhere(np.ma.getmaskarray(rows))[0][0])
        raise ContractError(f"window row {row}: expected a value, got a masked one")
    with np.errstate(over="ignore", invalid="ignore"):  # a wider float may overflow: refused below
        doubles = np.ascontiguousarray(rows, dtype=np.float64)
    # NaN makes both comparisons false, and no temporary as large as the rows is needed.
    if not (doubles.min() >= -MAGNITUDE_MAX and doubles.max() <= MAGNITUDE_MAX):
        _refuse_first_bad_value(doubles, first_row)
    return doubles


def _refuse_first_bad_value(rows: NDArray[np.float64], first_row: int) -> None:
    for row, values in enumerate(rows, start=first_row):
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
    if type(value) is int:  # most are, and to ask a protocol takes microseconds
        return value
    if isinstance(value, bool | np.bool_) or not isinstance(value, SupportsIndex):
        return None
    return operator.index(value)


def point_leaves(rows: NDArray[np.float64]) -> Iterator[bytes]:
    """Yield each row as little-endian doubles, bit for bit (``-0.0`` stays ``-0.0``)."""
    for row in rows.astype("<f8", copy=False):
        yield row.tobytes()


def byte_leaves(data: bytes) -> list[bytes]:
    """Return the chunks of 64 bytes, the last one shorter where it must be."""
    return [data[start : start + TEXT_LEAF_BYTES] for start in range(0, len(data), TEXT_LEAF_BYTES)]
