"""Rows of a Parquet file: the named columns as numbers, as ``points/1``; the extra ``parquet``.

The position is a row number; its mark covers the names and types of the columns and the rows before
it. Row groups are read one after the other, the chosen columns of each whole: memory is bounded by
the largest row group, which whoever writes the file decides, and ``GROUP_BYTES_MAX``. Integers,
floating numbers, decimals and booleans convert to the nearest double; a null is refused with its
row.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from fractal_lba.agent.sources.base import MARK_BYTES, check_mark, check_size, mark_of
from fractal_lba.agent.sources.columns import columns_key
from fractal_lba.agent.sources.hints import hint_of
from fractal_lba.agent.sources.parquet_times import ParquetTimes
from fractal_lba.agent.sources.row import Row
from fractal_lba.agent.sources.row_file import RowFile, check_columns
from fractal_lba.agent.sources.timed import Timing
from fractal_lba.agent.window import SourcePosition
from fractal_lba.protocol import ContractError

# What a row group may take of memory, decoded; the usual one has a million rows of a few columns.
GROUP_BYTES_MAX = 1 << 30


class ParquetRows(RowFile):
    """Some columns of one Parquet file."""

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

        Raises:
            ContractError: The package that reads the format is not installed.
        """
        super().__init__(path, kind="parquet", is_repairing=is_repairing, timing=timing)
        self.key += columns_key(columns)
        self._columns = columns
        try:
            import pyarrow.parquet  # noqa: PLC0415, F401 - an extra of its own
        except ModuleNotFoundError as error:
            raise ContractError(
                f"{path}: pyarrow is not installed; run: pip install 'fractal-lba[parquet]'"
            ) from error

    @override
    def _feed(
        self, file: BinaryIO, after: SourcePosition | None, *, is_growing: bool
    ) -> "_Feed | None":
        start = 0 if after is None else after.offset
        feed = _Feed(self, file, self._columns, start=start)
        if after is not None:
            check_size(self.name, after, size=feed.size, unit="rows")
            check_mark(self.name, after, mark=feed.mark(after.offset))
        return feed


class _Feed:
    """One pass over a file."""

    def __init__(
        self, source: ParquetRows, file: BinaryIO, columns: Sequence[str] | None, *, start: int
    ) -> None:
        import pyarrow as pa  # noqa: PLC0415 - an extra of its own
        import pyarrow.parquet as pq  # noqa: PLC0415 - the same

        name, is_repairing = source.name, source.is_repairing
        self._name = name
        self._arrow: Any = pa  # its functions are made when it is imported: no types
        try:
            self._file: Any = pq.ParquetFile(file)
        except (pa.ArrowException, OSError) as error:
            raise ContractError(
                f"{name}: expected a readable Parquet file, got another format"
            ) from error
        schema = self._file.schema_arrow
        self._times: ParquetTimes | None = None
        names: Sequence[str] = schema.names
        if source.timing is not None:
            self._times = ParquetTimes(schema, source.timing.column, name=name)
            names = [each for each in names if each != source.timing.column]
        self.columns = list(names if columns is None else columns)
        check_columns(name, self.columns)
        self._types: list[str] = []
        self._is_repairing = is_repairing
        for column in self.columns:
            count = schema.names.count(column)
            if is_repairing and not count:
                self._types.append("lost")
                continue
            if count != 1:
                raise ContractError(f"{name}: expected one column named {column!r}, got {count}")
            kind = schema.field(column).type
            kinds = pa.types
            if not any(
                is_kind(kind)
                for is_kind in (
                    kinds.is_integer, kinds.is_floating, kinds.is_decimal, kinds.is_boolean,
                )
            ):  # fmt: skip
                raise ContractError(
                    f"{name}: column {column!r}: expected numbers, got {kind}{hint_of(None)}"
                )
            self._types.append(str(kind))
        self.size: int = self._file.metadata.num_rows
        self.start = start
        self._group = _Group(-1, 0, np.empty((0, 0)), np.empty(0, np.int64))

    def mark(self, end: int) -> str:
        """See ``Feed``."""
        count = max(1, MARK_BYTES // (8 * len(self.columns)))
        before, times = self._between(max(0, end - count), end)
        names = "\0".join(map(" ".join, zip(self.columns, self._types, strict=True)))
        parts = [names.encode(), before.astype("<f8").tobytes()]
        if self._times is not None:
            parts += [f"{self._times.column} {self._times.kind}".encode(), times.tobytes()]
        return mark_of(*parts)

    def rows(self) -> Iterator[Row]:
        """See ``Feed``."""
        at = self.start
        while at < self.size:
            group = self._group_of(at)
            behind = at - group.first
            for row, at_ms in zip(group.values[behind:], group.times[behind:], strict=True):
                at += 1
                yield Row(row, at, int(at_ms))

    def _between(self, start: int, end: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        values, times = [np.empty((0, len(self.columns)))], [np.empty(0, np.int64)]
        while start < end:
            group = self._group_of(start)
            part = slice(start - group.first, end - group.first)
            values.append(group.values[part])
            times.append(group.times[part])
            start = group.first + len(group.values)
        return np.concatenate(values), np.concatenate(times)

    def _group_of(self, row: int) -> "_Group":
        """Return the group that a row is in."""
        first = 0
        for number in range(self._file.metadata.num_row_groups):
            count: int = self._file.metadata.row_group(number).num_rows
            if row < first + count:
                if self._group.number != number:
                    self._group = self._read(number, count, first)
                return self._group
            first += count
        raise AssertionError("unreachable: the row is one of the file's")

    def _read(self, number: int, count: int, first: int) -> "_Group":
        size = count * 8 * (len(self.columns) + (self._times is not None))
        if size > GROUP_BYTES_MAX:
            raise ContractError(
                f"{self._name}: row group {number}: expected at most {GROUP_BYTES_MAX} bytes of"
                f" numbers, got {size}: choose fewer columns"
            )
        try:
            there = [
                (index, column)
                for index, column in enumerate(self.columns)
                if self._types[index] != "lost"
            ]
            wanted = {column for _, column in there}
            if self._times is not None:
                wanted.add(self._times.column)
            table = self._file.read_row_group(number, columns=sorted(wanted))
            values = np.full((count, len(self.columns)), np.nan)
            for index, column in there:
                cells = table.column(column)
                if cells.null_count and not self._is_repairing:
                    row = first + 1 + int(np.argmax(cells.is_null().to_numpy()))
                    raise ContractError(
                        f"{self._name}: row {row}, column {column!r}: expected a number, got null"
                        f"{hint_of(None)}"
                    )
                if self._arrow.types.is_decimal(cells.type):
                    # The library's own cast is not to the nearest double.
                    values[:, index] = [
                        np.nan if value is None else float(value) for value in cells.to_pylist()
                    ]
                else:
                    values[:, index] = cells.cast(self._arrow.float64(), safe=False).to_numpy()
            times = np.zeros(count, np.int64)
            if self._times is not None:
                times = self._times.read(table, first=first)
        except (self._arrow.ArrowException, OSError) as error:
            raise ContractError(
                f"{self._name}: row group {number}: expected Parquet, got damaged data"
            ) from error
        return _Group(number, first, values, times)


class _Group(NamedTuple):
    """A row group as numbers: the first row's number, (n, d) values, (n,) ms since 1970."""

    number: int
    first: int
    values: NDArray[np.float64]
    times: NDArray[np.int64]
