"""Acknowledgements on their way: noted in memory, written with what comes next or by themselves.

One that is lost leads to a repeat, which the server answers as it did the first time; so none needs
a sync of its own.
"""

import asyncio
from collections.abc import Sequence

from fractal_lba.agent.entry import entry_of
from fractal_lba.agent.log import Log
from fractal_lba.protocol.errors import FullError
from fractal_lba.wal import NewFrame, PlacedFrames

# Each is repeated after a crash: few enough that this is soon done, enough that a sync for them
# alone is rare.
ACKS_WAITING_MAX = 256

# What one batch takes of them, however many gathered while nothing could be written.
ACKS_IN_ENTRY_MAX = 4096


class Acks:
    """The acknowledgements of one outbox that are not written yet; called from one event loop.

    Args:
        log: Where they are written.

    Attributes:
        waiting: Their frames.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self.waiting: list[NewFrame] = []
        self._is_writing = False

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self.waiting)

    @property
    def are_many(self) -> bool:
        """Whether so many wait that they are worth a sync of their own."""
        return len(self.waiting) >= ACKS_WAITING_MAX

    def note(self, frame: NewFrame) -> None:
        """Let one wait."""
        self.waiting.append(frame)

    def put_back(self, frames: Sequence[NewFrame]) -> None:
        """Let some wait again that found no room, ahead of what came behind them."""
        self.waiting[:0] = frames

    def give(self) -> "asyncio.Future[PlacedFrames] | None":
        """Give the log those that wait; None where none does."""
        if not self.waiting:
            return None
        entry = entry_of(self.waiting[:ACKS_IN_ENTRY_MAX], is_acks=True)
        del self.waiting[:ACKS_IN_ENTRY_MAX]
        answer = self._log.give(entry)
        answer.add_done_callback(_seen)
        return answer

    async def write(self) -> bool:
        """Write those that wait; those behind an entry on its way ride with others.

        Returns:
            Whether the disk had room for them.

        Raises:
            DurabilityError: They may or may not be on disk; the log is fenced.
        """
        if self._is_writing or (answer := self.give()) is None:
            return True
        self._is_writing = True
        try:
            await asyncio.shield(answer)
        except FullError:
            return False
        finally:
            self._is_writing = False
        return True


def _seen(answer: "asyncio.Future[PlacedFrames]") -> None:
    """Take note of a failure that the batch's other entries tell of."""
    if not answer.cancelled():
        answer.exception()
