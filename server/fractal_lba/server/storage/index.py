"""The index: what is remembered of each id, in LMDB, derived from one ledger.

Entries are held in memory and committed together with the checkpoint up to which they are complete,
in LMDB's default, synchronous mode: after a power loss the file is a whole number of commits old,
and what the memory held is replayed from the ledger. No answer waits for such a commit.

How keys and values are written: ``index_values``.
"""

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import lmdb

from fractal_lba.protocol.errors import CorruptionError, DurabilityError
from fractal_lba.server.core.forgetting import NOTHING_YET, Due, Forgot, Forgotten
from fractal_lba.server.core.known import Known, RecordKey
from fractal_lba.server.core.listing import Query, Spot
from fractal_lba.server.core.usage import NO_USAGE, Usage
from fractal_lba.server.storage.index_chunks import entries
from fractal_lba.server.storage.index_files import UNREADABLE, Opened, open_files
from fractal_lba.server.storage.index_forgets import Forgetting, floors_of, forgetting_of, remove
from fractal_lba.server.storage.index_state import (
    FORMAT_VERSION,
    META_STATE,
    Checkpoint,
    State,
    state_bytes,
    state_of,
)
from fractal_lba.server.storage.index_values import (
    known_bytes,
    known_of,
    record_key_bytes,
    record_key_of,
    tenant_day_bytes,
    tenant_day_of,
    usage_bytes,
    usage_of,
)


