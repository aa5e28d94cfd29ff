"""The orders of an index: each tenant's records by number, by stream, those to do; all by deadline.

Four LMDB databases beside what is remembered of each id, derived like it and committed with it:
``numbers``: ``tenant NUL number``; ``streams``: ``tenant NUL SHA-256(shard_id) epoch number``;
``open``: ``tenant NUL number`` of escalated records without a resolution; ``deadlines``: ``deadline
number`` of those that are kept for a time and not open. Numbers, epochs and deadlines (ms since
1970) are u64 big-endian, so that keys sort as they count; a value is ``family NUL pcs_id``, in
``deadlines`` with the tenant in front, behind its seal.
What is not committed yet is held in memory, as the rows it will be.
"""

import hashlib
import struct
from dataclasses import dataclass, field
from functools import lru_cache

import lmdb

from fractal_lba.server.core.forgetting import Due
from fractal_lba.server.core.known import Known, RecordKey
from fractal_lba.server.core.listing import EPOCH_MAX, ESCALATED_STATUS, Query, Spot
from fractal_lba.server.storage.index_values import (
    record_key_bytes,
    record_key_of,
    sealed,
    unsealed,
)

DATABASES = (b"numbers", b"streams", b"open", b"deadlines")

_NUL = b"\x00"
_TENANTS_CACHED = 1_024
_STREAMS_CACHED = 4_096
"""Those that are sent to at a time; of each two strings and a key of some hundred bytes."""
_U64 = struct.Struct(">Q")
_TWO_U64 = struct.Struct(">QQ")


@dataclass(frozen=True, slots=True)
class _Fresh:
    """Rows that are not committed yet, as they will be, by the order they belong to.

    ``None`` in ``open`` is a row to be taken out.
    """

    numbers: dict[bytes, bytes] = field(default_factory=dict)
    streams: dict[bytes, bytes] = field(default_factory=dict)
    open: dict[bytes, bytes | None] = field(default_factory=dict)
    deadlines: dict[bytes, bytes] = field(default_factory=dict)


