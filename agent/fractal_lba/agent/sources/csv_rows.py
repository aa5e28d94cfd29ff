"""Rows of a CSV file: the named columns as numbers, as ``points/1``.

The format is RFC 4180 in UTF-8 with commas; the first row names the columns; empty lines are
skipped. The position is the byte offset behind the last row taken; its mark covers the header and
what stands before the offset. Rows are counted from 1 behind the header.

A last line without a line end that has too few cells is not there yet.
"""

import csv
import math
import re
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from typing_extensions import override

from fractal_lba.agent.sources.base import MARK_BYTES, mark_of
from fractal_lba.agent.sources.columns import columns_key
from fractal_lba.agent.sources.hints import hint_of
from fractal_lba.agent.sources.lines import Lines, read_at
from fractal_lba.agent.sources.row import Row
from fractal_lba.agent.sources.row_file import RowFile, check_columns
from fractal_lba.agent.sources.timed import Timing
from fractal_lba.agent.window import SourcePosition
from fractal_lba.protocol import ContractError

# `float` alone would also take `nan`, `1_000` and digits of other scripts.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)


class CsvRows(RowFile):
    """Some columns of one CSV file."""

    def __init__(
        self,
        path: Path,
        columns: Sequence[str] | None,
        *,
        is_repairing: bool = False,
        timing: Timing | None = None,
    ) -> None:
        """Name the source.

        Args:
            path: The file.
            columns: The columns to take, in this order; None for all of them.
            is_repairing: See ``RowFile``.
            timing: See ``RowFile``.
        """
        super().__init__(path, kind="csv", is_repairing=is_repairing, timing=timing)
        self.key += columns_key(columns)
        self._columns = columns

    def rows(self, file: BinaryIO) -> Iterator[Row]:
        """Yield the rows of a stream that cannot be read again, to its end.

        Raises:
            ContractError: One cannot be read; those before it stand.
        """
        lines = Lines(file, self.name)
        yield from _Feed(self, lines, self._header(lines), file).rows()

    @override
    def _feed(
        self, file: BinaryIO, after: SourcePosition | None, *, is_growing: bool
    ) -> "_Feed | None":
        lines = Lines(file, self.name, is_growing=is_growing)
        header = self._header(lines)
        if not header:
            return None
        feed = _Feed(self, lines, header, file)
        if after is not None:
            self._go_on(feed, lines, file, after)
        return feed

    def _header(self, lines: Lines) -> list[str]:
        header = next(_cells(lines, self.name), [])
        if not header:
            if lines.is_growing:
                return []
            raise ContractError(f"{self.name}: expected a first row of column names, got none")
        header = [cell.strip() for cell in header]
        if all(_NUMBER.fullmatch(cell) for cell in header):
            raise ContractError(
                f"{self.name}: expected a first row of column names, got only numbers"
            )
        return header

    def chosen(self, header: list[str]) -> list[int | None]:
        """Return the indices of the columns asked for, None for one that is lost.

        Raises:
            ContractError: One of them is not there.
        """
        names = header if self._columns is None else self._columns
        if self.timing is not None and self._columns is None:
            names = [name for name in header if name != self.timing.column]
        for name in names:
            count = header.count(name)
            if count != 1 and not (self.is_repairing and not count):
                raise ContractError(f"{self.name}: expected one column named {name!r}, got {count}")
        check_columns(self.name, names)
        return [header.index(name) if name in header else None for name in names]


class _Feed:
    """One pass over a file."""

    def __init__(self, source: CsvRows, lines: Lines, header: list[str], file: BinaryIO) -> None:
        self._source = source
        self._lines = lines
        self._header = header
        self._chosen = source.chosen(header)
        self._file = file
        self._header_size = lines.offset
        self._header_bytes = b""
        self.start = lines.offset
        self._time: int | None = None
        if source.timing is not None:
            count = header.count(source.timing.column)
            if count != 1:
                name = source.timing.column
                raise ContractError(
                    f"{source.name}: expected one column named {name!r}, got {count}"
                )
            self._time = header.index(source.timing.column)
        self.columns: Sequence[str] = [
            "" if index is None else header[index] for index in self._chosen
        ]

    def mark(self, end: int) -> str:
        """See ``Feed``."""
        if not self._header_bytes:
            self._header_bytes = read_at(self._file, 0, self._header_size)
        start = max(0, end - MARK_BYTES)
        return mark_of(self._header_bytes, read_at(self._file, start, end - start))

    def rows(self) -> Iterator[Row]:
        """See ``Feed``."""
        source, lines, header = self._source, self._lines, self._header
        for cells in _cells(lines, source.name):
            lines.row += 1
            if lines.is_open and _may_be_cut(cells, header):
                source.left_over = (
                    f"{source.name}: row {lines.row} has {len(cells)} of {len(header)} cells and no"
                    " line end yet: it is left for the next run"
                )
                return
            if len(cells) != len(header):
                raise ContractError(
                    f"{source.name}: row {lines.row}: expected {len(header)} cells,"
                    f" got {len(cells)}"
                )
            row = (
                math.nan if index is None else self._number(cells[index], header[index])
                for index in self._chosen
            )
            values = array("d", row)
            yield Row(values, lines.offset, self._time_of(cells))

    def _time_of(self, cells: list[str]) -> int:
        if self._time is None:
            return 0
        text = cells[self._time].strip()
        value = float(text) if _NUMBER.fullmatch(text) else text
        return self._source.time_of(value, self._lines.row)

    def _number(self, cell: str, column: str) -> float:
        text = cell.strip()
        if _NUMBER.fullmatch(text):
            return float(text)
        if self._source.is_repairing:
            return math.nan
        what = "an empty cell" if not text else f"a text of {len(text)} characters"
        raise ContractError(
            f"{self._source.name}: row {self._lines.row}, column {column!r}: expected a number,"
            f" got {what}{hint_of(text)}"
        )


def _cells(lines: Lines, name: str) -> Iterator[list[str]]:
    """Yield the cells of each row that is not empty.

    The reader takes a line only when it needs one, so that after each row ``lines`` is at its end.
    """
    reader = csv.reader(iter(lines.line, ""), strict=True)
    try:
        for cells in reader:
            if cells:
                yield cells
    except csv.Error as error:
        if lines.is_growing and lines.is_over:
            return  # a quoted cell that goes on in a line which is not there yet
        raise ContractError(
            f"{name}: row {lines.row + 1}: expected RFC 4180, got {error}"
        ) from error


def _may_be_cut(cells: list[str], header: list[str]) -> bool:
    """Return whether a row without a line end may be the beginning of one that can be read."""
    if len(cells) == len(header) > 1:
        return not cells[-1].strip()  # cut right behind the last comma
    return len(cells) < len(header)
