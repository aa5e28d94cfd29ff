"""Room in the outbox: whether it takes another window now, and who waits until it does.

What counts is what waits for an answer, what is on its way to the disk, and whether the disk has
room. Whoever waits is served in turn.
"""

import asyncio

from fractal_lba.agent.bounds import (
    CALL_BYTES_MAX,
    CALL_RECORDS_MAX,
    QUEUE_BYTES_MAX,
    QUEUE_RECORDS_MAX,
    OutboxBounds,
    OutboxFullError,
    WhenFull,
    fullness,
)
from fractal_lba.agent.log import Log
from fractal_lba.agent.outbox_measures import Counts
from fractal_lba.agent.pending import Pending


class Room:
    """The room of one outbox; called from one event loop.

    Args:
        bounds: How much may wait for an answer.
        pending: What waits for one.
        log: Tells whether the disk is full.
        counts: Gets how often there was none.

    Attributes:
        bounds: As given.
        queued: Windows on their way to the disk.
    """

    def __init__(self, bounds: OutboxBounds, pending: Pending, log: Log, counts: Counts) -> None:
        self.bounds = bounds
        self.queued = 0
        self._queued_bytes = 0
        # Room that there is for certain until something changes: one look for all that come.
        self._sure_records = 0
        self._sure_bytes = 0
        self._pending = pending
        self._log = log
        self._counts = counts
        self._is_hopeless = False
        self._turnstile = asyncio.Lock()
        self._changed = asyncio.Event()

    def is_full(self, count: int = 1) -> bool:
        """Tell whether so many more would be more than may wait, or the disk is full."""
        pending, bounds = self._pending, self.bounds
        return (
            self._log.is_full
            or len(pending) + self.queued + count > bounds.records_max
            or pending.size + self._queued_bytes >= bounds.bytes_max
        )

    def has(self, count: int = 1) -> bool:
        """Tell whether so many windows may be given to the log now."""
        if count <= self._sure_records and self._sure_bytes > 0:
            return True
        if (
            self.queued >= QUEUE_RECORDS_MAX
            or self._queued_bytes >= QUEUE_BYTES_MAX
            or self.is_full(count)
        ):
            return False
        pending, bounds = self._pending, self.bounds
        self._sure_records = min(
            QUEUE_RECORDS_MAX - self.queued, bounds.records_max - len(pending) - self.queued
        )
        self._sure_bytes = (
            min(QUEUE_BYTES_MAX, bounds.bytes_max - pending.size) - self._queued_bytes
        )
        return True

    def left(self, count: int) -> int:
        """Return how many of so many windows, of any size, may be given to the log now."""
        if not self.has():
            return 0
        pending, bounds = self._pending, self.bounds
        records = bounds.records_max - len(pending) - self.queued
        size = bounds.bytes_max - pending.size - self._queued_bytes
        return min(count, records, max(1, size * CALL_RECORDS_MAX // CALL_BYTES_MAX))

    async def wait(self, count: int = 1) -> None:
        """Return when there is room for so many; nothing runs between this and the caller.

        Raises:
            OutboxFullError: There is none now, and the bounds say that nobody waits, or none will
                come any more.
        """
        async with self._turnstile:  # in turn, or windows of one stream would pass each other
            if self.is_full(count):
                if self.bounds.when_full is WhenFull.REFUSE:
                    self._counts.refused += count
                    raise self.error()
                self._counts.waits += 1
            while not self.has(count):
                if self._is_hopeless:
                    raise self.error()
                await self._changed.wait()

    def take(self, count: int, size: int) -> None:
        """Note windows of so many bytes together that were given to the log."""
        self.queued += count
        self._queued_bytes += size
        self._sure_records -= count
        self._sure_bytes -= size

    def give_back(self, count: int, size: int) -> None:
        """Note that windows are on their way no more, whatever came of it."""
        self.queued -= count
        self._queued_bytes -= size

    def end(self) -> None:
        """Note that room which is not there will not come."""
        self._is_hopeless = True
        self.changed()

    def changed(self) -> None:
        """Look again for what there is, and let those who wait do so."""
        self._sure_records = 0
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def error(self) -> OutboxFullError:
        """Return why there is none."""
        pending = self._pending
        return OutboxFullError(
            fullness(self.bounds, len(pending), pending.size, is_disk_full=self._log.is_full)
        )