class LmdbIndex:
    """One shard's index.

    ``put`` and ``flush`` belong to the ledger's thread, ``lookup`` may run on any.

    Args:
        folder: Created if it is missing; one that LMDB or this version cannot read is discarded,
            since all of it can be rebuilt.
        map_bytes: Address space; doubled when it is full.
        data_id: Whose ledger it is derived from; one of another data folder is discarded. ``None``
            asks for none.
        is_read_only: Look only, and discard nothing; another process may be writing it.

    Raises:
        DurabilityError: The disk failed; or, read-only, the folder cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        *,
        map_bytes: int,
        data_id: str | None = None,
        is_read_only: bool = False,
    ) -> None:
        self._folder = folder
        self.shard = folder.parent.name
        """Whose it is."""
        self._data_id = data_id
        self._map_bytes = map_bytes
        self._is_read_only = is_read_only
        self._fresh: dict[bytes, bytes] = {}
        self.is_damaged = False
        """Whether something was met that is not sound: what else is wrong nobody can tell."""
        self._checkpoint: Checkpoint | None = None
        self._losses: tuple[tuple[int, int], ...] = ()
        self._accepted_seq, self._forgot = 0, NOTHING_YET
        self._fresh_usage: dict[tuple[str, int], Usage] = {}
        self.reading = threading.Lock()
        """Held by whoever reads on another thread: the file must neither grow nor go meanwhile."""
        self._mapped = threading.Lock()  # as ``reading``, for a lookup: it waits for no page
        self._has_failed = False
        self._take_files(self._open())
        if self._take_state():
            return
        if is_read_only:
            raise DurabilityError(
                f"index: expected a state of version {FORMAT_VERSION} and of this data folder,"
                " got another"
            )
        self.discard()

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The last entry put, committed or not; ``None`` where the index is empty."""
        return self._checkpoint

    @property
    def losses(self) -> tuple[tuple[int, int], ...]:
        """Ranges of decision numbers whose ids are unknown (see ``ports.Shard.losses``)."""
        return self._losses

    @property
    def accepted_seq(self) -> int:
        """Up to which number losses were accepted; no other decision gets one of those."""
        return self._accepted_seq

    @property
    def forgot(self) -> Forgot:
        """What is forgotten."""
        return self._forgot

    @property
    def handles(self) -> Opened:
        """For whoever reads what is committed, holding ``reading``."""
        return self._opened

    @property
    def unflushed(self) -> int:
        """How many entries are in memory only."""
        return len(self._fresh)

    def lookup(self, key: RecordKey) -> Known | None:
        """Return what is remembered under a key; raises like ``lookup_all``."""
        return self.lookup_all((key,))[0]

    def lookup_all(self, keys: Sequence[RecordKey]) -> list[Known | None]:
        """Return what is remembered under each key, read at once.

        Raises:
            CorruptionError: A value does not verify; the index ``is_damaged`` from now on.
            DurabilityError: LMDB failed.
        """
        # Taken before the transaction: what is committed in between is in one of the two.
        fresh = self._fresh
        names = [record_key_bytes(key) for key in keys]
        values = {name: fresh[name] for name in names if name in fresh}
        with self._noting_damage("an entry or none"):
            if len(values) < len(names):
                with self._mapped, self._env.begin(db=self._records) as transaction:
                    # What is fresh goes before: a conflict or a resolution may have come since.
                    values = {**dict(transaction.cursor().getmulti(names)), **values}
            return [known_of(name, values[name]) if name in values else None for name in names]

    def put(self, key: RecordKey, known: Known, checkpoint: Checkpoint) -> None:
        """Remember an entry that is on disk in the ledger, and that everything up to it is."""
        self.put_all([(key, known)], checkpoint)

    def put_all(
        self, remembered: Sequence[tuple[RecordKey, Known]], checkpoint: Checkpoint
    ) -> None:
        """Remember entries that are on disk in the ledger, and that everything up to a place is."""
        fresh, put = self._fresh, self._lists.put
        for key, known in remembered:
            name = record_key_bytes(key)
            fresh[name] = known_bytes(name, known)
            put(key, name, known)
        self._checkpoint = checkpoint

    def due(self, through: Due, *, count: int) -> list[Due]:
        """Return the first committed places in the order of deadlines; raises like ``lookup``."""
        with self._noting_damage("deadlines"), self._env.begin() as transaction:
            return [due for due, _ in self._lists.due(transaction, through, count=count)]

    def first_seq(self) -> int | None:
        """Return the lowest number of a committed record; raises like ``lookup``."""
        with self._noting_damage("numbers"), self._env.begin() as transaction:
            return self._lists.first_seq(transaction)

    def forget(self, mark: Forgotten, checkpoint: Checkpoint) -> None:
        """Forget what a mark that is on disk in the ledger says, and commit that.

        Raises:
            DurabilityError: See ``lookup``; nothing is forgotten.
        """
        self.flush()
        with self._noting_damage("what is due"):
            what = forgetting_of(self._opened, mark)
        # Before the commit: who finds an id forgotten is told of its tenant's floor.
        self._forgot = self._forgot.after(mark, checkpoint.seq, what.floors)
        self._checkpoint = checkpoint
        self.flush(what)

    def spots(
        self, tenant: str, query: Query, after: Spot, *, count: int
    ) -> list[tuple[Spot, RecordKey]]:
        """Return what follows a place in the order of a query (see ``IndexLists.spots``).

        Raises:
            DurabilityError: See ``lookup``.
        """
        with self._noting_damage("a listing"):
            return self._lists.spots(tenant, query, after, count=count)

    def usage(self, tenant: str, day: int) -> Usage:
        """Return what a tenant sent in a day (see ``core.usage``).

        Raises:
            CorruptionError: The value does not verify; the index ``is_damaged`` from now on.
            DurabilityError: LMDB failed.
        """
        fresh = self._fresh_usage.get((tenant, day))
        if fresh is not None:
            return fresh
        key = tenant_day_bytes(tenant, day)
        with self._noting_damage("usage or none"):
            with self._env.begin(db=self._usage) as transaction:
                value = transaction.get(key)
            return NO_USAGE if value is None else usage_of(key, value)

    def charge(self, tenant: str, day: int, charged: Usage) -> None:
        """Add to what a tenant sent in a day; committed with the entry that is put next.

        Raises:
            DurabilityError: See ``usage``; nothing was added.
        """
        self._fresh_usage[tenant, day] = self.usage(tenant, day) + charged

    def lose(self, first_seq: int, last_seq: int) -> None:
        """Note that the ids of these numbers are not known; committed with the next ``flush``."""
        lost = (first_seq, last_seq)
        if last_seq > self._accepted_seq and lost not in self._losses:
            self._losses = (*self._losses, lost)

    def accept_losses(self) -> None:
        """Forget what is lost: the operator's word that those ids may be decided again."""
        self._accepted_seq = max([self._accepted_seq, *(last for _, last in self._losses)])
        self._losses = ()

    def accept_losses_up_to(self, seq: int) -> None:
        """Take over that losses up to a number were accepted, and that those numbers were given."""
        self._accepted_seq = max(self._accepted_seq, seq)

    def flush(self, forgetting: Forgetting | None = None) -> None:
        """Commit what is in memory, with its checkpoint, and what is forgotten with it.

        Raises:
            DurabilityError: LMDB failed; what was in memory still is.
        """
        fresh, fresh_usage = self._fresh, self._fresh_usage
        with self._noting_damage("a commit"):
            while True:
                try:
                    self._commit(fresh, fresh_usage, forgetting)
                    break
                except lmdb.MapFullError:
                    self._grow()
        # A new dict, not clear(): a lookup on another thread may be between its two steps.
        self._fresh, self._fresh_usage = {}, {}
        self._lists.forget()

    def _commit(
        self,
        fresh: dict[bytes, bytes],
        fresh_usage: dict[tuple[str, int], Usage],
        forgetting: Forgetting | None,
    ) -> None:
        # Whoever reads a page meanwhile must not miss a record that its order names.
        alone = nullcontext() if forgetting is None else self.reading
        with alone, self._env.begin(write=True) as transaction:
            # In their order: neighbours touch the same pages.
            transaction.cursor(db=self._records).putmulti(sorted(fresh.items()))
            self._lists.write(transaction)
            for (tenant, day), usage in fresh_usage.items():
                name = tenant_day_bytes(tenant, day)
                transaction.put(name, usage_bytes(name, usage), db=self._usage)
            if forgetting is not None:
                remove(transaction, self._opened, forgetting)
            transaction.put(META_STATE, state_bytes(self._state()), db=self._meta)

    @contextmanager
    def _noting_damage(self, expected: str) -> Iterator[None]:
        try:
            yield
        except CorruptionError:
            self.is_damaged = True
            raise
        except lmdb.Error as error:
            self._has_failed = True
            self.is_damaged = self.is_damaged or isinstance(error, UNREADABLE)
            raise DurabilityError(
                f"index: expected {expected}, got {type(error).__name__}"
            ) from error

    def _grow(self) -> None:
        try:
            with self.reading, self._mapped:
                self._env.set_mapsize(2 * self._map_bytes)
        except lmdb.Error as error:
            raise DurabilityError(
                f"index: expected {2 * self._map_bytes} bytes of address space, got none"
            ) from error
        self._map_bytes *= 2

    def discard(self) -> None:
        """Delete everything, to be rebuilt from the ledger."""
        with self.reading:
            self._env.close()
        shutil.rmtree(self._folder)
        self._fresh = {}
        self._checkpoint, self._losses, self._accepted_seq = None, (), 0
        self._forgot, self.is_damaged = NOTHING_YET, False
        self._fresh_usage = {}
        self._take_files(self._open())

    def reopen(self) -> None:
        """Open it anew where LMDB failed, as its last commit left it: a replay puts the rest again.

        LMDB takes no more commits after the write of its own first pages failed.

        Raises:
            DurabilityError: It cannot be opened.
        """
        if not self._has_failed:
            return
        with self.reading:
            self._env.close()
        self._fresh, self._fresh_usage = {}, {}
        self._take_files(self._open())
        self._has_failed = False
        if not self._take_state():
            self.discard()

    def items(self) -> Iterator[tuple[RecordKey, Known]]:
        """Yield every committed entry, in key order; what is committed meanwhile may be missing.

        Raises:
            DurabilityError: See ``lookup``.
        """
        for key, value in entries(self._env, self._records, self.reading):
            yield record_key_of(key), known_of(key, value)

    def usages(self) -> Iterator[tuple[str, int, Usage]]:
        """Yield every committed tenant and day with what was sent, in that order.

        Raises:
            DurabilityError: See ``lookup``.
        """
        for key, value in entries(self._env, self._usage, self.reading):
            yield *tenant_day_of(key), usage_of(key, value)

    def close(self, *, commits: bool = True) -> None:
        """Commit, unless told not to, and close."""
        if commits and not self._is_read_only:
            self.flush()
        with self.reading:
            self._env.close()

    def _open(self) -> Opened:
        return open_files(self._folder, map_bytes=self._map_bytes, is_read_only=self._is_read_only)

    def _state(self) -> State:
        return State(
            data_id=self._data_id,
            checkpoint=self._checkpoint,
            losses=self._losses,
            accepted_seq=self._accepted_seq,
            marks=self._forgot.marks,
            as_of_ms=self._forgot.as_of_ms,
        )

    def _take_state(self) -> bool:
        """Take over what the last commit says of itself; tell whether it is of any use."""
        state = self._read_state()
        if state is None:
            return False
        self._checkpoint, self._losses = state.checkpoint, state.losses
        self._accepted_seq = state.accepted_seq
        try:
            floors = floors_of(self._opened)
        except (lmdb.Error, CorruptionError):
            return False
        self._forgot = Forgot(marks=state.marks, as_of_ms=state.as_of_ms, floors=floors)
        return True

    def _take_files(self, opened: Opened) -> None:
        self._opened = opened
        self._env, self._records, self._usage, self._meta, _, self._lists = opened

    def _read_state(self) -> State | None:
        try:
            with self._env.begin(db=self._meta) as transaction:
                value = transaction.get(META_STATE)
            if value is None:
                return State(data_id=self._data_id)
            state = state_of(value)
        except (lmdb.Error, CorruptionError):
            return None
        if state.format_version != FORMAT_VERSION:
            return None
        if self._data_id is None:
            self._data_id = state.data_id
        return state if state.data_id == self._data_id else None
