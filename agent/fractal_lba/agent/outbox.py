"""The outbox: every window's signed record, on disk before anything of it is sent.

One stream of segments in ``DIR/outbox``; ``frames`` says what is in it. The rules:

- ``append`` returns when the record, the stream's next epoch and the source's position are durable,
  in one batch; only then is the record among the ``arrivals``, so nothing is ever sent that is not
  on disk;
- windows that come while a batch is on its way to the disk form the next one, and share its sync;
- an acknowledgement waits for the next append, for ``ACKS_WAITING_MAX`` of them or for a quiet
  moment, and is durable after ``close``; one that is lost leads to a repeat, which the server
  answers as it did the first time;
- a number is given once, whatever happens to the log;
- bodies are read back from disk when they are sent; in memory is one place for each pending window.

All methods are called from one event loop; the disk is touched on its lanes only.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fractal_lba.agent.bounds import (
    BATCH_BYTES_MAX,
    BATCH_RECORDS_MAX,
    QUEUE_BYTES_MAX,
    QUEUE_RECORDS_MAX,
    OutboxBounds,
    OutboxFullError,
    WhenFull,
)
from fractal_lba.agent.contents import Contents
from fractal_lba.agent.frames import AckMeta, WindowMeta, bare_frame, window_frame
from fractal_lba.agent.measures import Kind, Sample
from fractal_lba.agent.opening import STREAM, open_log
from fractal_lba.agent.pending import Place
from fractal_lba.agent.ports import Clock, Lane, Lanes, now_ms
from fractal_lba.protocol import Record, parse_record, stored_bytes
from fractal_lba.wal import Disk, NewFrame, Placed, Stream
from fractal_lba.wal.framing import FRAME_BYTES
from fractal_lba.wal.group_commit import Bounds, GroupCommit

# Each is repeated after a crash: few enough that this is soon done, enough that a sync for them
# alone is rare.
ACKS_WAITING_MAX = 256

# What one batch takes of them, however many gathered while nothing could be written.
ACKS_IN_ENTRY_MAX = 4096

# The segment format's own: what is on disk is marked as such this long after the last write.
QUIET_S = 0.1

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Entry:
    """What goes to the log together: acknowledgements, and at most one window behind them.

    Attributes:
        frames: In the order of the log.
        shard_id: The window's stream; None where there is no window.
        size: Bytes of the frames.
    """

    frames: Sequence[NewFrame]
    shard_id: str | None
    size: int


class Outbox:
    """The windows of one agent, kept until they are answered.

    Attributes:
        contents: What it holds.
        bounds: How much of it may wait.
        is_ended: No more windows will come.
        news: Set when a window came, and when none will come any more.
    """

    def __init__(
        self,
        stream: Stream,
        contents: Contents,
        *,
        clock: Clock,
        lanes: Lanes,
        bounds: OutboxBounds | None = None,
    ) -> None:
        """Take over an open stream and what it holds; ``open`` is the usual way."""
        self.contents = contents
        self.bounds = bounds or OutboxBounds()
        self._stream = stream
        self._clock = clock
        self._lanes = lanes
        self._arrivals = list(contents.pending.streams())
        self.is_ended = False
        self.news = asyncio.Event()
        self._acks: list[NewFrame] = []
        self._is_acking = False
        self._is_hopeless = False
        self._changed = asyncio.Event()
        self._turnstile = asyncio.Lock()
        self._queued = 0
        self._queued_bytes = 0
        self._written = asyncio.Event()
        self._appends = 0
        self._syncs = 0
        self._refused = 0
        self._waits = 0
        self._commits: GroupCommit[_Entry, Placed] = GroupCommit(
            STREAM,
            self._commit,
            run=self._on_disk,
            done=self._done,
            bounds=Bounds(
                items_max=BATCH_RECORDS_MAX,
                bytes_max=BATCH_BYTES_MAX,
                # Over what ``room`` lets in stand acknowledgements, one entry at a time.
                queue_items_max=QUEUE_RECORDS_MAX + BATCH_RECORDS_MAX,
                queue_bytes_max=QUEUE_BYTES_MAX + BATCH_BYTES_MAX,
            ),
        )

    @classmethod
    async def open(
        cls,
        disk: Disk,
        folder: Path,
        *,
        clock: Clock,
        lanes: Lanes,
        bounds: OutboxBounds | None = None,
    ) -> "Outbox":
        """Open, recover and read the outbox of a data folder, made if it is not there.

        Raises:
            LockedError: Another agent uses it; nothing was changed.
            DurabilityError: The disk refused; the folder is as a crash would leave it.
            ContractError: A newer program wrote it; nothing was added.
        """
        stream, contents = await lanes.run(
            Lane.OUTBOX, open_log, disk, folder, now_ns=clock.now_ns()
        )
        return cls(stream, contents, clock=clock, lanes=lanes, bounds=bounds)

    @property
    def is_fenced(self) -> bool:
        """Whether a failed write ended the writing; what is on disk can still be sent."""
        return self._stream.is_fenced

    @property
    def is_full(self) -> bool:
        """Whether as much waits for an answer as may."""
        pending = self.contents.pending
        return (
            len(pending) + self._queued >= self.bounds.records_max
            or pending.size + self._queued_bytes >= self.bounds.bytes_max
        )

    async def room(self) -> None:
        """Return when another window may be appended; nothing runs between this and the caller.

        Raises:
            OutboxFullError: There is none now, and the bounds say that nobody waits, or none will
                come any more.
        """
        async with self._turnstile:  # in turn, or windows of one stream would pass each other
            if self.is_full:
                if self.bounds.when_full is WhenFull.REFUSE:
                    self._refused += 1
                    raise OutboxFullError(self._fullness())
                self._waits += 1
            while not self._has_room:
                if self._is_hopeless:
                    raise OutboxFullError(self._fullness())
                await self._change()

    def wait_no_more(self) -> None:
        """Note that nothing will be answered any more: room that is not there will not come."""
        self._is_hopeless = True
        self._signal()

    async def append(self, meta: WindowMeta, record: Record) -> int:
        """Make a window durable and ready to be sent, and return its number.

        Where there is room the window is in the queue before anything is awaited: it stands in the
        log behind those of earlier calls, and ``contents`` knows the epoch behind it.

        Raises:
            OutboxFullError: There is no room; nothing was taken.
            DurabilityError: It may or may not be on disk, and is not sent; the outbox is fenced.
        """
        frame = window_frame(meta, stored_bytes(record), received_ns=self._clock.now_ns())
        if not self._has_room:  # else nothing may run between the caller's reading and this
            await self.room()
        entry = self._entry(frame, meta.shard_id)
        self.contents.submit(meta)
        self._queued += 1
        self._queued_bytes += entry.size
        return (await self._commits.submit(entry, size=entry.size)).seq

    def end(self) -> None:
        """Note that no more windows will come."""
        self.is_ended = True
        self.news.set()

    def arrivals(self) -> list[tuple[int, str]]:
        """Return the windows that came since the last call, oldest first, each with its stream."""
        arrivals, self._arrivals = self._arrivals, []
        return arrivals

    async def read(self, seq: int) -> Record:
        """Return the record of a pending window, from disk.

        Raises:
            CorruptionError: It does not verify; it stays pending.
        """
        position = self.contents.pending[seq].position
        frame = await self._lanes.run(Lane.READ, self._stream.read, position)
        return parse_record(frame.payload)

    async def acknowledge(self, seq: int, *, status: int, replayed: bool) -> None:
        """Note the final answer of a window.

        Raises:
            DurabilityError: It was noted in memory but not on disk: the window will be sent again.
        """
        meta = AckMeta(seq=seq, status=status, replayed=replayed)
        self.contents.acknowledge(meta)
        self._acks.append(bare_frame(meta, received_ns=self._clock.now_ns()))
        self._signal()
        self._written.set()
        if len(self._acks) >= ACKS_WAITING_MAX and not self.is_fenced:
            await self._write_acks()

    async def tend(self) -> None:
        """Use quiet moments to write waiting acknowledgements and to mark what is durable.

        Ends by being cancelled, and when the outbox is fenced.

        Raises:
            DurabilityError: The outbox is fenced; what was appended is on disk.
        """
        while True:
            await self._written.wait()
            seen = self._syncs
            await self._clock.sleep(QUIET_S)
            if self.is_fenced:
                return  # whoever met the failure reports it
            if seen != self._syncs or self._queued:
                continue
            if self._acks:
                await self._write_acks()
                continue
            self._written.clear()
            await self._commits.call(self._stream.mark)

    async def close(self) -> None:
        """Make the acknowledgements durable and release the folder.

        Raises:
            DurabilityError: Acknowledgements were not written: their windows will be sent again.
                The folder is released all the same.
        """
        try:
            while self._acks and not self.is_fenced:
                await self._write_acks()
        finally:
            try:
                await self._commits.close()
            finally:
                await self._lanes.run(Lane.OUTBOX, self._stream.close)

    def samples(self) -> Iterator[Sample]:
        """Yield the outbox's numbers, see ``Measured``."""
        pending = self.contents.pending
        oldest = pending.oldest()
        age_s = 0.0 if oldest is None else (now_ms(self._clock) - oldest.received_ms) / 1000
        for name, meaning, value in (
            ("pending_records", "Windows without a final answer.", len(pending)),
            ("pending_bytes", "Bytes of their frames.", pending.size),
            ("records_max", "Windows that may wait at the most.", self.bounds.records_max),
            ("bytes_max", "Bytes that may wait at the most.", self.bounds.bytes_max),
            ("oldest_pending_seconds", "How long the oldest has waited.", max(0.0, age_s)),
        ):
            yield Sample(
                name=f"flk_agent_outbox_{name}", kind=Kind.GAUGE, meaning=meaning, value=value
            )
        for name, meaning, value in (
            ("appends_total", "Windows made durable.", self._appends),
            ("syncs_total", "Batches written and synced.", self._syncs),
            ("refused_total", "Windows refused because the outbox was full.", self._refused),
            ("waits_total", "Times that observing waited for room.", self._waits),
        ):
            yield Sample(
                name=f"flk_agent_outbox_{name}", kind=Kind.COUNTER, meaning=meaning, value=value
            )

    async def _write_acks(self) -> None:
        """Write the waiting acknowledgements; those behind an entry on its way ride with others."""
        if self._acks and not self._is_acking:
            self._is_acking = True
            try:
                entry = self._entry()
                await self._commits.submit(entry, size=entry.size)
            finally:
                self._is_acking = False

    def _entry(self, window: NewFrame | None = None, shard_id: str | None = None) -> _Entry:
        """Return the waiting acknowledgements, and a window behind them."""
        frames = self._acks[:ACKS_IN_ENTRY_MAX]
        del self._acks[:ACKS_IN_ENTRY_MAX]
        if window is not None:
            frames.append(window)
        return _Entry(frames, shard_id, sum(map(_size, frames)))

    def _commit(self, batch: Sequence[_Entry]) -> list[Placed]:
        """Write a batch of entries and return where the last frame of each went."""
        placed = self._stream.append([frame for entry in batch for frame in entry.frames])
        last = -1
        found = []
        for entry in batch:
            last += len(entry.frames)
            found.append(placed[last])
        return found

    def _done(self, batch: Sequence[_Entry], results: Sequence[Placed | Exception]) -> None:
        """Note what a batch came to: who waits for it may be gone, what is on disk is."""
        self._syncs += 1
        self._written.set()
        for entry, placed in zip(batch, results, strict=True):
            if entry.shard_id is None:
                continue
            self._queued -= 1
            self._queued_bytes -= entry.size
            if not isinstance(placed, Exception):
                self._appends += 1
                received_ms = entry.frames[-1].received_ns // 1_000_000
                size = _size(entry.frames[-1])
                place = Place(placed.position, size, received_ms, entry.shard_id)
                self.contents.keep(placed.seq, place)
                self._arrivals.append((placed.seq, entry.shard_id))
                self.news.set()
        self._signal()

    def _on_disk(self, work: Callable[[], _T], /) -> Awaitable[_T]:
        return self._lanes.run(Lane.OUTBOX, work)

    @property
    def _has_room(self) -> bool:
        is_queue_full = self._queued >= QUEUE_RECORDS_MAX or self._queued_bytes >= QUEUE_BYTES_MAX
        return not (self.is_full or is_queue_full)

    def _fullness(self) -> str:
        return (
            f"outbox: expected fewer than {self.bounds.records_max} windows and"
            f" {self.bounds.bytes_max} bytes waiting for an answer, got"
            f" {len(self.contents.pending)} and {self.contents.pending.size}"
        )

    def _signal(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _change(self) -> None:
        await self._changed.wait()


def _size(frame: NewFrame) -> int:
    return FRAME_BYTES + len(frame.meta) + len(frame.payload)
