"""The outbox's log: entries from many producers into one stream, with one sync for a batch.

Entries reach the stream in the order in which they were written here, each whole: what a later
entry says holds for everything before it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from fractal_lba.agent.bounds import (
    BATCH_BYTES_MAX,
    BATCH_RECORDS_MAX,
    CALL_BYTES_MAX,
    QUEUE_BYTES_MAX,
    QUEUE_RECORDS_MAX,
)
from fractal_lba.agent.entry import Entry
from fractal_lba.agent.frames import WindowMeta
from fractal_lba.agent.opening import STREAM
from fractal_lba.agent.ports import Lane, Lanes
from fractal_lba.protocol.errors import DurabilityError, FullError
from fractal_lba.wal import Frame, NewFrame, PlacedFrames, Position, Stream
from fractal_lba.wal.group_commit import Bounds, GroupCommit

# Room that windows leave on a full disk, so that a compaction finds some to free more.
SPARE_BYTES = 1 << 20

_T = TypeVar("_T")


class Log:
    """An open stream; all methods are called from one event loop.

    A full disk is no failure: windows are held, in their order, until there is room, and what frees
    space is let past them.

    Args:
        stream: Open.
        lanes: Where it is written and read.
        done: Takes entries and where their frames went, or why they did not, before those who wrote
            them do, and whether these still wait or not.
        no_room: Returns what those are told whose windows will find none.

    Attributes:
        is_full: Windows are held, or about to be.
        refusals: How often something found no room.
    """

    def __init__(
        self,
        stream: Stream,
        lanes: Lanes,
        done: Callable[[Sequence[Entry], Sequence[PlacedFrames | Exception]], None],
        no_room: Callable[[], Exception],
    ) -> None:
        self._stream = stream
        self._lanes = lanes
        self._tell = done
        self._no_room = no_room
        self._held: list[Entry] = []
        self._loop = asyncio.get_running_loop()
        self._entries = 0  # of windows, given and not done
        self.is_full = False
        self.refusals = 0
        self._commits: GroupCommit[Entry, PlacedFrames] = GroupCommit(
            STREAM,
            self._commit,
            run=self._on_disk,
            done=self._done,
            bounds=Bounds(
                items_max=BATCH_RECORDS_MAX,
                bytes_max=BATCH_BYTES_MAX,
                # The last call may pass it by its own; beside the windows stand acknowledgements
                # and a compaction, an entry at a time, which counts as one.
                queue_items_max=QUEUE_RECORDS_MAX + BATCH_RECORDS_MAX,
                queue_bytes_max=QUEUE_BYTES_MAX + CALL_BYTES_MAX + 2 * BATCH_BYTES_MAX,
            ),
        )

    @property
    def is_fenced(self) -> bool:
        """Whether a failed write ended the writing; what is on disk can still be read."""
        return self._stream.is_fenced

    async def write(self, entry: Entry) -> PlacedFrames:
        """Write an entry that holds no windows and return where its frames went, once durable.

        The entry has its place before anything is awaited.

        Raises:
            FullError: The disk is full; nothing was written.
            DurabilityError: It may or may not be on disk; the log is fenced.
        """
        return await self.give(entry)

    def give(self, entry: Entry) -> "asyncio.Future[PlacedFrames]":
        """Give an entry its place, and return what ``write`` awaits."""
        self._commits.give(entry, size=entry.size)
        return entry.answered(self._loop)

    def give_window(self, frame: NewFrame, window: WindowMeta, size: int) -> "asyncio.Future[int]":
        """Give a window of so many bytes its place, and return what will be its number.

        Windows that come one after the other before the disk is ready for them share an entry. A
        window is written though who waits for it is cancelled; where the disk is full it waits for
        room. The future fails with ``FullError`` where no room will come, and with
        ``DurabilityError`` where it may or may not be on disk; the log is fenced then.
        """
        return self._joined(1, size).join(frame, window, self._loop)

    def give_windows(
        self, frames: Sequence[NewFrame], windows: Sequence[WindowMeta], size: int
    ) -> "asyncio.Future[list[int]]":
        """Give one caller's windows their place, as ``give_window`` does."""
        return self._joined(len(frames), size).join_all(frames, windows, self._loop)

    @property
    def held(self) -> Sequence[WindowMeta]:
        """What the windows are about that wait for room on the disk, in order."""
        return [window for entry in self._held for window in entry.windows]

    async def find_room(self) -> None:
        """Let the windows that are held go on, if the disk has room for them by now.

        Raises:
            DurabilityError: The log is fenced.
        """
        size = min(sum(entry.size for entry in self._held), BATCH_BYTES_MAX)
        finds = await self._call(lambda: self._finds_room(size))
        if finds and not self._entries:  # those in the queue fail behind these, and come to them
            held, self._held = self._held, []
            self.is_full = False
            for entry in held:
                self._commits.give(entry, count=len(entry.windows), size=entry.size)
            self._entries += len(held)

    def let_go(self) -> None:
        """Fail the windows that are held: no room will come."""
        self._fail_held(self._no_room())

    async def read(self, positions: Sequence[Position]) -> list[Frame]:
        """Return the frames at these positions.

        Raises:
            CorruptionError: One does not verify, or is not there any more.
        """
        return await self._lanes.run(
            Lane.READ, lambda: [self._stream.read(position) for position in positions]
        )

    async def mark(self) -> None:
        """Mark what was written as durable, if the disk has room for that.

        Raises:
            DurabilityError: The log is fenced; what was written is on disk.
        """
        with contextlib.suppress(FullError):
            await self._call(self._stream.mark)

    async def rotate_aged(self) -> None:
        """Close a segment that is old enough, if the disk has room for the next one.

        Raises:
            DurabilityError: The log is fenced; what was written is on disk.
        """
        with contextlib.suppress(FullError):
            await self._call(self._stream.rotate_aged)

    async def retain(self, seq: int, cursor_seq: int) -> None:
        """Give up the segments before a frame; see ``Stream.retain_from``.

        Raises:
            FullError: There is no room for a fresh segment; nothing was given up.
            DurabilityError: The log is fenced; nothing that is needed is gone.
        """
        await self._call(lambda: self._stream.retain_from(seq, cursor_seq=cursor_seq))

    async def close(self) -> None:
        """Write what was taken and let the stream go."""
        self.let_go()
        try:
            await self._commits.close()
        finally:
            self.let_go()  # what found no room in the meantime
            await self._lanes.run(Lane.OUTBOX, self._stream.close)

    def _commit(self, batch: Sequence[Entry]) -> Sequence[PlacedFrames | Exception]:
        size = sum([entry.size for entry in batch])
        is_held_back = self.is_full and not self.is_fenced
        is_full = is_held_back or not self._finds_room(size)
        is_refusing = False
        frames: list[NewFrame] = []
        ends: list[int | None] = []
        for entry in batch:
            after = entry.after
            is_late = after is not None and (is_refusing or after != self.refusals)
            if is_late or (is_full and entry.windows):
                is_refusing = True
                ends.append(None)
            else:
                frames += entry.frames
                ends.append(len(frames))
        placed = self._stream.append(frames)
        full = FullError("outbox: expected room on the disk, got a full one")
        results: list[PlacedFrames | Exception] = []
        start = 0
        for end in ends:
            if end is None:
                results.append(full)
            else:
                results.append(placed[start:end])
                start = end
        return results

    async def _call(self, work: Callable[[], _T]) -> _T:
        """Do something with the stream between two batches."""
        try:
            return await self._commits.call(work)
        except DurabilityError as error:
            if self.is_fenced:
                self._fail_held(error)
            raise

    def _fail_held(self, failure: Exception) -> None:
        """Tell those whose windows are held that they will not be written."""
        held, self._held = self._held, []
        if held:
            self._end(held, [failure] * len(held))

    def _finds_room(self, size: int) -> bool:
        return self._stream.finds_room(size, spare=SPARE_BYTES)

    def _done(self, batch: Sequence[Entry], results: Sequence[PlacedFrames | Exception]) -> None:
        ended: list[Entry] = []
        found: list[PlacedFrames | Exception] = []
        failure: Exception | None = None
        for entry, result in zip(batch, results, strict=True):
            is_window = bool(entry.windows)
            self._entries -= is_window
            if isinstance(result, FullError):
                self.refusals += 1
                if is_window:
                    self.is_full = True
                    self._held.append(entry)
                    continue
            elif isinstance(result, Exception):
                failure = result
            ended.append(entry)
            found.append(result)
        self._end(ended, found)
        if failure is not None:
            self._fail_held(failure)

    def _end(self, batch: Sequence[Entry], results: Sequence[PlacedFrames | Exception]) -> None:
        self._tell(batch, results)
        for entry, result in zip(batch, results, strict=True):
            entry.end(result)

    def _joined(self, count: int, size: int) -> Entry:
        """Return the entry that so many windows more, of so many bytes, are part of."""
        entry = self._commits.last
        if entry is not None and entry.windows and self._commits.grow(count, size):
            entry.size += size
            return entry
        entry = Entry([], size)
        self._commits.give(entry, count=count, size=size)
        self._entries += 1
        return entry

    def _on_disk(self, work: Callable[[], _T], /) -> Awaitable[_T]:
        return self._lanes.run(Lane.OUTBOX, work)
