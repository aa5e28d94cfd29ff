"""Rows of a CSV file: the named columns as numbers, as ``points/1``.

The format is RFC 4180 in UTF-8 with commas; the first row names the columns; empty lines are
skipped. The position is the byte offset behind the last row taken, so that a return reads nothing
twice; its mark covers the header and what stands before the offset. Rows are counted from 1 behind
the header.

At the end of the file a last line without a line end counts as a line. Where the byte before the
position, which the mark vouches for, is no line feed, reading ended inside a line: the file may go
on from there with a line end and nothing else. A last line without a line end that has too few
cells is not there yet.
"""

import csv
import hashlib
import re
from array import array
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import numpy as np

from fractal_lba.agent.sources.base import (
    MARK_BYTES,
    check_length,
    check_mark,
    check_size,
    mark_of,
    source_key,
)
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

# 4,096 columns of 24 digits take a tenth of it; a file without line ends must not be read whole.
LINE_BYTES_MAX = 1024 * 1024

# `float` alone would also take `nan`, `1_000` and digits of other scripts.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)

# The outbox keeps the key with every window, and a frame's meta block is bounded.
_COLUMNS_KEY_MAX = 1024

_BOM = b"\xef\xbb\xbf"


class CsvRows:
    """Some columns of one CSV file."""

    profile = Profile.POINTS

    def __init__(self, path: Path, columns: Sequence[str] | None) -> None:
        """Name the source.

        Args:
            path: The file.
            columns: The columns to take, in this order; None for all of them.
        """
        self.name = str(path)
        self.key = source_key("csv", path)
        if columns is not None:
            names = ",".join(quote(column, safe="") for column in columns)
            if len(names) > _COLUMNS_KEY_MAX:
                names = "sha256:" + hashlib.sha256(names.encode()).hexdigest()
            self.key += f"#columns={names}"
        self.left_over = ""
        self._path = path
        self._columns = columns

    def windows(self, after: SourcePosition | None, window: int) -> Generator[Window, None, None]:
        """Yield windows of rows; see ``FileSource.windows``."""
        self.left_over = ""
        try:
            with self._path.open("rb") as file:
                yield from self._windows(file, after, window)
        except OSError as error:
            raise ContractError(
                f"{self.name}: expected a readable file, got {error.strerror}"
            ) from error

    def _windows(
        self, file: BinaryIO, after: SourcePosition | None, window: int
    ) -> Generator[Window, None, None]:
        lines = _Lines(file, self.name)
        header = self._header(lines)
        chosen = self._chosen(header)
        names = [header[index] for index in chosen]
        header_bytes = _read_at(file, 0, lines.offset)
        file.seek(lines.offset)
        done = 0
        if after is not None:
            done = after.units
            check_size(self.name, after, size=file.seek(0, 2), unit="bytes")
            check_mark(self.name, after, mark=_mark_before(file, header_bytes, after.offset))
            lines.go_on(after)
        rows: list[array[float]] = []
        ends: list[int] = []
        source = self._rows(lines, header, chosen)
        is_end = False
        while True:
            while not is_end and len(rows) < window + UNITS_MIN:
                row = next(source, None)
                if row is None:
                    is_end = True
                else:
                    rows.append(row)
                    ends.append(lines.offset)
            if after is None and done == 0 and is_end:
                check_length(self.name, len(rows), unit="rows")
            taken = next_cut(len(rows), window, is_end=is_end)
            if not taken:
                return
            points = np.array(rows[:taken], dtype=np.float64)
            check_points(points, where=self.name, first_row=done + 1, columns=names)
            done += taken
            offset = ends[taken - 1]
            mark = _mark_before(file, header_bytes, offset)
            file.seek(lines.offset)
            del rows[:taken], ends[:taken]
            yield Window(data=points, after=SourcePosition(offset=offset, units=done, mark=mark))

    def _header(self, lines: "_Lines") -> list[str]:
        header = next(lines.cells(), [])
        if not header:
            raise ContractError(f"{self.name}: expected a first row of column names, got none")
        header = [cell.strip() for cell in header]
        if all(_NUMBER.fullmatch(cell) for cell in header):
            raise ContractError(
                f"{self.name}: expected a first row of column names, got only numbers"
            )
        return header

    def _chosen(self, header: list[str]) -> list[int]:
        """Return the indices of the columns asked for."""
        names = header if self._columns is None else self._columns
        for name in names:
            count = header.count(name)
            if count != 1:
                raise ContractError(f"{self.name}: expected one column named {name!r}, got {count}")
        if not 1 <= len(names) <= COLUMNS_MAX:
            raise ContractError(
                f"{self.name}: expected 1 … {COLUMNS_MAX} columns, got {len(names)}"
            )
        return [header.index(name) for name in names]

    def _rows(
        self, lines: "_Lines", header: list[str], chosen: list[int]
    ) -> "Iterator[array[float]]":
        """Yield the chosen cells of each row as numbers."""
        for cells in lines.cells():
            lines.row += 1
            if lines.is_open and _may_be_cut(cells, header):
                self.left_over = (
                    f"{self.name}: row {lines.row} has {len(cells)} of {len(header)} cells and no"
                    " line end yet: it is left for the next run"
                )
                return
            if len(cells) != len(header):
                raise ContractError(
                    f"{self.name}: row {lines.row}: expected {len(header)} cells, got {len(cells)}"
                )
            row = (self._number(cells[index], lines.row, header[index]) for index in chosen)
            yield array("d", row)

    def _number(self, cell: str, row: int, column: str) -> float:
        text = cell.strip()
        if _NUMBER.fullmatch(text):
            return float(text)
        what = "an empty cell" if not text else f"a text of {len(text)} characters"
        raise ContractError(
            f"{self.name}: row {row}, column {column!r}: expected a number, got {what}"
        )


