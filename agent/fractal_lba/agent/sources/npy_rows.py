"""Rows of an array, ``(n,)`` or ``(n, d)``, as ``points/1``; of a ``.npy`` file, mapped.

Other number types convert to the nearest double. The position is a row number; its mark covers the
shape of a row and the rows before it.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from fractal_lba.agent.sources.array_feed import ArrayFeed, mark_before
from fractal_lba.agent.sources.base import check_length, check_mark, check_size, source_key
from fractal_lba.agent.sources.in_time import check_counted, windows_in_time
from fractal_lba.agent.sources.row_file import COLUMNS_MAX
from fractal_lba.agent.sources.timed import Timing
from fractal_lba.agent.window import (
    UNITS_MIN,
    SourcePosition,
    Window,
    check_points,
    next_cut,
)
from fractal_lba.protocol import ContractError, Profile

# Booleans, signed and unsigned integers and floats; never objects, which would mean unpickling.
_REAL_KINDS = "biuf"

_DIMENSIONS = 2  # rows, columns


class ArrayRows(ABC):
    """One array of a file."""

    profile = Profile.POINTS
    left_over = ""

    def __init__(self, name: str, key: str, *, is_repairing: bool, timing: Timing | None) -> None:
        self.name = name
        self.key = key
        self.timing = timing
        self._is_repairing = is_repairing

    @abstractmethod
    def _array(self) -> NDArray[np.generic]:
        """Return the array as it is in the file.

        Raises:
            ContractError: There is none.
        """

    def windows(self, after: SourcePosition | None, window: int) -> Generator[Window, None, None]:
        """Yield windows of rows; see ``FileSource.windows``."""
        rows = self._rows()
        if self.timing is not None:
            yield from self._windows_in_time(rows, after, self.timing)
            return
        check_counted(self.name, after)
        count = rows.shape[0]
        start = 0
        if after is None:
            check_length(self.name, count, unit="rows")
        else:
            start = after.offset
            check_size(self.name, after, size=count, unit="rows")
            check_mark(self.name, after, mark=mark_before(rows, start))
        columns = [str(index) for index in range(rows.shape[1])]
        while True:
            left = count - start
            ahead = window + UNITS_MIN
            taken = next_cut(min(left, ahead), window, is_end=left < ahead)
            if not taken:
                return
            # A copy: the window must not change under the summary when the file does.
            with np.errstate(over="ignore"):  # a wider float may overflow: refused below
                points = np.array(rows[start : start + taken], dtype=np.float64, order="C")
            if not self._is_repairing:
                check_points(points, where=self.name, first_row=start + 1, columns=columns)
            start += taken
            yield Window(
                data=points,
                after=SourcePosition(offset=start, units=start, mark=mark_before(rows, start)),
            )

    def _times(
        self, rows: NDArray[np.generic], timing: Timing
    ) -> tuple[NDArray[np.generic], int | None]:
        """Return the time of each row as it is in the file, and the column that it is, if any.

        Raises:
            ContractError: There is none.
        """
        columns = rows.shape[1]
        if not (timing.column.isdecimal() and int(timing.column) < columns > 1):
            raise ContractError(
                f"{self.name}: --time-column: expected the number of a column"
                + (
                    f", 0 … {columns - 1}, got {timing.column!r}"
                    if columns > 1
                    else " beside another one, got an array of one column"
                )
            )
        column = int(timing.column)
        return rows[:, column], column

    def _windows_in_time(
        self, rows: NDArray[np.generic], after: SourcePosition | None, timing: Timing
    ) -> Generator[Window, None, None]:
        times, column = self._times(rows, timing)
        feed = ArrayFeed(rows, times, column, name=self.name)
        if after is not None:
            check_size(self.name, after, size=rows.shape[0], unit="rows")
            check_mark(self.name, after, mark=feed.mark(after.offset))
            feed.start = after.offset
        yield from windows_in_time(
            feed,
            after,
            timing,
            name=self.name,
            is_repairing=self._is_repairing,
            is_growing=False,
        )

    def _rows(self) -> NDArray[np.generic]:
        """Return the array as (n, d)."""
        array = self._array()
        if array.dtype.kind not in _REAL_KINDS:
            raise ContractError(
                f"{self.name}: expected an array of real numbers, got {array.dtype}"
            )
        if array.ndim == 1:
            array = array.reshape(-1, 1)
        if array.ndim != _DIMENSIONS or not 1 <= array.shape[1] <= COLUMNS_MAX:
            raise ContractError(
                f"{self.name}: expected the shape (n,) or (n, 1 … {COLUMNS_MAX}), got {array.shape}"
            )
        return array


class NpyRows(ArrayRows):
    """The array of a ``.npy`` file, mapped and not read."""

    def __init__(
        self, path: Path, *, is_repairing: bool = False, timing: Timing | None = None
    ) -> None:
        super().__init__(
            str(path), source_key("npy", path), is_repairing=is_repairing, timing=timing
        )
        self._path = path

    @override
    def _array(self) -> NDArray[np.generic]:
        try:
            # Not np.load, which would also open a zip of arrays under this name.
            array: NDArray[np.generic] = np.lib.format.open_memmap(self._path, mode="r")
        except OSError as error:
            what = error.strerror or "a file cut short"
            raise ContractError(
                f"{self.name}: expected a readable .npy file, got {what}"
            ) from error
        except ValueError as error:
            raise ContractError(
                f"{self.name}: expected a .npy array of numbers, got another format"
            ) from error
        return array
