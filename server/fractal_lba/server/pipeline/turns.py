"""Turns: so much at once, and whoever waits gets the next one in turn with the others who wait.

In the order of arrival, one caller who sends much would make every other wait for all of it.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """Bounds how many are under way, fair to those for whom they are.

    Args:
        at_once_max: Under way at once.
    """

    def __init__(self, at_once_max: int) -> None:
        self._free = at_once_max
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def of(self, whose: str) -> AsyncIterator[None]:
        """Wait for a turn of somebody's, and have it for as long as the context lasts."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(whose)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, whose: str) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(whose, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()  # it had come meanwhile
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            whose, turns = next(iter(self._waiting.items()))
            turn = turns.popleft()
            if turns:
                self._waiting.move_to_end(whose)
            else:
                del self._waiting[whose]
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
