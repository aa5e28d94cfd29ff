"""An index in memory behind the server's port: whole commits, and what a cut leaves of them.

It stands for LMDB where a run has to be one order of work from a seed, and passes the suite of the
real one (``tests/unit/server/storage/test_index_contract.py``). Its file outlives the process: a
list of commits, the last of which is what the next process finds.
"""

import errno
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.server.core.forgetting import NOTHING_YET, Due, Forgot, Forgotten
from fractal_lba.server.core.known import Known, RecordKey
from fractal_lba.server.core.listing import Query, Spot
from fractal_lba.server.core.usage import NO_USAGE, Usage, day_of
from fractal_lba.server.storage.index_lists import due_of
from fractal_lba.server.storage.index_port import Index
from fractal_lba.server.storage.index_state import Checkpoint, State

Gate = Callable[[Callable[[], None]], None]
"""Makes a commit, or fails, or ends the process: before it or behind it."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What one commit left; ``rows`` is key → the places it was ever put for, in any order."""

    state: State
    records: dict[RecordKey, Known] = field(default_factory=dict)
    rows: dict[tuple[str, int, int, str], RecordKey] = field(default_factory=dict)
    usage: dict[tuple[str, int], Usage] = field(default_factory=dict)
    forgot: Forgot = NOTHING_YET


class IndexFile:
    """What the disk has of an index.

    Attributes:
        commits: Every one since the file was made, oldest first; none for no file.
    """

    def __init__(self) -> None:
        self.commits: list[Commit] = []

    def cut_power(self, chance: random.Random) -> str:
        """Leave what a power loss may, and more: any commit, or no file; say which."""
        dice = chance.random()
        if dice < 0.6 or not self.commits:
            return "index as it was"
        if dice < 0.85:
            del self.commits[chance.randint(1, len(self.commits)) :]
            return "index of an earlier commit"
        self.commits.clear()
        return "index gone"


