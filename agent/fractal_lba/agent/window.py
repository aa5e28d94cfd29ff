"""Windows: how a source is cut, and what a cut piece is.

Pure. The rules, for a source read in units (rows, or bytes for ``bytes/1``) and a window of N
units:

- every window holds N units, as long as at least 3 units are left after it;
- where 1 or 2 units would be left over at the end, they are included in the last window;
- where that window would pass 65,536 units, it ends 1 or 2 units early instead, so that 3 are left;
- a last window may be shorter than N but not than 3 units;
- fewer than 3 units in all cannot be summarised.

A summary needs 3 units, and every unit belongs to exactly one window.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from fractal_lba.protocol import ContractError

# The record's bounds of `n`: three points are the least that delay embedding can use.
UNITS_MIN = 3
UNITS_MAX = 65_536

# Times are told apart by milliseconds; a day of one row a second is more than a window holds.
PERIOD_S_MIN = 0.001
PERIOD_S_MAX = 86_400.0

# The signals' bound of a finite value (|x| ≤ 1e300): a difference of two such values is finite.
VALUE_ABS_MAX = 1e300


class SourcePosition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a file has been read, as the outbox keeps it.

    Attributes:
        offset: Where the next window begins: a byte offset, for ``.npy`` a row number.
        units: Rows or bytes that windows were cut from so far.
        mark: Hex digest of what stands right before ``offset``, so that another file under the same
            name is noticed.
        closed_until_ms: Windows of time before that have ended, ms since 1970; None where units are
            counted.
        read_to: Up to where rows of those windows are in them.
    """

    offset: int
    units: int
    mark: str
    closed_until_ms: int | None = None
    read_to: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One piece of a source.

    Attributes:
        data: ``(n, d)`` float64 for ``points/1``, the bytes themselves for ``bytes/1``.
        after: The position behind this window; None for a live source, which cannot be read again.
        meta: What its record's ``meta`` says of it.
        late: Rows that belong to windows which had ended.
    """

    data: NDArray[np.float64] | bytes
    after: SourcePosition | None
    meta: Mapping[str, str | int] = field(default_factory=dict)
    late: int = 0


def next_cut(available: int, window: int, *, is_end: bool) -> int:
    """Return how many of the available units the next window takes, 0 for none.

    Args:
        available: Units at hand that no window holds yet.
        window: N, 3 … 65,536.
        is_end: Whether the source ends with them; otherwise 0 asks for more.
    """
    if available >= window + UNITS_MIN:
        return window
    if not is_end or available < UNITS_MIN:
        return 0
    if available <= UNITS_MAX:
        return available
    return available - UNITS_MIN


def check_window_size(window: int) -> int:
    """Return the size if a record can hold it.

    Raises:
        ContractError: It is out of range; nothing was read.
    """
    if not UNITS_MIN <= window <= UNITS_MAX:
        raise ContractError(f"window: expected {UNITS_MIN} … {UNITS_MAX}, got {window}")
    return window


def check_period(period_s: float) -> float:
    """Return the seconds of a window by time if they can be told from others.

    Raises:
        ContractError: They are out of range; nothing was read.
    """
    if not PERIOD_S_MIN <= period_s <= PERIOD_S_MAX:
        raise ContractError(
            f"window: expected {PERIOD_S_MIN} … {PERIOD_S_MAX} seconds, got {period_s}"
            " (--window-seconds, period_s)"
        )
    return period_s


def check_points(
    points: NDArray[np.float64], *, where: str, first_row: int, columns: Sequence[str]
) -> None:
    """Check that every value can be summarised.

    Args:
        points: ``(n, d)``.
        where: The source's name, for the message.
        first_row: Number of the first row in the source, counted from 1.
        columns: d names.

    Raises:
        ContractError: A value is not finite or beyond 1e300; names its row and column.
    """
    # NaN compares as false, so that this one comparison finds it too.
    is_bad = ~(np.abs(points) <= VALUE_ABS_MAX)
    if is_bad.any():
        row, column = (int(index) for index in np.argwhere(is_bad)[0])
        raise ContractError(
            f"{where}: row {first_row + row}, column {columns[column]!r}:"
            f" expected a finite number within ±1e300, got another; --degraded replaces it"
        )


def check_row(values: Sequence[float], *, where: str, row: int) -> None:
    """Check that every value of a row can be summarised.

    Args:
        values: The row's.
        where: The source's name, for the message.
        row: Its number, counted from 1.

    Raises:
        ContractError: A value is not finite or beyond 1e300; names its row and column.
    """
    for column, value in enumerate(values):
        if not abs(value) <= VALUE_ABS_MAX:
            raise ContractError(
                f"{where}: row {row}, column {column}: expected a finite number within ±1e300,"
                " got another"
            )
