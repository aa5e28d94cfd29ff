"""The place of a process among those that serve one data folder."""

import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass


async def _nobody() -> None:
    """Wait for nobody."""


def _none() -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a worker is: whether it serves, and how often it died and was started again."""

    worker: int
    is_up: bool
    restarts: int


def _well() -> Sequence[Health]:
    return (Health(worker=0, is_up=True, restarts=0),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Which worker a process is, and who else there is; by default it is alone.

    Attributes:
        worker: Its number, 0 to ``workers`` - 1.
        listener: The socket that all of them accept from; ``None`` where it is alone, and then it
            binds its own and holds the data folder's lock.
        others: Returns why not everything of the other workers can be served.
        health: Returns how every worker is, this one among them.
        drained: Called when this one has answered its requests; returns when no other one needs
            its shards any more.
    """

    worker: int = 0
    workers: int = 1
    listener: socket.socket | None = None
    others: Callable[[], Sequence[str]] = _none
    health: Callable[[], Sequence[Health]] = _well
    drained: Callable[[], Awaitable[None]] = _nobody


ALONE = Seat()