class MemoryIndex:
    """One process's view of an index file; see ``LmdbIndex`` for each member."""

    def __init__(
        self, file: IndexFile, *, shard: str, data_id: str | None, gate: Gate = lambda act: act()
    ) -> None:
        self.shard = shard
        self.is_damaged = False
        self.reading = threading.Lock()
        self._file = file
        self._gate = gate
        self._data_id = data_id
        self._records: dict[RecordKey, Known] = {}
        self._charged: dict[tuple[str, int], Usage] = {}
        if file.commits and data_id not in {None, file.commits[-1].state.data_id}:
            file.commits.clear()
        state = file.commits[-1].state if file.commits else State(data_id=data_id)
        self._data_id = data_id or state.data_id
        self._checkpoint, self._losses = state.checkpoint, state.losses
        self._accepted_seq = state.accepted_seq
        self._forgot = self.committed.forgot

    @property
    def committed(self) -> Commit:
        """What the last commit left."""
        return self._file.commits[-1] if self._file.commits else Commit(State())

    @property
    def everything(self) -> dict[RecordKey, Known]:
        """What is remembered, committed or not."""
        return self.committed.records | self._records

    @property
    def checkpoint(self) -> Checkpoint | None:
        return self._checkpoint

    @property
    def losses(self) -> tuple[tuple[int, int], ...]:
        return self._losses

    @property
    def accepted_seq(self) -> int:
        return self._accepted_seq

    @property
    def forgot(self) -> Forgot:
        return self._forgot

    @property
    def unflushed(self) -> int:
        return len(self._records)

    def lookup(self, key: RecordKey) -> Known | None:
        return self._records.get(key) or self.committed.records.get(key)

    def lookup_all(self, keys: Sequence[RecordKey]) -> list[Known | None]:
        return [self.lookup(key) for key in keys]

    def put(self, key: RecordKey, known: Known, checkpoint: Checkpoint) -> None:
        self.put_all([(key, known)], checkpoint)

    def put_all(
        self, remembered: Sequence[tuple[RecordKey, Known]], checkpoint: Checkpoint
    ) -> None:
        self._records.update(remembered)
        self._checkpoint = checkpoint

    def due(self, through: Due, *, count: int | None = None) -> list[Due]:
        found = sorted(due for due in map(due_of, self.committed.records.values()) if due)
        return [due for due in found if due <= through][:count]

    def first_seq(self) -> int | None:
        return min((each.place.seq for each in self.committed.records.values()), default=None)

    def forget(self, mark: Forgotten, checkpoint: Checkpoint) -> None:
        self.flush()
        due = set(self.due(Due(mark.until_ms, mark.until_seq)))
        gone = {key: known for key, known in self.committed.records.items() if due_of(known) in due}
        usage, floors = dict(self.committed.usage), dict(mark.floors)
        for key, known in gone.items():
            assert known.kept is not None
            floors[key.tenant] = max(known.kept.from_ms, floors.get(key.tenant, 0))
            of = (key.tenant, day_of(known.received_ns))
            usage[of] -= Usage(records=1, bytes=known.size)
            if not usage[of].records:
                del usage[of]
        self._forgot = self._forgot.after(mark, checkpoint.seq, floors)
        self._checkpoint = checkpoint
        kept = {key: known for key, known in self.committed.records.items() if key not in gone}
        rows = {row: key for row, key in self.committed.rows.items() if key not in gone}
        self._commit(replace(self.committed, records=kept, rows=rows, usage=usage))

    def spots(
        self, tenant: str, query: Query, after: Spot, *, count: int
    ) -> list[tuple[Spot, RecordKey]]:
        found: dict[Spot, RecordKey] = {}
        for (owner, seq, epoch, stream), key in self._rows().items():
            if owner != tenant or query.shard_id not in {None, stream}:
                continue
            known = self.lookup(key)
            is_open = known is not None and known.is_escalated and not known.resolutions
            if query.shard_id is None and query.is_open_escalation and not is_open:
                continue
            found[Spot(epoch if query.shard_id is not None else 0, seq)] = key
        return sorted(each for each in found.items() if each[0] > after)[:count]

    def usage(self, tenant: str, day: int) -> Usage:
        found = self._charged.get((tenant, day)) or self.committed.usage.get((tenant, day))
        return found or NO_USAGE

    def charge(self, tenant: str, day: int, charged: Usage) -> None:
        self._charged[tenant, day] = self.usage(tenant, day) + charged

    def lose(self, first_seq: int, last_seq: int) -> None:
        lost = (first_seq, last_seq)
        if last_seq > self._accepted_seq and lost not in self._losses:
            self._losses = (*self._losses, lost)

    def accept_losses(self) -> None:
        self._accepted_seq = max([self._accepted_seq, *(last for _, last in self._losses)])
        self._losses = ()

    def flush(self) -> None:
        self._commit(self.committed)
        self._records, self._charged = {}, {}

    def _commit(self, before: Commit) -> None:
        commit = replace(
            before,
            state=State(
                data_id=self._data_id,
                checkpoint=self._checkpoint,
                losses=self._losses,
                accepted_seq=self._accepted_seq,
                marks=self._forgot.marks,
                as_of_ms=self._forgot.as_of_ms,
            ),
            forgot=self._forgot,
            records=before.records | self._records,
            rows=before.rows | self._put_rows(),
            usage=before.usage | self._charged,
        )
        try:
            self._gate(lambda: self._file.commits.append(commit))
        except OSError as error:
            raise DurabilityError(
                f"index: expected a commit, got {errno.errorcode[error.errno or 0]}"
            ) from error

    def reopen(self) -> None:
        """Nothing of it is ever beyond use."""

    def discard(self) -> None:
        self._file.commits.clear()
        self._records, self._charged = {}, {}
        self._checkpoint, self._losses, self._accepted_seq = None, (), 0
        self._forgot = NOTHING_YET
        self.is_damaged = False

    def items(self) -> Iterator[tuple[RecordKey, Known]]:
        yield from sorted(self.committed.records.items(), key=lambda each: each[0])

    def usages(self) -> Iterator[tuple[str, int, Usage]]:
        for (tenant, day), usage in sorted(self.committed.usage.items(), key=lambda each: each[0]):
            yield tenant, day, usage

    def close(self, *, commits: bool = True) -> None:
        if commits:
            self.flush()

    def _rows(self) -> dict[tuple[str, int, int, str], RecordKey]:
        """Return every place a record was put for; a later one takes no earlier one away."""
        return self.committed.rows | self._put_rows()

    def _put_rows(self) -> dict[tuple[str, int, int, str], RecordKey]:
        return {
            (key.tenant, known.place.seq, known.summary.epoch, known.summary.shard_id): key
            for key, known in self._records.items()
        }


def is_an_index(index: MemoryIndex) -> Index:
    """Hold the model to the port, for the type checker."""
    return index
