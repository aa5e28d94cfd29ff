"""Forget what is due: a mark in the ledger first, then the index, and segments only later.

A segment goes when all its records were forgotten a whole look ago, so that nobody is still reading
one of them, and behind marks that repeat every floor: the marks in what goes say nothing any more
that these do not.
"""

from collections.abc import Callable
from itertools import islice
from typing import Final

from fractal_lba.server.core.forgetting import (
    NOTED_EVERY_MS,
    Due,
    Forgotten,
    as_of,
)
from fractal_lba.server.storage.index_port import Index
from fractal_lba.wal import Sealed, Stream

_LAST_SEQ: Final = (1 << 64) - 1

_FLOORS_AT_ONCE: Final = 1_000
"""In one mark: of the longest names a third of what an entry may take."""


class Forgetter:
    """Forgets in one shard. Everything of it is called on the ledger's thread.

    Args:
        stream: The ledger.
        index: Of it, complete.
        append: Writes a mark, puts it into the index and returns its number.
    """

    def __init__(self, stream: Stream, index: Index, append: Callable[[Forgotten], int]) -> None:
        self._stream = stream
        self._index = index
        self._append = append
        self._as_of: tuple[int, float] | None = None
        self._unneeded_before = 0
        """Of the ledger's numbers, as the last look found."""
        self._floors_at = (1, 0)

    def forget(self, *, now_ns: int, at_s: float, records_max: int) -> int:
        """Forget what is due, at most so many, and return how many that were.

        Args:
            now_ns: What the clock says, or the receipt of what is open if that is earlier.
            at_s: What a clock says that nobody sets.
            records_max: In one mark.

        Raises:
            FullError: There is no room for a mark; nothing is forgotten.
            DurabilityError: The ledger or the index failed.
        """
        self._index.flush()
        first = self._index.due(Due(_LAST_SEQ, _LAST_SEQ), count=1)
        if not first:
            return 0  # nothing that could ever be due: nothing to note either
        as_of_ms = self._advance(now_ns, at_s, first[0].until_ms)
        due = self._index.due(Due(as_of_ms - 1, _LAST_SEQ), count=records_max) if as_of_ms else []
        noted_ms = self._index.forgot.as_of_ms
        if due:
            until_ms, until_seq = due[-1]
            self._append(
                Forgotten(as_of_ms=as_of_ms, until_ms=until_ms, until_seq=until_seq, count=len(due))
            )
        elif noted_ms is None or as_of_ms >= noted_ms + NOTED_EVERY_MS:
            self._append(Forgotten(as_of_ms=as_of_ms))
        return len(due)

    def behind_s(self, now_ns: int) -> float:
        """Return by how many seconds forgetting is behind the clock."""
        return 0.0 if self._as_of is None else max(0.0, now_ns / 1e9 - self._as_of[0] / 1e3)

    def let_go(self) -> int:
        """Remove the segments whose records were all forgotten by the last look.

        Returns:
            Their bytes.

        Raises:
            FullError: There is no room for the mark; nothing is removed.
            DurabilityError: The ledger or the index failed.
        """
        self._index.flush()
        before, first_seq = self._unneeded_before, self._index.first_seq()
        self._unneeded_before = self._stream.next_seq if first_seq is None else first_seq
        if not any(
            each.next_seq <= before and not self._has_floors_alone(each)
            for each in self._stream.sealed
        ):
            return 0
        forgot = self._index.forgot
        floors = iter(forgot.floors.items())
        written: list[int] = []
        while (some := dict(islice(floors, _FLOORS_AT_ONCE))) or not written:
            written.append(self._append(Forgotten(as_of_ms=forgot.as_of_ms or 0, floors=some)))
        self._floors_at = (written[0], written[-1])
        return self._stream.retain_from(before, cursor_seq=written[-1]).removed_bytes

    def _has_floors_alone(self, segment: Sealed) -> bool:
        """Tell whether a segment is of no use only until its floors are written once more."""
        first_seq, last_seq = self._floors_at
        return first_seq <= segment.first_seq and segment.next_seq <= last_seq + 1

    def _advance(self, now_ns: int, at_s: float, first_due_ms: int) -> int:
        last_ms, last_s = self._as_of or (self._index.forgot.as_of_ms, at_s)
        as_of_ms = max(
            0, as_of(last_ms, now_ns=now_ns, elapsed_s=at_s - last_s, first_due_ms=first_due_ms)
        )
        self._as_of = (as_of_ms, at_s)
        return as_of_ms
