"""The orders of an index: each tenant's records by number, by stream, those to do; all by deadline.

Four LMDB databases beside what is remembered of each id, derived like it and committed with it:
``numbers``: ``tenant NUL number``; ``streams``: ``tenant NUL SHA-256(shard_id) epoch number``;
``open``: ``tenant NUL number`` of escalated records without a resolution; ``deadlines``: ``deadline
number`` of those that are kept for a time and not open. Numbers, epochs and deadlines (ms since
1970) are u64 big-endian, so that keys sort as they count; a value is ``family NUL pcs_id``, in
``deadlines`` with the tenant in front, behind its seal.
What is not committed yet is held beside them, for each tenant by itself.
"""

import hashlib
import struct
from collections.abc import Iterator
from typing import NamedTuple

import lmdb

from fractal_lba.server.core.forgetting import Due
from fractal_lba.server.core.known import Known, RecordKey
from fractal_lba.server.core.listing import EPOCH_MAX, Query, Spot
from fractal_lba.server.storage.index_values import (
    record_key_bytes,
    record_key_of,
    sealed,
    unsealed,
)

DATABASES = (b"numbers", b"streams", b"open", b"deadlines")

_NUL = b"\x00"
_U64 = struct.Struct(">Q")
_DUE = struct.Struct(">QQ")


class _Fresh(NamedTuple):
    seq: int
    epoch: int
    shard_id: str
    is_open: bool
    key: RecordKey


class IndexLists:
    """The orders of one opened index.

    ``put``, ``write`` and ``forget`` belong to the ledger's thread, ``spots`` may run on any.
    """

    def __init__(self, env: lmdb.Environment) -> None:
        self._env = env
        self._numbers, self._streams, self._open, self._deadlines = (
            env.open_db(name) for name in DATABASES
        )
        self._fresh: dict[str, list[_Fresh]] = {}

    def put(self, key: RecordKey, known: Known) -> None:
        """Note what was remembered and is not committed yet."""
        row = _Fresh(
            known.place.seq,
            known.summary.epoch,
            known.summary.shard_id,
            known.is_escalated,
            key,
        )
        self._fresh.setdefault(key.tenant, []).append(row)

    def write(self, transaction: lmdb.Transaction, key: RecordKey, known: Known) -> None:
        """Put a record into each order it belongs to."""
        by_number, by_stream, value = _rows(key, known)
        transaction.put(by_number, sealed(by_number, value), db=self._numbers)
        transaction.put(by_stream, sealed(by_stream, value), db=self._streams)
        if known.is_escalated and not known.resolutions:
            transaction.put(by_number, sealed(by_number, value), db=self._open)
        elif known.resolutions:
            transaction.delete(by_number, db=self._open)
        if (due := due_of(known)) is not None:
            name = _DUE.pack(*due)
            transaction.put(name, sealed(name, record_key_bytes(key)), db=self._deadlines)

    def remove(self, transaction: lmdb.Transaction, key: RecordKey, known: Known) -> None:
        """Take a record out of each order it belongs to."""
        by_number, by_stream, _ = _rows(key, known)
        transaction.delete(by_number, db=self._numbers)
        transaction.delete(by_stream, db=self._streams)
        transaction.delete(by_number, db=self._open)
        if (due := due_of(known)) is not None:
            transaction.delete(_DUE.pack(*due), db=self._deadlines)

    def due(
        self, transaction: lmdb.Transaction, through: Due, *, count: int | None = None
    ) -> list[tuple[Due, RecordKey]]:
        """Return what is due up to a place in the order of deadlines, at most so many, in order.

        Raises:
            CorruptionError: A value does not verify.
        """
        found: list[tuple[Due, RecordKey]] = []
        with transaction.cursor(db=self._deadlines) as cursor:
            is_more = cursor.first()
            while is_more and len(found) != count:
                key = bytes(cursor.key())
                due = Due(*_DUE.unpack(key))
                if due > through:
                    break
                found.append((due, record_key_of(unsealed(key, bytes(cursor.value())))))
                is_more = cursor.next()
        return found

    def first_seq(self, transaction: lmdb.Transaction) -> int | None:
        """Return the lowest number that a record has; ``None`` where there is none.

        Reads one row for each tenant.
        """
        lowest: int | None = None
        with transaction.cursor(db=self._numbers) as cursor:
            is_more = cursor.first()
            while is_more:
                key = bytes(cursor.key())
                seq = _U64.unpack(key[-_U64.size :])[0]
                lowest = seq if lowest is None else min(lowest, seq)
                # The first row behind every one of this tenant's.
                is_more = cursor.set_range(key[: -_U64.size - len(_NUL)] + b"\x01")
        return lowest

    def hold(self, transaction: lmdb.Transaction, key: RecordKey, known: Known) -> bool:
        """Tell whether a record stands in each order it belongs to, and in no other."""
        by_number, by_stream, value = _rows(key, known)
        is_open = known.is_escalated and not known.resolutions
        if (due := due_of(known)) is not None:
            name = _DUE.pack(*due)
            if transaction.get(name, db=self._deadlines) != sealed(name, record_key_bytes(key)):
                return False
        return (
            transaction.get(by_number, db=self._numbers) == sealed(by_number, value)
            and transaction.get(by_stream, db=self._streams) == sealed(by_stream, value)
            and transaction.get(by_number, db=self._open)
            == (sealed(by_number, value) if is_open else None)
        )

    def counts(self, transaction: lmdb.Transaction) -> tuple[int, int]:
        """Return how many records stand in the order of numbers, and in that of streams."""
        numbers, streams = transaction.stat(self._numbers), transaction.stat(self._streams)
        return numbers["entries"], streams["entries"]

    def forget(self) -> None:
        """Note that everything put is committed."""
        # A new dict, not clear(): a reader may hold one of its lists.
        self._fresh = {}

    def spots(
        self, tenant: str, query: Query, after: Spot, *, count: int
    ) -> list[tuple[Spot, RecordKey]]:
        """Return what follows a place in the order of a query, at most so many, in order.

        Only the order is the query's: which of them it asks for, the caller tells.

        Raises:
            CorruptionError: A value does not verify.
            lmdb.Error: LMDB failed.
        """
        # Taken before the transaction: what is committed in between is in both, nothing in neither.
        fresh = self._fresh.get(tenant, [])[:]
        found = {spot: key for spot, key in _fresh_spots(fresh, query) if spot > after}
        with self._env.begin() as transaction:
            found.update(self._committed(transaction, tenant, query, after, count))
        return sorted(found.items())[:count]

    def _committed(
        self, transaction: lmdb.Transaction, tenant: str, query: Query, after: Spot, count: int
    ) -> Iterator[tuple[Spot, RecordKey]]:
        seq = _U64.pack(after.seq)
        if query.shard_id is None:
            database = self._open if query.is_open_escalation else self._numbers
            prefix, place = _tenant(tenant), seq
        else:
            database = self._streams
            prefix, place = _stream(tenant, query.shard_id), _U64.pack(after.epoch) + seq
        with transaction.cursor(db=database) as cursor:
            is_more = cursor.set_range(prefix + place + _NUL)
            while is_more and count:
                key, value = bytes(cursor.key()), bytes(cursor.value())
                if not key.startswith(prefix):
                    return
                family, pcs_id = unsealed(key, value).split(_NUL, 1)
                numbers = [number for (number,) in _U64.iter_unpack(key[len(prefix) :])]
                yield (
                    Spot(numbers[0] if len(numbers) > 1 else 0, numbers[-1]),
                    RecordKey(tenant, family.decode(), pcs_id.hex()),
                )
                count -= 1
                is_more = cursor.next()


