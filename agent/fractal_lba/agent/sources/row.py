"""Rows as sources give them."""

from collections.abc import Sequence
from typing import NamedTuple


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
