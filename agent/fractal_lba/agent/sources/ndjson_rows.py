"""Rows of an NDJSON file: one object in each line, the named members as numbers, as ``points/1``.

Without names the members of the first line are taken, in their order; other members are passed
over. Lines are UTF-8 JSON, read strictly (RFC 8259, no member twice); empty ones are skipped. The
position is the byte offset behind the last line taken; its mark covers the names and what stands
before the offset. Rows are counted from 1.

A last line without a line end that is no JSON is not there yet.
"""

import math
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
from fractal_lba.protocol import ContractError, JsonValue
from fractal_lba.protocol.strict_json import parse_json

# An object of numbers; what else a line holds may be nested, and is passed over.
_DEPTH_MAX = 64


class NdjsonRows(RowFile):
    """Some members of the objects of one NDJSON file."""

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
            columns: The members to take, in this order; None for those of the first line.
            is_repairing: See ``RowFile``.
            timing: See ``RowFile``.
        """
        super().__init__(path, kind="ndjson", is_repairing=is_repairing, timing=timing)
        self.key += columns_key(columns)
        self._columns = columns

    def rows(self, file: BinaryIO) -> Iterator[Row]:
        """Yield the rows of a stream that cannot be read again, to its end.

        Raises:
            ContractError: One cannot be read; those before it stand.
        """
        lines = Lines(file, self.name)
        yield from _Feed(self, lines, file, self._columns).rows()

    @override
    def _feed(
        self, file: BinaryIO, after: SourcePosition | None, *, is_growing: bool
    ) -> "_Feed | None":
        columns = self._columns
        if columns is None and after is not None:
            # Those that the first line had when reading began.
            first = _next_object(Lines(file, self.name), self.name)
            columns = self.names_of(first or {})
            file.seek(0)
        lines = Lines(file, self.name, is_growing=is_growing)
        feed = _Feed(self, lines, file, columns)
        if after is not None:
            self._go_on(feed, lines, file, after)
        return feed

    def names_of(self, first: dict[str, JsonValue]) -> list[str]:
        """Return the columns where none were named: the first object's but its time."""
        timing = self.timing
        return [name for name in first if timing is None or name != timing.column]


class _Feed:
    """One pass over a file."""

    def __init__(
        self, source: NdjsonRows, lines: Lines, file: BinaryIO, columns: Sequence[str] | None
    ) -> None:
        self._source = source
        self._lines = lines
        self._file = file
        self.start = lines.offset
        self.columns: Sequence[str] = columns or []

    def mark(self, end: int) -> str:
        """See ``Feed``."""
        start = max(0, end - MARK_BYTES)
        names = (name.encode() for name in self.columns)
        return mark_of(*names, read_at(self._file, start, end - start))

    def rows(self) -> Iterator[Row]:
        """See ``Feed``."""
        source, lines = self._source, self._lines
        while True:
            try:
                found = _next_object(lines, source.name)
            except ContractError:
                if not lines.is_open:
                    raise
                source.left_over = (
                    f"{source.name}: row {lines.row + 1} is no JSON and has no line end yet: it is"
                    " left for the next run"
                )
                return
            if found is None:
                return
            if not self.columns:
                self.columns = source.names_of(found)
            if not lines.row:
                check_columns(source.name, self.columns)
            lines.row += 1
            values = array("d", (self._number(found, name) for name in self.columns))
            at_ms = 0
            if source.timing is not None:
                at_ms = source.time_of(found.get(source.timing.column), lines.row)
            yield Row(values, lines.offset, at_ms)

    def _number(self, found: dict[str, JsonValue], name: str) -> float:
        value = found.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if self._source.is_repairing:
            return math.nan
        what = "no such member" if name not in found else _kind(value)
        raise ContractError(
            f"{self._source.name}: row {self._lines.row}, member {name!r}: expected a number,"
            f" got {what}{hint_of(value)}"
        )


def _next_object(lines: Lines, name: str) -> dict[str, JsonValue] | None:
    """Return the next line that is not empty as an object; None where there is none."""
    while data := lines.take():
        text = data.strip()
        if not text:
            continue
        where = f"{name}: row {lines.row + 1}"
        try:
            found = parse_json(text, depth_max=_DEPTH_MAX)
        except ContractError as error:
            raise ContractError(f"{where}: expected JSON, got none: {error}") from error
        if not isinstance(found, dict):
            raise ContractError(f"{where}: expected an object, got {_kind(found)}")
        return found
    return None


def _kind(value: JsonValue) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return f"a text of {len(value)} characters"
        case int() | float():
            return "a number"
        case dict():
            return "an object"
        case _:
            return "an array"
