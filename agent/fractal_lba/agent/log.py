"""The outbox's log: entries from many producers into one stream, with one sync for a batch.

Entries reach the stream in the order in which they were written here, each whole: what a later
entry says holds for everything before it.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeVar

from fractal_lba.agent.bounds import (
    BATCH_BYTES_MAX,
    BATCH_RECORDS_MAX,
    QUEUE_BYTES_MAX,
    QUEUE_RECORDS_MAX,
)
from fractal_lba.agent.frames import WindowMeta
from fractal_lba.agent.opening import STREAM
from fractal_lba.agent.ports import Lane, Lanes
from fractal_lba.wal import Frame, NewFrame, Placed, Position, Stream
from fractal_lba.wal.framing import FRAME_BYTES
from fractal_lba.wal.group_commit import Bounds, GroupCommit

_T = TypeVar("_T")


class Entry(NamedTuple):
    """What goes to the log together.

    Attributes:
        frames: In their order.
        size: Bytes of all of them.
        window: What the last one is about, where it is a window.
    """

    frames: Sequence[NewFrame]
    size: int
    window: WindowMeta | None = None


def entry_of(frames: Sequence[NewFrame], window: WindowMeta | None = None) -> Entry:
    """Return these frames as an entry."""
    return Entry(frames, sum(map(frame_size, frames)), window)


def frame_size(frame: NewFrame) -> int:
    """Return what a frame takes on disk."""
    return FRAME_BYTES + len(frame.meta) + len(frame.payload)


class Log:
    """An open stream; all methods are called from one event loop.

    Args:
        stream: Open.
        lanes: Where it is written and read.
        done: Takes a batch of entries and where their frames went, or why they did not, before
            those who wrote them do, and whether these still wait or not.
    """

    def __init__(
        self,
        stream: Stream,
        lanes: Lanes,
        done: Callable[[Sequence[Entry], Sequence[Sequence[Placed] | Exception]], None],
    ) -> None:
        self._stream = stream
        self._lanes = lanes
        self._commits: GroupCommit[Entry, Sequence[Placed]] = GroupCommit(
            STREAM,
            self._commit,
            run=self._on_disk,
            done=done,
            bounds=Bounds(
                items_max=BATCH_RECORDS_MAX,
                bytes_max=BATCH_BYTES_MAX,
                # Beside the windows stand acknowledgements and a compaction, an entry at a time.
                queue_items_max=QUEUE_RECORDS_MAX + BATCH_RECORDS_MAX,
                queue_bytes_max=QUEUE_BYTES_MAX + BATCH_BYTES_MAX,
            ),
        )

    @property
    def is_fenced(self) -> bool:
        """Whether a failed write ended the writing; what is on disk can still be read."""
        return self._stream.is_fenced

    async def write(self, entry: Entry) -> Sequence[Placed]:
        """Write an entry and return where its frames went, once they are durable.

        The entry has its place before anything is awaited.

        Raises:
            DurabilityError: It may or may not be on disk; the log is fenced.
        """
        return await self._commits.submit(entry, size=entry.size)

    async def read(self, positions: Sequence[Position]) -> list[Frame]:
        """Return the frames at these positions.

        Raises:
            CorruptionError: One does not verify, or is not there any more.
        """
        return await self._lanes.run(
            Lane.READ, lambda: [self._stream.read(position) for position in positions]
        )

    async def mark(self) -> None:
        """Mark what was written as durable.

        Raises:
            DurabilityError: The log is fenced; what was written is on disk.
        """
        await self._commits.call(self._stream.mark)

    async def retain(self, seq: int, cursor_seq: int) -> None:
        """Give up the segments before a frame; see ``Stream.retain_from``.

        Raises:
            DurabilityError: The log is fenced; nothing that is needed is gone.
        """
        await self._commits.call(lambda: self._stream.retain_from(seq, cursor_seq=cursor_seq))

    async def close(self) -> None:
        """Write what was taken and let the stream go."""
        try:
            await self._commits.close()
        finally:
            await self._lanes.run(Lane.OUTBOX, self._stream.close)

    def _commit(self, batch: Sequence[Entry]) -> Sequence[Sequence[Placed]]:
        placed = self._stream.append([frame for entry in batch for frame in entry.frames])
        start = 0
        found: list[Sequence[Placed]] = []
        for entry in batch:
            found.append(placed[start : start + len(entry.frames)])
            start += len(entry.frames)
        return found

    def _on_disk(self, work: Callable[[], _T], /) -> Awaitable[_T]:
        return self._lanes.run(Lane.OUTBOX, work)
