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
from dataclasses import dataclass

from fractal_lba.protocol.errors import (
    ContractError,
    CorruptionError,
    DurabilityError,
    FencedError,
)
from fractal_lba.server.core import entry as entries
from fractal_lba.server.core.entry import Entry
from fractal_lba.server.core.known import Known, Place, RecordKey
from fractal_lba.server.core.listing import Page, Query, Spot
from fractal_lba.server.core.usage import Usage
from fractal_lba.server.ports import Listed, Meter
from fractal_lba.server.storage.fence import Fence, look_for_room
from fractal_lba.server.storage.index_port import Index
from fractal_lba.server.storage.listing import list_page
from fractal_lba.server.storage.replay import ShardFiles, put_entry, replay
from fractal_lba.wal import Frame, NewFrame, Position
from fractal_lba.wal.group_commit import Bounds, GroupCommit

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Append:
    key: RecordKey
    payload: bytes
    entry: Entry
    received_ns: int
    reopened: int
    """How often the ledger had been reopened when the id was looked up."""


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
        self._fence = Fence(self._stream.name, meter=meter)
        self._reopened = 0
        self._is_behind = False
        self._commits: GroupCommit[_Append, Known] = GroupCommit(
            self._stream.name,
            self._commit,
            bounds=bounds,
            idle=self._idle,
            idle_failed=self._fence.put_up,
        )

    @property
    def fenced_by(self) -> str | None:
        """The failure that nothing can be appended after until ``reopen``, or ``None``."""
        return self._fence.reason

    @property
    def index(self) -> Index:
        """For whoever checks it beside the ledger's thread."""
        return self._index

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
                self._fence.put_up(error)
            raise
        if known is None and self._fence.reason is not None:
            # The index may be on its way to what the ledger holds: nobody can call an id unknown.
            raise FencedError(self._fence.reason)
        if known is None and self._index.losses:
            first, last = self._index.losses[0]
            raise CorruptionError(
                f"{self._stream.name}: expected every decision to be readable,"
                f" got damage over the numbers {first} to {last}: this id may be one of them"
            )
        return known

    def usage(self, tenant: str, day: int) -> Usage:
        """See ``ports.Shard.usage``.

        Raises:
            DurabilityError: The index failed.
        """
        try:
            return self._index.usage(tenant, day)
        except DurabilityError as error:
            if self._index.is_damaged:
                self._fence.put_up(error)
            raise

    async def list_records(
        self, tenant: str, query: Query, after: Spot, *, records_max: int
    ) -> Page[Listed, Spot]:
        """See ``ports.Shard.list_records``.

        Raises:
            DurabilityError: The index failed, or is being mended and may lack what it had.
        """
        reopened = self._reopened
        try:
            page = await asyncio.to_thread(
                list_page, self._index, tenant, query, after, records_max
            )
        except DurabilityError as error:
            if self._index.is_damaged:
                self._fence.put_up(error)
            raise
        if self._fence.reason is not None or self._reopened != reopened:
            raise FencedError(
                self._fence.reason or f"{self._stream.name}: expected one index, got a mended one"
            )
        return page

    async def append(self, key: RecordKey, entry: Entry, *, received_ns: int) -> Known:
        """Write an entry; it is on disk and in the index when this returns.

        Raises:
            UnavailableError: The queue is full; nothing was written.
            FencedError: The ledger is fenced, or was since; nothing was written.
            DurabilityError: The ledger failed and is fenced; the entry may or may not be on disk.
        """
        if self._fence.reason is not None:
            raise FencedError(self._fence.reason)
        payload = entries.encode_entry(entry)
        append = _Append(
            key=key,
            payload=payload,
            entry=entry,
            received_ns=received_ns,
            reopened=self._reopened,
        )
        try:
            return await self._commits.submit(append, size=len(payload), turn=key.tenant)
        except FencedError:
            raise  # by a failure that was told to its own submitter
        except DurabilityError as error:
            self._fence.put_up(error)
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
        if self._fence.is_for_room and not self._stream.is_fenced:
            await self._commits.call(lambda: look_for_room(self._stream))
        else:
            await self._commits.call(self._reopen)
        self._fence.lift()

    async def close(self) -> None:
        """Commit what was taken, commit the index, write the durable offset, release the files."""
        await self._commits.close()
        try:
            self._index.close()
        finally:
            self._stream.close()

    def _commit(self, batch: Sequence[_Append]) -> list[Known | Exception]:
        if self._is_behind:
            raise FencedError(f"{self._stream.name}: expected a whole index, got one that is not")
        # What a failed commit brought to the disk all the same is remembered once the ledger is
        # reopened: an id that was looked up before that may be decided by now.
        current = [append for append in batch if append.reopened == self._reopened]
        try:
            known = iter(self._write(current))
        except (DurabilityError, ContractError):
            raise
        except Exception as error:
            # Whatever it was, the ledger may be ahead of the index now: fenced, and mended.
            raise DurabilityError(
                f"{self._stream.name}: expected a commit, got {type(error).__name__}"
            ) from error
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
            known.append(put_entry(self._index, append.key, append.entry, on_disk, place.position))
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
