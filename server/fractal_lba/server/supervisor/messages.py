"""What supervisor and worker tell each other: one JSON object a line, over a pair of sockets.

A worker reports, the supervisor tells; neither waits for an answer. Whoever loses the other knows
that it ended: the pair has no other ends.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

import msgspec
from typing_extensions import override

from fractal_lba.protocol.described import described
from fractal_lba.server.config import Settings

LINE_BYTES_MAX: Final = 8 << 20
"""More than the longest there is: what so many shards and workers may have to say, every character
of it escaped. A longer one ends the channel, and with it the worker."""
_UNREAD_BYTES_MAX: Final = 1_048_576
"""What waits for one that does not read; it is as good as dead, and nothing more is told to it."""

REASONS_MAX: Final = 64
REASON_CHARACTERS_MAX: Final = 300


@described
class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is started with, as a file on its standard input.

    Attributes:
        worker: Its number, 0 to ``workers`` - 1.
        supervisor: The process that it ends with.
        settings: Of the whole server, read once for all workers.
        base: The folder that paths in the settings are relative to.
        listener: The descriptor of the listening socket.
        channel: The descriptor of its end of the pair.
        accept_loss: The operator's word that ids lost to damage may be decided again.
    """

    worker: int
    workers: int
    supervisor: int
    settings: Settings
    base: str
    listener: int
    channel: int
    accept_loss: bool


class Beat(msgspec.Struct, frozen=True, kw_only=True, tag="beat"):
    """A worker's event loop turns. ``reasons`` are why not everything of it can be served."""

    reasons: tuple[str, ...] = ()


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """A worker serves, at this URL."""

    url: str


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """A worker cannot serve, and ends with this exit code."""

    message: str
    code: int


class Drained(msgspec.Struct, frozen=True, tag="drained"):
    """A worker takes no requests any more and has answered its own; it still decides for others."""


Report = Beat | Ready | Failed | Drained


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker is, as all of them are told.

    ``restarts`` counts since the supervisor began; ``reasons`` as in ``Beat``.
    """

    worker: int
    is_up: bool
    restarts: int
    reasons: tuple[str, ...] = ()


class News(msgspec.Struct, frozen=True, kw_only=True, tag="news"):
    """How all workers are."""

    workers: tuple[WorkerState, ...]


class Leave(msgspec.Struct, frozen=True, tag="leave"):
    """Accept no more, answer what comes on open connections until they end, then drain."""


class End(msgspec.Struct, frozen=True, tag="end"):
    """Nobody needs this worker any more: close what it owns and end."""


Told = News | Leave | End

_ENCODER = msgspec.json.Encoder()
_REPORTS: msgspec.json.Decoder[Report] = msgspec.json.Decoder(Report)
_TOLD: msgspec.json.Decoder[Told] = msgspec.json.Decoder(Told)


class Channel(asyncio.Protocol):
    """One end of the pair.

    Args:
        decode: Reads a line.
        told: Takes each message of the other end.
        lost: Called once, when the other end is gone.
    """

    def __init__(
        self, decode: Callable[[bytes], None], *, lost: Callable[[], None] = lambda: None
    ) -> None:
        self._decode = decode
        self._lost = lost
        self._transport: asyncio.WriteTransport | None = None
        self._rest = b""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_BYTES_MAX:
            self.close()
            return
        for line in lines:
            # During a rolling restart the other end may be of a release that says more.
            with suppress(msgspec.DecodeError):
                self._decode(line)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lost()

    def send(self, message: Report | Told) -> None:
        """Tell the other end, unless it is gone or reads nothing."""
        transport = self._transport
        if transport is not None and transport.get_write_buffer_size() < _UNREAD_BYTES_MAX:
            transport.write(_ENCODER.encode(message) + b"\n")

    def close(self) -> None:
        """Close this end."""
        if self._transport is not None:
            self._transport.close()


async def open_reports(
    end: socket.socket, heard: Callable[[Report], None], *, lost: Callable[[], None]
) -> Channel:
    """Return the supervisor's end of a pair; it owns the socket from now on."""
    return await _open(end, lambda line: heard(_REPORTS.decode(line)), lost)


async def open_orders(
    end: socket.socket, told: Callable[[Told], None], *, lost: Callable[[], None]
) -> Channel:
    """Return a worker's end of a pair; it owns the socket from now on."""
    return await _open(end, lambda line: told(_TOLD.decode(line)), lost)


async def _open(
    end: socket.socket, decode: Callable[[bytes], None], lost: Callable[[], None]
) -> Channel:
    end.setblocking(False)  # noqa: FBT003 - the name of the call says what it is
    loop = asyncio.get_running_loop()
    _, channel = await loop.create_connection(lambda: Channel(decode, lost=lost), sock=end)
    return channel


def shown(reasons: list[str]) -> tuple[str, ...]:
    """Return reasons as a message carries them: so many, and of each so much."""
    return tuple(reason[:REASON_CHARACTERS_MAX] for reason in reasons[:REASONS_MAX])
