"""A pass over the rows of an array that say when they were.

The times are a column of the array, or another array beside it: seconds since 1970, or NumPy's
``datetime64``, which counts from 1970 in UTC.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fractal_lba.agent.sources.base import MARK_BYTES, mark_of
from fractal_lba.agent.sources.in_time import time_of
from fractal_lba.agent.sources.row import Row

# Rows copied at a time: a mapped file is not read whole.
_BLOCK_ROWS = 4096


class ArrayFeed:
    """See ``Feed``."""

    def __init__(
        self,
        rows: NDArray[np.generic],
        times: NDArray[np.generic],
        column: int | None,
        *,
        name: str,
    ) -> None:
        """Begin in front of the first row.

        Args:
            rows: (n, d) real numbers.
            times: (n,) real numbers or ``datetime64``.
            column: The column that the times are, which is none of the window; None where they are
                another array.
            name: The source's, for messages.
        """
        self._rows = rows
        self._times = times
        self._name = name
        self._chosen = [index for index in range(rows.shape[1]) if index != column]
        self._is_beside = column is None
        self.columns: Sequence[str] = [str(index) for index in self._chosen]
        self.start = 0

    def rows(self) -> Iterator[Row]:
        """See ``Feed``."""
        count = self._rows.shape[0]
        for begin in range(self.start, count, _BLOCK_ROWS):
            block = slice(begin, begin + _BLOCK_ROWS)
            with np.errstate(over="ignore"):  # a wider float may overflow: refused with its row
                values = np.array(self._rows[block][:, self._chosen], dtype=np.float64)
            times = _seconds(self._times[block])
            for end, (row, at_s) in enumerate(zip(values, times, strict=True), start=begin + 1):
                yield Row(row, end, time_of(at_s, name=self._name, row=end))

    def mark(self, end: int) -> str:
        """See ``Feed``."""
        mark = mark_before(self._rows, end)
        if not self._is_beside:
            return mark
        return mark_of(mark.encode(), mark_before(self._times.reshape(-1, 1), end).encode())


def mark_before(rows: NDArray[np.generic], end: int) -> str:
    """Return the mark of a position in an array, (n, d)."""
    row_bytes = max(1, rows.shape[1] * rows.dtype.itemsize)
    start = max(0, end - max(1, MARK_BYTES // row_bytes))
    shape = f"{rows.shape[1]} {rows.dtype.str}".encode()
    return mark_of(shape, np.ascontiguousarray(rows[start:end]).tobytes())


def _seconds(times: NDArray[np.generic]) -> list[float]:
    if times.dtype.kind != "M":
        with np.errstate(over="ignore"):
            return [float(each) for each in times.astype(np.float64)]
    found = times.astype("datetime64[ms]").astype(np.int64) / 1000
    return [float(at_s) for at_s in np.where(np.isnat(times), np.nan, found)]
