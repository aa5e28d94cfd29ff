"""What a reader that checks it sees of an index: what is committed, many ids at a time.

It notes no damage and holds no lock across two calls: a problem that it meets is one to look at
again, not one that fences a shard.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import lmdb

from fractal_lba.protocol.errors import CorruptionError
from fractal_lba.server.core.forgetting import Mark
from fractal_lba.server.core.known import Known, RecordKey
from fractal_lba.server.core.usage import Usage
from fractal_lba.server.storage.index import LmdbIndex
from fractal_lba.server.storage.index_chunks import whole
from fractal_lba.server.storage.index_lists import IndexLists
from fractal_lba.server.storage.index_state import META_STATE, State, state_of
from fractal_lba.server.storage.index_values import known_of, record_key_bytes


class Found(NamedTuple):
    """What is committed under an id.

    ``is_sound`` is false for a value that does not verify, ``is_listed`` where the orders of the
    index do not hold it as they should.
    """

    known: Known | None
    is_sound: bool = True
    is_listed: bool = True


NOTHING = Found(None)


class IndexView:
    """A committed index.

    ``through`` is the last number that it held when this was made, ``marks`` what was forgotten.

    Args:
        index: Opened; its owner may be writing it, in this process or another.

    Raises:
        DurabilityError: It cannot be read.
    """

    def __init__(self, index: LmdbIndex) -> None:
        self._index = index
        state = self._read_state()
        self.through = 0 if state is None or state.checkpoint is None else state.checkpoint.seq
        self.marks = () if state is None else state.marks

    @property
    def losses(self) -> tuple[tuple[int, int], ...]:
        """Ranges of decision numbers whose ids are unknown."""
        return self._index.losses

    def find(self, keys: Sequence[RecordKey]) -> list[Found]:
        """Return what is committed under some ids, read at once.

        Raises:
            DurabilityError: LMDB failed.
        """
        with self._index.reading:
            handles = self._index.handles

            def read(transaction: lmdb.Transaction) -> list[Found]:
                return [_found(handles.lists, handles.records, transaction, key) for key in keys]

            return whole(handles.env, read)

    def counts(self) -> tuple[int, int, int]:
        """Return how many records there are, and how many in the orders of numbers and streams.

        Raises:
            DurabilityError: LMDB failed.
        """
        with self._index.reading:
            handles = self._index.handles

            def read(transaction: lmdb.Transaction) -> tuple[int, int, int]:
                records: int = transaction.stat(handles.records)["entries"]
                return records, *handles.lists.counts(transaction)

            return whole(handles.env, read)

    def items(self) -> Iterator[tuple[RecordKey, Known]]:
        """See ``LmdbIndex.items``."""
        return self._index.items()

    def marks_now(self) -> tuple[Mark, ...]:
        """Return what is forgotten by now.

        Raises:
            DurabilityError: LMDB failed.
        """
        state = self._read_state()
        return () if state is None else state.marks

    def usages(self) -> dict[tuple[str, int], Usage]:
        """Return what each tenant sent in each day, as far as it is committed.

        Raises:
            CorruptionError: A value does not verify.
            DurabilityError: LMDB failed.
        """
        return {(tenant, day): usage for tenant, day, usage in self._index.usages()}

    def _read_state(self) -> State | None:
        with self._index.reading:
            handles = self._index.handles
            value = whole(handles.env, lambda each: each.get(META_STATE, db=handles.meta))
        return None if value is None else state_of(bytes(value))


def _found(
    lists: IndexLists, records: lmdb._Database, transaction: lmdb.Transaction, key: RecordKey
) -> Found:
    name = record_key_bytes(key)
    value = transaction.get(name, db=records)
    if value is None:
        return NOTHING
    try:
        known = known_of(name, bytes(value))
    except CorruptionError:
        return Found(None, is_sound=False)
    return Found(known, is_listed=lists.hold(transaction, key, known))
