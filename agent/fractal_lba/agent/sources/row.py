"""Rows as sources give them.

A *feed* is one pass over a file from a position on; each of its rows knows the position behind it.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol


class Row(NamedTuple):
    """One row: its numbers, the position behind it, and its time where it has one.

    Attributes:
        values: The chosen columns.
        end: A byte offset or a row number.
        time_ms: Milliseconds since 1970; 0 where rows are counted.
    """

    values: Sequence[float]
    end: int
    time_ms: int = 0


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
