"""An event loop whose time passes only when everything waits.

What sleeps wakes in the order of its time, at once and the same way in every run. Nothing in such a
loop may wait for another thread or a socket: with nothing left to wake, it ends with an error
instead of waiting for ever.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from typing_extensions import override

_T = TypeVar("_T")


class _Selector(selectors.DefaultSelector):
    """Turns waiting into the passing of time."""

    def __init__(self, *, has_others: bool) -> None:
        super().__init__()
        self.passed_s = 0.0
        self._has_others = has_others

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self._has_others and (ready := super().select(0)):
            return ready
        if timeout is None:
            raise AssertionError("everything waits, and nothing will ever happen")
        self.passed_s += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that starts at 0 s and never waits.

    Args:
        has_others: There may be threads or sockets; else the operating system is never asked.
    """

    def __init__(self, *, has_others: bool = True) -> None:
        self._virtual = _Selector(has_others=has_others)
        super().__init__(self._virtual)

    @override
    def time(self) -> float:
        return self._virtual.passed_s

    @override
    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for its threads here: the loop's own time does not pass while they end."""
        executor = vars(self).get("_default_executor")
        if isinstance(executor, ThreadPoolExecutor):
            executor.shutdown()


def run_virtual(main: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end on virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
