"""What the agent needs from the world: a clock, threads for what blocks, a server to talk to.

The agent's order of effects is written against these and ``wal.Disk``, so that the same code runs
on a real machine and in a simulator.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import ParamSpec, Protocol, TypeVar

from fractal_lba.client import Answer, BatchAnswer

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Clock(Protocol):
    """Time, wall and monotonic, and waiting."""

    def now_ns(self) -> int:
        """Return nanoseconds since 1970; may jump."""

    def monotonic_s(self) -> float:
        """Return seconds since any fixed moment; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""


class Lane(StrEnum):
    """Threads for blocking work; work of one lane is done one after the other, in order."""

    FILES = "files"  # cutting windows out of files
    LIVE = "live"  # sampling: never behind a file that is slow to read
    COMPUTE = "compute"  # summarising and signing
    OUTBOX = "outbox"  # the writer of the outbox and the dead letters: one thread for the disk
    KEPT = "kept"  # the writer of kept windows, which may be on another disk
    READ = "read"  # reading records back: never behind an fsync


class Lanes(Protocol):
    """Where blocking work is done."""

    def run(
        self, lane: Lane, work: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> Awaitable[_T]:
        """Do the work off the event loop and return what it returns."""


class Server(Protocol):
    """The two calls an agent makes."""

    async def submit(self, body: bytes) -> Answer:
        """Send one record; ``UnavailableError`` when no whole answer came."""

    async def batch(self, bodies: Sequence[bytes]) -> BatchAnswer:
        """Send several; ``UnavailableError`` when there was no whole answer to each of them."""


class SystemClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        """See ``Clock``."""
        return time.time_ns()

    def monotonic_s(self) -> float:
        """See ``Clock``."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See ``Clock``."""
        await asyncio.sleep(seconds)


class ThreadLanes:
    """One named thread for each lane."""

    def __init__(self) -> None:
        self._pools = {
            lane: ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"fractal-agent-{lane}")
            for lane in Lane
        }

    async def run(
        self, lane: Lane, work: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """See ``Lanes``."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pools[lane], lambda: work(*args, **kwargs))

    def close(self) -> None:
        """Wait for work that has begun, then end the threads."""
        for pool in self._pools.values():
            pool.shutdown(wait=True, cancel_futures=True)


def now_ms(clock: Clock) -> int:
    """Return milliseconds since 1970."""
    return clock.now_ns() // 1_000_000
