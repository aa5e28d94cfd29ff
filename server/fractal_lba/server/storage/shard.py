"""A shard: its ledger, the system of record, and its index; one writer, one thread.

An entry is appended and synced, then put into the index, then its submitter is answered. The index
is committed when the ledger goes idle, before the ledger's durable mark is written, and whenever
enough entries wait in memory: so an entry that a mark covers keeps its place in the index even if
its bytes are damaged later.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from crc32c import crc32c

from fractal_lba.protocol.errors import CorruptionError, DurabilityError, FencedError
from fractal_lba.server.core import entry as entries
from fractal_lba.server.core import names
from fractal_lba.server.core.entry import Conflict, Decision, Entry
from fractal_lba.server.core.known import Known, KnownConflict, Place, RecordKey
from fractal_lba.server.ports import Meter
from fractal_lba.server.storage.index import Checkpoint, LmdbIndex
from fractal_lba.wal import Damage, Disk, Frame, NewFrame, Position, Stream
from fractal_lba.wal.group_commit import Bounds, GroupCommit

REPLAY_FLUSH = 65_536
"""Entries put between two commits while an index is rebuilt: about 20 MiB in memory."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Append:
    key: RecordKey
    payload: bytes
    entry: Entry
    received_ns: int
    reopened: int
    """How often the ledger had been reopened when the id was looked up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFiles:
    """A shard's opened files: recovered, replayed, and consistent with each other.

    ``damage`` is what recovery and replay met of the ledger.
    """

    stream: Stream
    index: LmdbIndex
    damage: tuple[Damage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """How many entries a replay put, and the damage that it and the recovery before it met."""

    count: int
    damage: tuple[Damage, ...]


def open_shard(
    disk: Disk,
    folder: Path,
    *,
    segment_bytes_max: int,
    map_bytes: int,
    data_id: str | None = None,
) -> ShardFiles:
    """Open a shard's ledger and bring its index up to it. Blocks; runs before the shard serves.

    Raises:
        LockedError: Another process has it.
        DurabilityError: The disk or LMDB failed.
    """
    index = LmdbIndex(folder / names.INDEX, map_bytes=map_bytes, data_id=data_id)
    checkpoint = index.checkpoint
    stream = Stream.open(
        disk,
        folder / names.LEDGER,
        f"{folder.name}/{names.LEDGER}",
        segment_bytes_max=segment_bytes_max,
        frame_bytes_max=names.FRAME_BYTES_MAX,
    )
    try:
        if checkpoint is not None and stream.next_seq <= checkpoint.seq:
            # It lost its end: the numbers of what it lost must not go to other decisions.
            stream.skip_to(checkpoint.seq + 1)
        try:
            damage = replay(stream, index).damage
        except DurabilityError:
            if not index.is_damaged:
                raise
            damage = replay(stream, index).damage
    except BaseException:
        stream.close()
        raise
    return ShardFiles(stream=stream, index=index, damage=damage)


def replay(stream: Stream, index: LmdbIndex) -> Replayed:
    """Put what the index does not hold of the ledger, and commit it.

    Everything in segments younger than the checkpoint's is put again even where its number is
    older: a recovery may have copied it there.

    Raises:
        DurabilityError: LMDB failed, or a frame holds no entry.
    """
    damage = dict.fromkeys(stream.recovery.damage)
    checkpoint = index.checkpoint
    if index.is_damaged or (checkpoint is not None and not _matches(stream, checkpoint)):
        _log.warning("index does not match its ledger, rebuilding", extra={"stream": stream.name})
        index.discard()
        checkpoint = None
    count = 0
    expected = checkpoint.seq + 1 if checkpoint else 1
    for item in stream.scan(from_seq=checkpoint.segment_first_seq if checkpoint else 1):
        if isinstance(item, Damage):
            if item.is_loss:
                damage[item] = None  # what it took shows in the numbers that are missing
            continue
        position, frame = item
        if checkpoint and position.segment == checkpoint.segment and frame.seq <= checkpoint.seq:
            continue
        if frame.seq > expected:
            index.lose(expected, frame.seq - 1)
        expected = max(expected, frame.seq + 1)
        key, entry = _decode(frame)
        if isinstance(entry, Conflict) and index.losses and index.lookup(key) is None:
            continue  # the decision it conflicts with is among the lost ones
        _put(index, key, entry, frame, position)
        count += 1
        if index.unflushed >= REPLAY_FLUSH:
            index.flush()
    if expected < stream.next_seq:
        index.lose(expected, stream.next_seq - 1)
    index.flush()
    return Replayed(count=count, damage=tuple(damage))


def _matches(stream: Stream, checkpoint: Checkpoint) -> bool:
    """Whether the ledger holds no other entry in the checkpoint's place.

    One that is not there at all was lost to damage, which does not unsay what the index holds.
    """
    for item in stream.scan(from_seq=checkpoint.segment_first_seq):
        if not isinstance(item, Damage) and item[1].seq == checkpoint.seq:
            return crc32c(item[1].payload) == checkpoint.payload_crc32c
    return True


def _decode(frame: Frame) -> tuple[RecordKey, Entry]:
    entry = entries.decode_entry(frame.meta, frame.payload)
    return RecordKey(entry.tenant, entry.family, entry.pcs_id), entry


def _put(index: LmdbIndex, key: RecordKey, entry: Entry, frame: Frame, position: Position) -> Known:
    place = Place(seq=frame.seq, segment=position.segment, offset=position.offset)
    before = index.lookup(key)
    if before is not None and isinstance(entry, Decision) and before.place.seq < frame.seq:
        # First write wins even against a ledger that says otherwise; fsck names the second one.
        known = before
    elif isinstance(entry, Decision):
        known = Known(
            content_digest=entry.content_digest,
            received_ns=frame.received_ns,
            place=place,
            conflicts=before.conflicts if before else (),
        )
    else:
        known = _with_conflict(before, entry, place, frame.received_ns)
    last = index.checkpoint
    is_same_segment = last is not None and last.segment == position.segment
    index.put(
        key,
        known,
        Checkpoint(
            seq=frame.seq,
            segment=position.segment,
            segment_first_seq=last.segment_first_seq if last and is_same_segment else frame.seq,
            payload_crc32c=crc32c(frame.payload),
        ),
    )
    return known


def _with_conflict(before: Known | None, entry: Conflict, place: Place, received_ns: int) -> Known:
    if before is None:
        raise CorruptionError(
            f"ledger: expected a decision of {entry.pcs_id} before its conflict, got none"
        )
    others = tuple(
        conflict for conflict in before.conflicts if conflict.content_digest != entry.content_digest
    )
    conflict = KnownConflict(
        content_digest=entry.content_digest, received_ns=received_ns, place=place
    )
    return replace(before, conflicts=(*others, conflict))


class ShardStore:
    """A shard that serves. Construct it on the event loop.

    Args:
        files: Opened by ``open_shard``.
        meter: Counts.
        bounds: Of a commit and of what waits for one.
        flush_records: Entries held in memory before the index is committed under load.
    """

    def __init__(
        self, files: ShardFiles, *, meter: Meter, bounds: Bounds, flush_records: int
    ) -> None:
        self._stream = files.stream
        self._index = files.index
        self._meter = meter
        self._flush_records = flush_records
        self._fenced_by: str | None = None
        self._reopened = 0
        self._is_behind = False
        self._commits: GroupCommit[_Append, Known] = GroupCommit(
            self._stream.name, self._commit, bounds=bounds, idle=self._idle, idle_failed=self._fence
        )

    @property
    def fenced_by(self) -> str | None:
        """The failure that nothing can be appended after until ``reopen``, or ``None``."""
        return self._fenced_by

    @property
    def losses(self) -> tuple[tuple[int, int], ...]:
        """See ``ports.Shard.losses``."""
        return self._index.losses

    def lookup(self, key: RecordKey) -> Known | None:
        """Return what is remembered under a key.

        Raises:
            DurabilityError: That cannot be told: the index failed, or ids are lost to damage and
                this may be one.
        """
        try:
            known = self._index.lookup(key)
        except DurabilityError as error:
            if self._index.is_damaged:
                # Fenced, so that it is rebuilt from the ledger without a person.
                self._fence(error)
            raise
        if known is None and self._index.losses:
            first, last = self._index.losses[0]
            raise CorruptionError(
                f"{self._stream.name}: expected every decision to be readable,"
                f" got damage over the numbers {first} to {last}: this id may be one of them"
            )
        return known

    async def append(self, key: RecordKey, entry: Entry, *, received_ns: int) -> Known:
        """Write an entry; it is on disk and in the index when this returns.

        Raises:
            UnavailableError: The queue is full; nothing was written.
            FencedError: The ledger is fenced, or was since; nothing was written.
            DurabilityError: The ledger failed and is fenced; the entry may or may not be on disk.
        """
        if self._fenced_by is not None:
            raise FencedError(self._fenced_by)
        payload = entries.encode_entry(entry)
        append = _Append(
            key=key,
            payload=payload,
            entry=entry,
            received_ns=received_ns,
            reopened=self._reopened,
        )
        try:
            return await self._commits.submit(append, size=len(payload))
        except FencedError:
            raise  # by a failure that was told to its own submitter
        except DurabilityError as error:
            self._fence(error)
            raise

    async def read(self, place: Place) -> Entry:
        """Read an entry back.

        Raises:
            CorruptionError: Its bytes do not verify.
        """
        try:
            return await asyncio.to_thread(self._read, place)
        except DurabilityError as error:
            self._meter.wal_failed(stream=self._stream.name)
            _log.error(
                "entry cannot be read",
                extra={"stream": self._stream.name, "seq": place.seq, "error": str(error)},
            )
            raise

    async def reopen(self) -> None:
        """Recover a fenced ledger on fresh files, and the index with it.

        Raises:
            DurabilityError: That failed too; the shard stays fenced.
        """
        await self._commits.call(self._reopen)
        self._fenced_by = None

    async def close(self) -> None:
        """Commit what was taken, commit the index, write the durable offset, release the files."""
        await self._commits.close()
        try:
            self._index.close()
        finally:
            self._stream.close()

    def _fence(self, error: Exception) -> None:
        if not isinstance(error, DurabilityError):
            raise error
        if self._fenced_by is None:
            self._fenced_by = str(error)
            self._meter.wal_failed(stream=self._stream.name)

    def _commit(self, batch: Sequence[_Append]) -> list[Known | Exception]:
        if self._is_behind:
            raise FencedError(f"{self._stream.name}: expected a whole index, got one that is not")
        # What a failed commit brought to the disk all the same is remembered once the ledger is
        # reopened: an id that was looked up before that may be decided by now.
        current = [append for append in batch if append.reopened == self._reopened]
        known = iter(self._write(current))
        return [
            next(known)
            if append.reopened == self._reopened
            else FencedError(f"{self._stream.name}: expected no failure since the lookup, got one")
            for append in batch
        ]

    def _write(self, batch: Sequence[_Append]) -> list[Known]:
        frames = [
            NewFrame(received_ns=append.received_ns, meta=entries.META, payload=append.payload)
            for append in batch
        ]
        started = time.perf_counter()
        placed = self._stream.append(frames)
        # From here on the ledger is ahead, until the index has all of it.
        self._is_behind = True
        self._meter.synced(
            stream=self._stream.name, seconds=time.perf_counter() - started, frames=len(placed)
        )
        known = []
        for append, frame, place in zip(batch, frames, placed, strict=True):
            on_disk = Frame(
                seq=place.seq,
                received_ns=frame.received_ns,
                meta=frame.meta,
                payload=frame.payload,
            )
            known.append(_put(self._index, append.key, append.entry, on_disk, place.position))
        if self._index.unflushed >= self._flush_records:
            self._index.flush()
        self._is_behind = False
        return known

    def _idle(self) -> None:
        self._index.flush()
        self._stream.mark()

    def _read(self, place: Place) -> Entry:
        frame = self._stream.read(Position(segment=place.segment, offset=place.offset))
        if frame.seq != place.seq:
            raise CorruptionError(
                f"{self._stream.name}: expected entry {place.seq}, got {frame.seq}"
            )
        return entries.decode_entry(frame.meta, frame.payload)

    def _reopen(self) -> None:
        recovery = self._stream.reopen()
        damage = replay(self._stream, self._index).damage
        self._meter.recovered(
            stream=self._stream.name,
            torn_bytes=recovery.torn_bytes,
            damaged_ranges=len(damage),
        )
        self._reopened += 1
        self._is_behind = False
