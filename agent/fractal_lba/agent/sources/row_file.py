"""Files of rows: what CSV, NDJSON and Parquet share, from rows to windows.

Rows are counted from 1.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from fractal_lba.agent.sources.base import check_length, check_mark, check_size, source_key
from fractal_lba.agent.sources.in_time import check_counted, time_of, windows_in_time
from fractal_lba.agent.sources.lines import Lines
from fractal_lba.agent.sources.row import Feed, Row
from fractal_lba.agent.sources.timed import Timing
from fractal_lba.agent.window import (
    UNITS_MIN,
    SourcePosition,
    Window,
    check_points,
    next_cut,
)
from fractal_lba.protocol import ContractError, Profile

# The record's bound of `d`.
COLUMNS_MAX = 4096


class RowFile(ABC):
    """One file of rows.

    Attributes:
        left_over: See ``FileSource``.
        is_repairing: What a row lacks is NaN, for whoever repairs it; otherwise it is refused.
        timing: How rows are cut by their times; None to count them.
    """

    profile = Profile.POINTS

    def __init__(self, path: Path, *, kind: str, is_repairing: bool, timing: Timing | None) -> None:
        self.name = str(path)
        self.key = source_key(kind, path)
        self.left_over = ""
        self.is_repairing = is_repairing
        self.timing = timing
        self._path = path

    @abstractmethod
    def _feed(
        self, file: BinaryIO, after: SourcePosition | None, *, is_growing: bool
    ) -> Feed | None:
        """Return a pass behind a position; None where there is nothing to read yet.

        Raises:
            ContractError: The file cannot be read as this source, or is not what was read before.
        """

    def _go_on(self, feed: Feed, lines: Lines, file: BinaryIO, after: SourcePosition) -> None:
        """Put a pass over lines behind a position.

        Raises:
            ChangedError: The file is not the one that was read before.
        """
        check_size(self.name, after, size=file.seek(0, 2), unit="bytes")
        check_mark(self.name, after, mark=feed.mark(after.offset))
        lines.go_on(after)
        feed.start = lines.offset

    def windows(self, after: SourcePosition | None, window: int) -> Generator[Window, None, None]:
        """Yield windows of rows; see ``FileSource.windows``."""
        return self._windows(after, window, is_growing=False)

    def grown(self, after: SourcePosition | None, window: int) -> Generator[Window, None, None]:
        """Yield the windows that are whole; see ``GrowingSource.grown``."""
        return self._windows(after, window, is_growing=True)

    def at(self, path: Path) -> Self:
        """Return the same source, read from another path."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._path = path  # noqa: SLF001 - its own
        return other

    def check(self, after: SourcePosition) -> None:
        """See ``GrowingSource.check``."""
        with self._opened() as file:
            self._feed(file, after, is_growing=True)

    def _windows(
        self, after: SourcePosition | None, window: int, *, is_growing: bool
    ) -> Generator[Window, None, None]:
        self.left_over = ""
        with self._opened() as file:
            try:
                feed = self._feed(file, after, is_growing=is_growing)
                if feed is None:
                    return
                if self.timing is not None:
                    yield from windows_in_time(
                        feed,
                        after,
                        self.timing,
                        name=self.name,
                        is_repairing=self.is_repairing,
                        is_growing=is_growing,
                    )
                else:
                    check_counted(self.name, after)
                    yield from self._cut(feed, after, window, is_growing=is_growing)
            except OSError as error:
                raise self._unreadable(error) from error

    def _cut(
        self, feed: Feed, after: SourcePosition | None, window: int, *, is_growing: bool
    ) -> Generator[Window, None, None]:
        done = 0 if after is None else after.units
        rows: list[Row] = []
        source = feed.rows()
        is_end = False
        while True:
            while not is_end and len(rows) < window + UNITS_MIN:
                row = next(source, None)
                if row is None:
                    is_end = True
                else:
                    rows.append(row)
            if after is None and done == 0 and is_end and not is_growing:
                check_length(self.name, len(rows), unit="rows")
            taken = next_cut(len(rows), window, is_end=is_end and not is_growing)
            if not taken:
                return
            points = np.array([row.values for row in rows[:taken]], dtype=np.float64)
            if not self.is_repairing:
                check_points(points, where=self.name, first_row=done + 1, columns=feed.columns)
            done += taken
            end = rows[taken - 1].end
            del rows[:taken]
            yield Window(
                data=points, after=SourcePosition(offset=end, units=done, mark=feed.mark(end))
            )

    def time_of(self, value: object, row: int) -> int:
        """Return a row's time in ms since 1970.

        Raises:
            ContractError: It is none.
        """
        return time_of(value, name=self.name, row=row)

    def _opened(self) -> BinaryIO:
        try:
            return self._path.open("rb")
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> ContractError:
        return ContractError(f"{self.name}: expected a readable file, got {error.strerror}")


def check_columns(name: str, columns: Sequence[str]) -> None:
    """Check that a record can hold so many columns.

    Raises:
        ContractError: It cannot.
    """
    if not 1 <= len(columns) <= COLUMNS_MAX:
        raise ContractError(f"{name}: expected 1 … {COLUMNS_MAX} columns, got {len(columns)}")
