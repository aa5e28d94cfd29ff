"""Stopping: first observing, then sending, each once and for a reason.

The order in which an agent ends is written in this one place. What ends observing (a signal, the
end of ``--duration``, an outbox that cannot be written) does not end sending: what is on disk is
sent until it is answered. A signal and an unwritable outbox start the grace period, and its end
ends sending.
"""

import asyncio
from collections.abc import Awaitable


class Stop:
    """What a run listens to."""

    def __init__(self) -> None:
        self.observing = asyncio.Event()
        self.grace = asyncio.Event()
        self.sending = asyncio.Event()

    def observe_no_more(self) -> None:
        """End observing; everything on disk is still sent."""
        self.observing.set()

    def give_up(self) -> None:
        """End observing and start the grace period."""
        self.observing.set()
        self.grace.set()

    def interrupt(self) -> None:
        """End observing and start the grace period; where it runs already, end sending at once."""
        if self.grace.is_set():
            self.sending.set()
        self.give_up()


async def first_of(event: asyncio.Event, other: Awaitable[object]) -> bool:
    """Wait for an event or something else, and return whether the event is set.

    The loser is cancelled.
    """
    waiting = asyncio.ensure_future(event.wait())
    working = asyncio.ensure_future(other)
    try:
        await asyncio.wait((waiting, working), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        return event.is_set()
    finally:
        for task in (waiting, working):
            task.cancel()
        await asyncio.gather(waiting, working, return_exceptions=True)
