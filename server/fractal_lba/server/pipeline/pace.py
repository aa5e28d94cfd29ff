"""Keep work to a share of one core: what it took is rested for before the next piece."""

import time
from collections.abc import Callable
from typing import TypeVar

ResultT = TypeVar("ResultT")


class Pace:
    """The pace of one thread: as fast as it can until ``begin``.

    Args:
        share: Of one core, over 0 and at most 1.
        cpu: Seconds of processor time that the calling thread has had.
        now: Seconds of a clock that no one sets.
        rest: Waits so many seconds.
    """

    def __init__(
        self,
        share: float,
        *,
        cpu: Callable[[], float] = time.thread_time,
        now: Callable[[], float] = time.monotonic,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        self._share = share
        self._rest_for_each = 0.0
        self._cpu = cpu
        self._now = now
        self._rest = rest
        self._rested_at = now()

    def begin(self) -> None:
        """Rest from the next piece of work on."""
        self._rest_for_each = 1 / self._share - 1

    def run(self, work: Callable[[], ResultT]) -> ResultT:
        """Rest for what was done before, then do the work and return its result."""
        # The rest comes first, so that nobody waits for it who has a result.
        if (left := self._rested_at - self._now()) > 0:
            self._rest(left)
        started = self._cpu()
        try:
            return work()
        finally:
            self._rested_at = self._now() + (self._cpu() - started) * self._rest_for_each
