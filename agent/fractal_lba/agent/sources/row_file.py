"""Files of rows: what CSV, NDJSON and Parquet share, from rows to windows.

A *feed* is one pass over a file from a position on; each of its rows knows the position behind it.
Rows are counted from 1.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol, Self

import numpy as np

from fractal_lba.agent.sources.base import check_length, check_mark, check_size, source_key
from fractal_lba.agent.sources.lines import Lines
from fractal_lba.agent.sources.row import Row
from fractal_lba.agent.sources.timed import TimedCut, TimedCutter, Timing, time_ms
from fractal_lba.agent.window import (
    UNITS_MIN,
    SourcePosition,
    Window,
    check_points,
    next_cut,
)
from fractal_lba.protocol import ContractError, Profile, format_timestamp

# The record's bound of `d`.
COLUMNS_MAX = 4096


class Feed(Protocol):
    """One pass over a file."""

    columns: Sequence[str]
    """Names of a row's numbers."""

    start: int
    """Where the first row begins."""

    def rows(self) -> Iterator[Row]:
        """Yield the rows in order.

        Raises:
            ContractError: One cannot be read; those before it stand.
        """

    def mark(self, end: int) -> str:
        """Return the mark of the position behind a row that was yielded."""


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
                    yield from self._cut_in_time(feed, after, self.timing, is_growing=is_growing)
                else:
                    self._check_counted(after)
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

    def _cut_in_time(
        self, feed: Feed, after: SourcePosition | None, timing: Timing, *, is_growing: bool
    ) -> Generator[Window, None, None]:
        cutter = TimedCutter(timing, after, start=feed.start, name=self.name)
        for row in feed.rows():
            for cut in cutter.add(row):
                yield self._window_of(cut, feed)
        if is_growing:
            return
        for cut in cutter.end():
            yield self._window_of(cut, feed)
        if after is None and cutter.is_fresh:
            check_length(self.name, cutter.left, unit="rows")

    def _window_of(self, cut: TimedCut, feed: Feed) -> Window:
        points = np.array([row.values for row in cut.rows], dtype=np.float64)
        if not self.is_repairing:
            check_points(points, where=self.name, first_row=cut.first, columns=feed.columns)
        after = SourcePosition(
            offset=cut.low,
            units=cut.low_units,
            mark=feed.mark(cut.low),
            closed_until_ms=cut.closed_until_ms,
            read_to=cut.read_to,
        )
        meta: dict[str, str | int] = {
            "window_start": format_timestamp(cut.start_ms),
            "window_end": format_timestamp(cut.end_ms),
        }
        if cut.late:
            meta["window_late"] = cut.late
        return Window(data=points, after=after, meta=meta, late=cut.late)

    def _check_counted(self, after: SourcePosition | None) -> None:
        if after is not None and after.closed_until_ms is not None:
            raise ContractError(
                f"{self.name}: was read in windows of time: expected them again, got a count of"
                " rows; use another data folder"
            )

    def time_of(self, value: object, row: int) -> int:
        """Return a row's time in ms since 1970.

        Raises:
            ContractError: It is none.
        """
        found = time_ms(value) if isinstance(value, str | int | float) else None
        if found is None:
            raise ContractError(
                f"{self.name}: row {row}: expected a time, in seconds since 1970 or as"
                " 2026-11-21T20:00:00Z, got something else"
            )
        return found

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