class _Lines:
    """The lines of a file as text, with the offset behind the last one taken.

    ``csv.reader`` takes a line only when it needs one, so that after each row ``offset`` is its
    end. A line without a line end is the last one, whatever the file gains meanwhile: its rest must
    not be taken for a line of its own.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.offset = 0
        self.row = 0
        self.is_open = False
        self._file = file
        self._name = name

    def go_on(self, after: SourcePosition) -> None:
        """Go on behind a position, and behind the line end of a line that was open there.

        Raises:
            ContractError: The line went on instead: its row was observed with other values than it
                has now.
        """
        self.offset, self.row = after.offset, after.units
        if _read_at(self._file, after.offset - 1, 1) == b"\n":
            return
        rest = self._file.readline(LINE_BYTES_MAX)
        if rest.strip(b"\r\n"):
            raise ContractError(
                f"{self._name}: row {self.row} was observed before its line ended: expected a line"
                f" end at byte {self.offset}, got more of the line;"
                " give the file another name or use another data folder"
            )
        self.offset += len(rest)
        self.is_open = not rest.endswith(b"\n")

    def cells(self) -> Iterator[list[str]]:
        """Yield the cells of each row that is not empty."""
        reader = csv.reader(iter(self._line, ""), strict=True)
        try:
            for cells in reader:
                if cells:
                    yield cells
        except csv.Error as error:
            raise ContractError(
                f"{self._name}: row {self.row + 1}: expected RFC 4180, got {error}"
            ) from error

    def _line(self) -> str:
        if self.is_open:
            return ""
        data = self._file.readline(LINE_BYTES_MAX)
        if len(data) == LINE_BYTES_MAX and not data.endswith(b"\n"):
            raise ContractError(
                f"{self._name}: row {self.row + 1}: expected a line of at most"
                f" {LINE_BYTES_MAX} bytes, got a longer one"
            )
        self.is_open = bool(data) and not data.endswith(b"\n")
        text = data.removeprefix(_BOM) if self.offset == 0 else data
        self.offset += len(data)
        try:
            return text.decode()
        except UnicodeDecodeError as error:
            raise ContractError(
                f"{self._name}: row {self.row + 1}: expected UTF-8, got other bytes"
            ) from error


def _may_be_cut(cells: list[str], header: list[str]) -> bool:
    """Return whether a row without a line end may be the beginning of one that can be read."""
    if len(cells) == len(header) > 1:
        return not cells[-1].strip()  # cut right behind the last comma
    return len(cells) < len(header)


def _mark_before(file: BinaryIO, header: bytes, offset: int) -> str:
    start = max(0, offset - MARK_BYTES)
    return mark_of(header, _read_at(file, start, offset - start))


def _read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)
