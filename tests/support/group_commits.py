"""Group commits by themselves: small bounds, and work that waits until a test lets it go."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Final

from fractal_lba.wal.group_commit import Bounds

BOUNDS: Final = Bounds(items_max=4, bytes_max=100, queue_items_max=8, queue_bytes_max=1_000)


class Disk:
    """Work that waits for leave, and writes down its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: set[str] = set()
        self.may_go = threading.Semaphore(0)
        self.started = threading.Semaphore(0)

    def commit(self, batch: Sequence[int]) -> list[int | Exception]:
        """Return ten times each item."""
        self.started.release()
        self.may_go.acquire()
        self.batches.append(list(batch))
        self.threads.add(threading.current_thread().name)
        return [item * 10 for item in batch]

    async def has_started(self) -> None:
        """Return when another commit began."""
        await asyncio.to_thread(self.started.acquire)
