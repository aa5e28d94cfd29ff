"""The times of a Parquet file's rows: one column of numbers, texts or timestamps.

Numbers are seconds since 1970, texts RFC 3339 with an offset. A timestamp without a time zone is
refused as a text without an offset is: it is another moment in every place.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fractal_lba.agent.sources.in_time import time_of
from fractal_lba.protocol import ContractError

_UNITS_IN_S = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


class ParquetTimes:
    """The column that says when each row was.

    Attributes:
        column: Its name.
        kind: Its type, as the file names it.
    """

    def __init__(self, schema: Any, column: str, *, name: str) -> None:  # noqa: ANN401 - Arrow has no types
        """Find the column in a file.

        Args:
            schema: The file's.
            column: Its name.
            name: The source's, for messages.

        Raises:
            ContractError: There is no such column, or it holds no times.
        """
        import pyarrow as pa  # noqa: PLC0415 - an extra of its own

        self.column = column
        self._name = name
        count = schema.names.count(column)
        if count != 1:
            raise ContractError(
                f"{name}: --time-column: expected one column named {column!r}, got {count}"
            )
        kind: Any = schema.field(column).type
        kinds: Any = pa.types
        self._is_stamp: bool = kinds.is_timestamp(kind) and kind.tz is not None
        is_other = any(
            is_kind(kind)
            for is_kind in (
                kinds.is_integer, kinds.is_floating, kinds.is_decimal, kinds.is_string,
                kinds.is_large_string,
            )
        )  # fmt: skip
        if not (self._is_stamp or is_other):
            raise ContractError(
                f"{name}: --time-column {column!r}: expected numbers, texts, or timestamps with a"
                f" time zone, got {kind}"
            )
        self.kind = str(kind)

    def read(self, table: Any, *, first: int) -> NDArray[np.int64]:  # noqa: ANN401 - Arrow has no types
        """Return the times of the rows of a table in ms since 1970.

        Args:
            table: A row group.
            first: Its first row's number in the file, from 0.

        Raises:
            ContractError: One is none.
        """
        cells = table.column(self.column)
        scale = 0
        if self._is_stamp:
            scale = _UNITS_IN_S[cells.type.unit]
            cells = cells.cast("int64")
        return np.array(
            [
                self._time(value, scale, row)
                for row, value in enumerate(cells.to_pylist(), start=first + 1)
            ],
            dtype=np.int64,
        )

    def _time(self, value: object, scale: int, row: int) -> int:
        if scale and isinstance(value, int):
            # Whole and fraction apart: a double has no room for nanoseconds since 1970.
            whole, part = divmod(value, scale)
            return time_of(whole, name=self._name, row=row) + round(part * 1000 / scale)
        if value is not None and not isinstance(value, str | int | float):
            value = float(str(value))  # a decimal
        return time_of(value, name=self._name, row=row)