class IndexLists:
    """The orders of one opened index.

    ``put``, ``write`` and ``forget`` belong to the ledger's thread, ``spots`` may run on any.
    """

    def __init__(self, env: lmdb.Environment) -> None:
        self._env = env
        self._numbers, self._streams, self._open, self._deadlines = (
            env.open_db(name) for name in DATABASES
        )
        self._fresh = _Fresh()

    def put(self, key: RecordKey, name: bytes, known: Known) -> None:
        """Note what was remembered and is not committed yet; ``name`` is its key in ``records``."""
        fresh = self._fresh
        seq = known.place.seq
        summary = known.summary
        tenant = _tenant(key.tenant)
        value = name[len(tenant) :]
        by_number = tenant + _U64.pack(seq)
        row = sealed(by_number, value)
        fresh.numbers[by_number] = row
        by_stream = _stream(key.tenant, summary.shard_id) + _TWO_U64.pack(summary.epoch, seq)
        fresh.streams[by_stream] = sealed(by_stream, value)
        if known.status == ESCALATED_STATUS:
            fresh.open[by_number] = None if known.resolutions else row
        if (due := due_of(known)) is not None:
            by_deadline = _TWO_U64.pack(*due)
            fresh.deadlines[by_deadline] = sealed(by_deadline, name)

    def write(self, transaction: lmdb.Transaction) -> None:
        """Put what was noted into each order it belongs to."""
        fresh = self._fresh
        for rows, database in (
            (fresh.numbers, self._numbers),
            (fresh.streams, self._streams),
            (fresh.deadlines, self._deadlines),
        ):
            with transaction.cursor(db=database) as cursor:
                cursor.putmulti(sorted(rows.items()))
        for name, row in fresh.open.items():
            if row is None:
                transaction.delete(name, db=self._open)
            else:
                transaction.put(name, row, db=self._open)

    def remove(self, transaction: lmdb.Transaction, key: RecordKey, known: Known) -> None:
        """Take a record out of each order it belongs to."""
        by_number, by_stream, _ = _rows(key, known)
        transaction.delete(by_number, db=self._numbers)
        transaction.delete(by_stream, db=self._streams)
        transaction.delete(by_number, db=self._open)
        if (due := due_of(known)) is not None:
            transaction.delete(_TWO_U64.pack(*due), db=self._deadlines)

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
                due = Due(*_TWO_U64.unpack(key))
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
            name = _TWO_U64.pack(*due)
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
        # New ones, not clear(): a reader may be about to copy one.
        self._fresh = _Fresh()

    def spots(
        self, tenant: str, query: Query, after: Spot, *, count: int
    ) -> list[tuple[Spot, RecordKey]]:
        """Return what follows a place in the order of a query, at most so many, in order.

        Only the order is the query's: which of them it asks for, the caller tells.

        Raises:
            CorruptionError: A value does not verify.
            lmdb.Error: LMDB failed.
        """
        rows, database, prefix, place = self._order(tenant, query, after)
        # Taken before the transaction: what is committed in between is in both, nothing in neither.
        # A copy is made in one step, whatever the ledger's thread puts meanwhile.
        behind = prefix + place
        found = dict(
            _spot_of(tenant, prefix, name, row)
            for name, row in rows.copy().items()
            if row is not None and name.startswith(prefix) and name > behind
        )
        with self._env.begin() as transaction, transaction.cursor(db=database) as cursor:
            is_more = cursor.set_range(behind + _NUL)
            for _ in range(count):
                name = bytes(cursor.key()) if is_more else b""
                if not name.startswith(prefix):
                    break
                spot, key = _spot_of(tenant, prefix, name, bytes(cursor.value()))
                found[spot] = key
                is_more = cursor.next()
        return sorted(found.items())[:count]

    def _order(
        self, tenant: str, query: Query, after: Spot
    ) -> tuple[dict[bytes, bytes] | dict[bytes, bytes | None], lmdb._Database, bytes, bytes]:
        """Return a query's rows that are fresh, those committed, their prefix, and a place."""
        fresh = self._fresh
        if query.shard_id is not None:
            prefix = _stream(tenant, query.shard_id)
            return fresh.streams, self._streams, prefix, _TWO_U64.pack(after.epoch, after.seq)
        if query.is_open_escalation:
            return fresh.open, self._open, _tenant(tenant), _U64.pack(after.seq)
        return fresh.numbers, self._numbers, _tenant(tenant), _U64.pack(after.seq)


def due_of(known: Known) -> Due | None:
    """Return a record's place in the order of deadlines; ``None`` where it has none."""
    if known.kept is None:
        return None
    if known.status == ESCALATED_STATUS and not known.resolutions:
        return None  # somebody has to look at it
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


def _spot_of(tenant: str, prefix: bytes, name: bytes, row: bytes) -> tuple[Spot, RecordKey]:
    """Return the place and the record that a row of a tenant stands for.

    Raises:
        CorruptionError: It does not verify.
    """
    family, pcs_id = unsealed(name, row).split(_NUL, 1)
    numbers = [number for (number,) in _U64.iter_unpack(name[len(prefix) :])]
    spot = Spot(numbers[0] if len(numbers) > 1 else 0, numbers[-1])
    return spot, RecordKey(tenant, family.decode(), pcs_id.hex())


def _rows(key: RecordKey, known: Known) -> tuple[bytes, bytes, bytes]:
    """Return a record's key by number, its key by stream, and what stands under both."""
    seq = _U64.pack(known.place.seq)
    by_stream = _stream(key.tenant, known.summary.shard_id) + _U64.pack(known.summary.epoch) + seq
    value = key.family.encode() + _NUL + bytes.fromhex(key.pcs_id)
    return _tenant(key.tenant) + seq, by_stream, value


@lru_cache(maxsize=_TENANTS_CACHED)
def _tenant(tenant: str) -> bytes:
    return tenant.encode() + _NUL


@lru_cache(maxsize=_STREAMS_CACHED)
def _stream(tenant: str, shard_id: str) -> bytes:
    # Hashed: of one length, whatever a version allows in a stream's name.
    return _tenant(tenant) + hashlib.sha256(shard_id.encode()).digest()
