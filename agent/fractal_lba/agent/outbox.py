"""The outbox: every window's signed record, on disk before anything of it is sent.

One stream of segments in ``DIR/outbox``; ``frames`` says what is in it. The rules:

- ``append`` returns when the record, the stream's next epoch and the source's position are durable,
  in one batch; only then is the record among the ``arrivals``, so nothing is ever sent that is not
  on disk;
- windows that come while a batch is on its way to the disk form the next one, and share its sync;
- an acknowledgement waits for the next append, for many of them or for a quiet moment (``acks``),
  and is durable after ``close``;
- a number is given once, whatever happens to the log;
- old segments are given up when little in them still waits (``compaction``);
- bodies are read back from disk when they are sent; in memory is one place for each pending window.

All methods are called from one event loop; the disk is touched on its lanes only.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

from fractal_lba.agent.acks import Acks
from fractal_lba.agent.bounds import (
    CALL_BYTES_MAX,
    CALL_RECORDS_MAX,
    OutboxBounds,
    OutboxFullError,
    WhenFull,
)
from fractal_lba.agent.compaction import Compactor
from fractal_lba.agent.contents import Contents
from fractal_lba.agent.entry import Entry, frame_size
from fractal_lba.agent.frames import AckMeta, WindowMeta, bare_frame, window_frame
from fractal_lba.agent.log import Log
from fractal_lba.agent.measures import Sample
from fractal_lba.agent.opening import open_log
from fractal_lba.agent.outbox_measures import Counts, Depth, outbox_samples
from fractal_lba.agent.ports import Clock, Lane, Lanes, now_ms
from fractal_lba.agent.room import Room
from fractal_lba.agent.stop import first_of
from fractal_lba.protocol import ContractError, CorruptionError, Record, parse_record, stored_bytes
from fractal_lba.protocol.errors import FullError
from fractal_lba.wal import Disk, NewFrame, PlacedFrames, Stream

# The segment format's own: what is on disk is marked as such this long after the last write.
QUIET_S = 0.1


def _say_nothing(_what: str) -> None:
    pass


class Outbox:
    """The windows of one agent, kept until they are answered.

    Attributes:
        contents: What it holds.
        is_ended: No more windows will come.
        news: Set when a window came, and when none will come any more.
    """

    def __init__(  # noqa: PLR0913 - each is a setting of its own, named at the call
        self,
        stream: Stream,
        contents: Contents,
        *,
        clock: Clock,
        lanes: Lanes,
        bounds: OutboxBounds | None = None,
        say: Callable[[str], None] = _say_nothing,
    ) -> None:
        """Take over an open stream and what it holds; ``open`` is the usual way."""
        self._say = say
        self.contents = contents
        self._clock = clock
        self._now_ns = clock.now_ns
        self._arrivals = list(contents.pending.streams())
        self.is_ended = False
        self.news = asyncio.Event()
        self._is_told = False
        self._written = asyncio.Event()
        self._counts = Counts()
        self._log = Log(stream, lanes, self._done, self._no_room)
        self._acks = Acks(self._log)
        bounds = bounds or OutboxBounds()
        self._room = Room(bounds, contents.pending, self._log, self._counts)
        self._compactor = Compactor(
            self._log,
            contents,
            segment_bytes_max=bounds.segment_bytes_max,
            now_ns=clock.now_ns,
            flush_acks=self._acks.give,
        )

    @classmethod
    async def open(  # noqa: PLR0913 - each is a setting of its own, named at the call
        cls,
        disk: Disk,
        folder: Path,
        *,
        clock: Clock,
        lanes: Lanes,
        bounds: OutboxBounds | None = None,
        say: Callable[[str], None] = _say_nothing,
    ) -> "Outbox":
        """Open, recover and read the outbox of a data folder, made if it is not there.

        Args:
            disk: Where it is.
            folder: The agent's.
            clock: Tells the time.
            lanes: Where the disk is touched.
            bounds: How much may wait, and the segments it stands in.
            say: Told once each time that the disk is full.

        Raises:
            LockedError: Another agent uses it; nothing was changed.
            DurabilityError: The disk refused; the folder is as a crash would leave it.
            ContractError: A newer program wrote it; nothing was added.
        """
        stream, contents = await lanes.run(
            Lane.OUTBOX, open_log, disk, folder, now_ns=clock.now_ns(), bounds=bounds
        )
        return cls(stream, contents, clock=clock, lanes=lanes, bounds=bounds, say=say)

    @property
    def is_fenced(self) -> bool:
        """Whether a failed write ended the writing; what is on disk can still be sent."""
        return self._log.is_fenced

    @property
    def is_full(self) -> bool:
        """Whether as much waits for an answer as may, or the disk is full."""
        return self._room.is_full()

    @property
    def is_compaction_due(self) -> bool:
        """Whether enough of the disk is taken by what nothing waits for."""
        return self._compactor.is_worth_it

    @property
    def is_refusing(self) -> bool:
        """Whether a window that finds no room is refused, instead of waiting."""
        return self._room.bounds.when_full is WhenFull.REFUSE

    async def room(self) -> None:
        """Return when another window may be appended; nothing runs between this and the caller.

        Raises:
            OutboxFullError: There is none now, and the bounds say that nobody waits, or none will
                come any more.
        """
        await self._room.wait()

    def room_for(self, count: int) -> int:
        """Return how many of so many windows one call may append now; 0 where there is no room."""
        return self._room.left(min(count, CALL_RECORDS_MAX))

    def wait_no_more(self) -> None:
        """Note that nothing will be answered any more: room that is not there will not come."""
        self._log.let_go()
        self._room.end()

    def append(self, meta: WindowMeta, record: Record, *, has_room: bool = False) -> Awaitable[int]:
        """Make a window durable and ready to be sent, and return its number.

        Where there is room, or was for the caller and no append came between, the window is in the
        queue when this returns: behind earlier calls', its epoch known to ``contents``. Else it is
        once what is returned was awaited.

        Raises:
            OutboxFullError: There is no room; nothing was taken.
            DurabilityError: It may or may not be on disk, and is not sent; the outbox is fenced.
        """
        frame = window_frame(meta, stored_bytes(record), self._now_ns())
        if has_room or self._room.has():
            return self._give(frame, meta)
        return self._give_later(frame, meta)

    async def append_all(
        self, windows: Sequence[tuple[WindowMeta, Record]], *, has_room: bool = False
    ) -> list[int]:
        """Make windows durable together, in their order, and return their numbers.

        As ``append`` of each at a fraction of the cost: they find room and reach the disk as one.

        Args:
            windows: At most ``CALL_RECORDS_MAX`` and the bounds' ``records_max``, and not more than
                ``CALL_BYTES_MAX`` on disk.
            has_room: There was room for the caller, and no append came between.

        Raises:
            ContractError: They are more than that; none was taken.
            OutboxFullError: There is no room for all of them; none was taken.
            DurabilityError: They may or may not be on disk, and are not sent; the outbox is fenced.
        """
        if not windows:
            return []
        now_ns = self._clock.now_ns()
        frames = [window_frame(meta, stored_bytes(record), now_ns) for meta, record in windows]
        metas = [meta for meta, _ in windows]
        size, count = sum(map(frame_size, frames)), len(frames)
        count_max = min(CALL_RECORDS_MAX, self._room.bounds.records_max)
        if count > count_max or size > CALL_BYTES_MAX:
            raise ContractError(
                f"outbox: expected at most {count_max} windows of {CALL_BYTES_MAX} bytes"
                f" in a call, got {count} of {size}"
            )
        if not (has_room or self._room.has(count)):
            await self._room.wait(count)
        self._acks.give()
        answer = self._log.give_windows(frames, metas, size)
        for meta in metas:
            self.contents.submit(meta)
        self._room.take(count, size)
        return await answer

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
            Refusal: It verifies and is no record; it stays pending.
        """
        while True:
            position = self.contents.pending[seq].position
            try:
                (frame,) = await self._log.read([position])
            except CorruptionError:
                if self.contents.pending[seq].position == position:
                    raise  # else a compaction moved it meanwhile
            else:
                return parse_record(frame.payload)

    async def acknowledge(self, seq: int, *, status: int, replayed: bool) -> None:
        """Note the final answer of a window.

        Raises:
            DurabilityError: It was noted in memory but not on disk: the window will be sent again.
        """
        meta = AckMeta(seq=seq, status=status, replayed=replayed)
        self.contents.acknowledge(meta)
        self._acks.note(bare_frame(meta, received_ns=self._clock.now_ns()))
        self._room.changed()
        self._written.set()
        if self._acks.are_many and not self.is_fenced:
            await self._acks.write()

    async def tend(self) -> None:
        """Compact where that is worth it, write waiting acknowledgements, mark what is durable.

        On a full disk look for room again and again; where nothing comes, close an old segment.

        Ends by being cancelled, and when the outbox is fenced.

        Raises:
            DurabilityError: The outbox is fenced; what was appended is on disk.
        """
        while True:
            age_s = self._room.bounds.segment_age_s
            if age_s == math.inf:
                await self._written.wait()
            elif not await first_of(self._written, self._clock.sleep(age_s)):
                await self._log.rotate_aged()
                continue
            syncs = self._counts.syncs
            await self._clock.sleep(QUIET_S)
            if self.is_fenced:
                return  # whoever met the failure reports it
            if self._log.is_full:
                await self._look_for_room()
            if self.is_compaction_due:
                await self.compact()
                continue
            if not self._log.is_full and (syncs != self._counts.syncs or self._room.queued):
                continue
            if self._acks or self._log.is_full:
                await self._acks.write()
                continue
            self._written.clear()
            await self._log.mark()

    async def compact(self) -> None:
        """Give up the oldest segments, whether that is worth it or not.

        Raises:
            DurabilityError: The outbox is fenced; nothing that is needed is gone.
        """
        await self._compactor.run()
        self._counts.compactions = self._compactor.compactions

    async def close(self) -> None:
        """Make the acknowledgements durable and release the folder.

        Raises:
            DurabilityError: Acknowledgements were not written: their windows will be sent again.
                The folder is released all the same.
        """
        try:
            while self._acks and not self.is_fenced and await self._acks.write():
                pass
        finally:
            await self._log.close()

    def samples(self) -> Iterator[Sample]:
        """Yield the outbox's numbers, see ``Measured``."""
        pending = self.contents.pending
        oldest = pending.oldest()
        return outbox_samples(
            Depth(
                pending_records=len(pending),
                pending_bytes=pending.size,
                records_max=self._room.bounds.records_max,
                bytes_max=self._room.bounds.bytes_max,
                disk_bytes=self.contents.segments.size,
                disk_full=self._log.is_full,
                oldest_ms=None if oldest is None else oldest.received_ms,
            ),
            self._counts,
            now_ms=now_ms(self._clock),
        )

    async def _look_for_room(self) -> None:
        """Let what the disk had no room for go on if it has some by now."""
        if not self._is_told:
            self._is_told = True
            waits = self._room.bounds.when_full is WhenFull.BLOCK
            what = "waits" if waits else "is refused"
            self._say(f"outbox: the disk is full: observing {what} until there is room")
        await self._log.find_room()
        if not self._log.is_full:
            self._is_told = False
            self._room.changed()

    def _give(self, frame: NewFrame, meta: WindowMeta) -> "asyncio.Future[int]":
        """Give the log a window that has room, behind the answers."""
        if self._acks.waiting:
            self._acks.give()
        size = frame_size(frame)
        answer = self._log.give_window(frame, meta, size)
        self.contents.submit(meta)
        self._room.take(1, size)
        return answer

    def _no_room(self) -> OutboxFullError:
        return self._room.error()

    async def _give_later(self, frame: NewFrame, meta: WindowMeta) -> int:
        """Wait for room, and give the log a window."""
        await self._room.wait()
        return await self._give(frame, meta)

    def _done(self, batch: Sequence[Entry], results: Sequence[PlacedFrames | Exception]) -> None:
        """Note what a batch came to: who waits for it may be gone, what is on disk is."""
        self._counts.syncs += 1
        self._written.set()
        arrived = len(self._arrivals)
        for entry, placed in zip(batch, results, strict=True):
            windows, size = entry.windows, entry.size
            if windows:
                self._room.give_back(len(windows), size)
            if isinstance(placed, Exception):
                if isinstance(placed, FullError) and entry.is_acks:
                    self._acks.put_back(entry.frames)
                continue
            first_seq = placed.first_seq
            last_seq = first_seq + len(entry.frames) - 1
            self.contents.segments.write(placed.segment, first_seq, last_seq, size)
            if windows:
                self.contents.arrive(windows, entry.frames, placed, size)
                shard_ids = [window.shard_id for window in windows]
                self._arrivals += zip(range(first_seq, last_seq + 1), shard_ids, strict=True)
        if more := len(self._arrivals) - arrived:
            self._counts.appends += more
            self.news.set()
        self._room.changed()
