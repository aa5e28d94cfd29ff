"""The place of a process among those that serve one data folder."""

import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass


async def _nobody() -> None:
    """Wait for nobody."""


def _none() -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Which worker a process is, and who else there is; by default it is alone.

    Attributes:
        worker: Its number, 0 to ``workers`` - 1.
        listener: The socket that all of them accept from; ``None`` where it is alone, and then it
            binds its own and holds the data folder's lock.
        others: Returns why not everything of the other workers can be served.
        drained: Called when this one has answered its requests; returns when no other one needs
            its shards any more.
    """

    worker: int = 0
    workers: int = 1
    listener: socket.socket | None = None
    others: Callable[[], Sequence[str]] = _none
    drained: Callable[[], Awaitable[None]] = _nobody


ALONE = Seat()