def due_of(known: Known) -> Due | None:
    """Return a record's place in the order of deadlines; ``None`` where it has none."""
    if known.kept is None or known.settled_seq is None:
        return None
    return Due(known.kept.until_ms, known.place.seq)


def first_spot(query: Query, after: Spot) -> Spot:
    """Return the place behind which a query's records begin, at or after a place."""
    if query.shard_id is None or not query.from_epoch:
        return after
    return max(after, Spot(query.from_epoch - 1, (1 << 64) - 1))


def is_beyond(query: Query, spot: Spot) -> bool:
    """Tell whether nothing from a place on can be asked for."""
    to_epoch = EPOCH_MAX if query.to_epoch is None else query.to_epoch
    return query.shard_id is not None and spot.epoch > to_epoch


def _fresh_spots(rows: list[_Fresh], query: Query) -> Iterator[tuple[Spot, RecordKey]]:
    for row in rows:
        if query.shard_id is not None:
            if row.shard_id == query.shard_id:
                yield Spot(row.epoch, row.seq), row.key
        elif row.is_open or not query.is_open_escalation:
            yield Spot(0, row.seq), row.key


def _rows(key: RecordKey, known: Known) -> tuple[bytes, bytes, bytes]:
    """Return a record's key by number, its key by stream, and what stands under both."""
    seq = _U64.pack(known.place.seq)
    by_stream = _stream(key.tenant, known.summary.shard_id) + _U64.pack(known.summary.epoch) + seq
    value = key.family.encode() + _NUL + bytes.fromhex(key.pcs_id)
    return _tenant(key.tenant) + seq, by_stream, value


def _tenant(tenant: str) -> bytes:
    return tenant.encode() + _NUL


def _stream(tenant: str, shard_id: str) -> bytes:
    # Hashed: of one length, whatever a version allows in a stream's name.
    return _tenant(tenant) + hashlib.sha256(shard_id.encode()).digest()
