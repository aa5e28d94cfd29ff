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

from fractal_lba.agent.sources.base import (
    MARK_BYTES,
    check_length,
    check_mark,
    check_size,
    mark_of,
    source_key,
)
from fractal_lba.agent.sources.row_file import COLUMNS_MAX
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

    def __init__(self, name: str, key: str, *, is_repairing: bool) -> None:
        self.name = name
        self.key = key
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
        count = rows.shape[0]
        start = 0
        if after is None:
            check_length(self.name, count, unit="rows")
        else:
            start = after.offset
            check_size(self.name, after, size=count, unit="rows")
            check_mark(self.name, after, mark=_mark_before(rows, start))
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
                after=SourcePosition(offset=start, units=start, mark=_mark_before(rows, start)),
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

    def __init__(self, path: Path, *, is_repairing: bool = False) -> None:
        super().__init__(str(path), source_key("npy", path), is_repairing=is_repairing)
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


def _mark_before(rows: NDArray[np.generic], end: int) -> str:
    row_bytes = max(1, rows.shape[1] * rows.dtype.itemsize)
    start = max(0, end - max(1, MARK_BYTES // row_bytes))
    shape = f"{rows.shape[1]} {rows.dtype.str}".encode()
    return mark_of(shape, np.ascontiguousarray(rows[start:end]).tobytes())
