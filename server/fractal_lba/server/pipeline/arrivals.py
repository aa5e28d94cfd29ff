"""Bodies that come together go together: one sync of the inbox, one verification, one run.

A tenant's bodies that are logged while others of it are verified wait for that, and are verified
together next, while the others are decided. So a group grows under load and is one body when
nothing else comes, and nobody waits for a ledger because it keeps an earlier group waiting.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from fractal_lba.server.core.inbox_frame import Received
from fractal_lba.server.pipeline.settled import Settled
from fractal_lba.server.ports import Inbox, InboxFrame, Meter

TOGETHER_MAX: Final = 256
"""Bodies in a group: as many as the lines of a batch that are decided together."""

Settle: TypeAlias = Callable[
    [Sequence[InboxFrame], Callable[[], None]], Awaitable[Sequence[Settled | Exception]]
]
"""Settles bodies of one lane, calls what it is given once they are verified, returns their ends."""

_log = logging.getLogger(__name__)


class _Logged(NamedTuple):
    frame: InboxFrame
    answer: asyncio.Future[Settled]


class Arrivals:
    """The bodies that arrive at one worker.

    Args:
        inbox: Where each is before it is parsed.
        meter: Counts.
        settle: See ``Settle``.
    """

    def __init__(self, inbox: Inbox, *, meter: Meter, settle: Settle) -> None:
        self._inbox = inbox
        self._meter = meter
        self._settle = settle
        # Of each tenant with a group that is verified, or is about to be: those that come next.
        self._next: dict[str, list[_Logged]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def receive(self, body: bytes, received: Received, *, received_ns: int) -> Settled:
        """Log a body and settle it, whether anyone still waits or not; return how it ended.

        Raises:
            UnavailableError: The queue is full; nothing was logged.
            DurabilityError: The log failed; the body may or may not be on disk.
            Exception: The bug that it met.
        """
        answer: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()
        self._inbox.give(
            body, received, received_ns=received_ns, told=partial(self._logged, answer)
        )
        return await answer

    async def close(self) -> None:
        """End what is under way: what is not decided stays open in the inbox."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _logged(self, answer: asyncio.Future[Settled], frame: InboxFrame | Exception) -> None:
        if isinstance(frame, Exception):
            _tell(answer, frame)
            return
        logged = _Logged(frame, answer)
        tenant = frame.received.identified_tenant
        if tenant is None:
            # Each goes by itself: it has a turn of its own in its lane.
            self._meter.ingested()
            self._begin(self._settle_group([logged], lambda: None))
        elif tenant in self._next:
            self._next[tenant].append(logged)
        else:
            self._next[tenant] = [logged]
            self._begin(self._settle_next(tenant))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _settle_next(self, tenant: str) -> None:
        # All that went to the disk with the first of them are here by now.
        group = self._next[tenant][:TOGETHER_MAX]
        self._next[tenant] = self._next[tenant][TOGETHER_MAX:]
        self._meter.ingested(len(group))
        await self._settle_group(group, partial(self._verified, tenant))

    def _verified(self, tenant: str) -> None:
        if self._next[tenant]:
            self._begin(self._settle_next(tenant))
        else:
            del self._next[tenant]

    async def _settle_group(self, group: Sequence[_Logged], verified: Callable[[], None]) -> None:
        ends: Sequence[Settled | Exception]
        try:
            ends = await self._settle([each.frame for each in group], verified)
        except Exception as error:  # noqa: BLE001 - told to each of them
            ends = [error] * len(group)
        for each, end in zip(group, ends, strict=True):
            _tell(each.answer, end)


def _tell(answer: asyncio.Future[Settled], end: Settled | Exception) -> None:
    if answer.done():
        if isinstance(end, Exception):
            _log.error("a body met a failure after its caller left", exc_info=end)
    elif isinstance(end, Exception):
        answer.set_exception(end)
    else:
        answer.set_result(end)
