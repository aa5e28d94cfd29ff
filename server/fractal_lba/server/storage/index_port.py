"""What a shard needs of its index, whatever engine keeps it.

Every engine keeps one promise: what a ``flush`` commits it commits as a whole, with its checkpoint.
After the end of a process the index is as its last commit left it, after a power loss as some
commit did; what is missing then is replayed from the ledger.
"""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from fractal_lba.server.core.forgetting import Due, Forgot, Forgotten
from fractal_lba.server.core.known import Known, RecordKey
from fractal_lba.server.core.listing import Query, Spot
from fractal_lba.server.core.usage import Usage
from fractal_lba.server.storage.index_state import Checkpoint


class Index(Protocol):
    """One shard's index, open; see ``LmdbIndex`` for what each member does and raises."""

    shard: str
    is_damaged: bool
    reading: threading.Lock

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The last entry put, committed or not."""
        ...

    @property
    def losses(self) -> tuple[tuple[int, int], ...]:
        """Ranges of decision numbers whose ids are unknown."""
        ...

    @property
    def accepted_seq(self) -> int:
        """Up to which number losses were accepted."""
        ...

    @property
    def forgot(self) -> Forgot:
        """What is forgotten."""
        ...

    @property
    def unflushed(self) -> int:
        """How many entries are in memory only."""
        ...

    def lookup(self, key: RecordKey) -> Known | None:
        """Return what is remembered under a key."""
        ...

    def lookup_all(self, keys: Sequence[RecordKey]) -> list[Known | None]:
        """Return what is remembered under each key, read at once."""
        ...

    def put(self, key: RecordKey, known: Known, checkpoint: Checkpoint) -> None:
        """Remember an entry that is on disk in the ledger."""
        ...

    def put_all(
        self, remembered: Sequence[tuple[RecordKey, Known]], checkpoint: Checkpoint
    ) -> None:
        """Remember entries that are on disk in the ledger, up to a checkpoint."""
        ...

    def due(self, through: Due, *, count: int) -> list[Due]:
        """Return the first places in the order of deadlines that are committed, up to one."""
        ...

    def first_seq(self) -> int | None:
        """Return the lowest number of a committed record."""
        ...

    def forget(self, mark: Forgotten, checkpoint: Checkpoint) -> None:
        """Forget what a mark that is on disk in the ledger says, and commit that."""
        ...

    def spots(
        self, tenant: str, query: Query, after: Spot, *, count: int
    ) -> list[tuple[Spot, RecordKey]]:
        """Return what follows a place in the order of a query."""
        ...

    def usage(self, tenant: str, day: int) -> Usage:
        """Return what a tenant sent in a day."""
        ...

    def charge(self, tenant: str, day: int, charged: Usage) -> None:
        """Add to what a tenant sent in a day."""
        ...

    def lose(self, first_seq: int, last_seq: int) -> None:
        """Note that the ids of these numbers are not known."""
        ...

    def accept_losses(self) -> None:
        """Forget what is lost."""
        ...

    def flush(self) -> None:
        """Commit what is in memory."""
        ...

    def reopen(self) -> None:
        """Open it anew where its engine failed; what was not committed is gone."""
        ...

    def discard(self) -> None:
        """Delete everything."""
        ...

    def items(self) -> Iterator[tuple[RecordKey, Known]]:
        """Yield every committed entry, in key order."""
        ...

    def usages(self) -> Iterator[tuple[str, int, Usage]]:
        """Yield every committed tenant and day with what was sent, in that order."""
        ...

    def close(self, *, commits: bool = True) -> None:
        """Commit, unless told not to, and close."""
        ...


class OpenIndex(Protocol):
    """Opens the index in a folder, made where there is none."""

    def __call__(self, folder: Path, *, map_bytes: int, data_id: str | None) -> Index:
        """See ``LmdbIndex``."""
        ...
