"""An entry of the outbox's log: frames that go to the disk together, and who waits for them."""

import asyncio
from collections.abc import Sequence
from typing import Any

from fractal_lba.agent.frames import WindowMeta
from fractal_lba.wal import NewFrame, PlacedFrames
from fractal_lba.wal.framing import FRAME_BYTES


class Entry:
    """What goes to the log together; windows may join it until its batch begins.

    Attributes:
        frames: In their order.
        size: Bytes of all of them.
        windows: What the frames are about, where they are windows; else none.
        after: ``Log.refusals`` when it was made, where it takes all for written that was given
            before: it is not written once any of that was refused.
        is_acks: They are acknowledgements.
    """

    __slots__ = ("_answer", "_callers", "_counts", "after", "frames", "is_acks", "size", "windows")

    def __init__(
        self,
        frames: list[NewFrame],
        size: int,
        *,
        after: int | None = None,
        is_acks: bool = False,
    ) -> None:
        self.frames = frames
        self.size = size
        self.windows: list[WindowMeta] = []
        self.after = after
        self.is_acks = is_acks
        self._answer: asyncio.Future[PlacedFrames] | None = None
        self._callers: list[asyncio.Future[Any]] = []
        self._counts: list[int] = []  # the windows of each caller; 0 for one that is told a number

    def answered(self, loop: asyncio.AbstractEventLoop) -> "asyncio.Future[PlacedFrames]":
        """Return what will be where its frames went."""
        self._answer = loop.create_future()
        return self._answer

    def join(
        self, frame: NewFrame, window: WindowMeta, loop: asyncio.AbstractEventLoop
    ) -> "asyncio.Future[int]":
        """Add a window, whose bytes are counted already, and return what will be its number."""
        self.frames.append(frame)
        self.windows.append(window)
        caller: asyncio.Future[int] = loop.create_future()
        self._callers.append(caller)
        self._counts.append(0)
        return caller

    def join_all(
        self,
        frames: Sequence[NewFrame],
        windows: Sequence[WindowMeta],
        loop: asyncio.AbstractEventLoop,
    ) -> "asyncio.Future[list[int]]":
        """Add one caller's windows, as ``join``, and return what will be their numbers."""
        self.frames += frames
        self.windows += windows
        caller: asyncio.Future[list[int]] = loop.create_future()
        self._callers.append(caller)
        self._counts.append(len(frames))
        return caller

    def end(self, result: PlacedFrames | Exception) -> None:
        """Tell everybody who waits and still does."""
        answer = self._answer
        if answer is not None and not answer.done():
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)
        if isinstance(result, Exception):
            for caller in self._callers:
                if not caller.done():
                    caller.set_exception(result)
            return
        seq = result.first_seq
        for caller, count in zip(self._callers, self._counts, strict=True):
            until = seq + (count or 1)
            if not caller.done():
                caller.set_result(list(range(seq, until)) if count else seq)
            seq = until


def entry_of(frames: list[NewFrame], *, after: int | None = None, is_acks: bool = False) -> Entry:
    """Return these frames, which are no windows, as an entry."""
    return Entry(frames, sum(map(frame_size, frames)), after=after, is_acks=is_acks)


def frame_size(frame: NewFrame) -> int:
    """Return what a frame takes on disk."""
    return FRAME_BYTES + len(frame[1]) + len(frame[2])
