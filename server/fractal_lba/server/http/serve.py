"""The listening socket, what stands behind each connection, and the drain at the end."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from aiohttp import web

from fractal_lba.native import WHY_NOT
from fractal_lba.protocol.errors import ContractError
from fractal_lba.server.config import Settings, listen_address
from fractal_lba.server.http.admit import Admission
from fractal_lba.server.http.limits import Connections, Gate, Place
from fractal_lba.server.http.protocol import Connection, ConnectionBounds
from fractal_lba.server.http.secure import Accepting
from fractal_lba.server.http.unread import Unread
from fractal_lba.server.ports import Meter

_BACKLOG = 1_024

_CLEANUP_S = 1.0
"""For what is under way beside bodies when they are over: pages, exports, answers. aiohttp waits so
long until it cancels a handler, and again for its end."""

_SYSTEM_BUFFER_BYTES = 131_072
"""Asked for each direction of a connection (Linux gives twice as much). Left to itself the system
would hold up to 4 MiB of what a client does not read and 6 MiB of what is not read from it; this is
enough for 2 MB/s at 100 ms of distance."""

_log = logging.getLogger(__name__)


def bind(settings: Settings) -> socket.socket:
    """Return the listening socket.

    Raises:
        ContractError: The address is taken or not this machine's.
    """
    host, port = listen_address(settings)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            for direction in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                # What is accepted inherits it.
                listener.setsockopt(socket.SOL_SOCKET, direction, _SYSTEM_BUFFER_BYTES)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ContractError(
            f"listen: expected an address to bind, got {settings.listen}: {error.strerror}"
        ) from error
    return listener


async def serve(  # noqa: PLR0913 - the socket, what answers on it, and how it ends
    listener: socket.socket,
    routes: list[web.RouteDef],
    *,
    settings: Settings,
    admission: Admission,
    announce: Callable[[str], None],
    stop: asyncio.Event,
    leave: asyncio.Event,
    tls: Callable[[], ssl.SSLContext] | None,
    meter: Meter,
) -> None:
    """Answer requests until ``stop``, then drain.

    Args:
        listener: Bound, not listening yet.
        routes: Every call there is.
        settings: Bounds and times of connections.
        admission: Told of the drain, and asked what is under way.
        announce: Takes the URL once requests can be answered.
        stop: Set once.
        leave: Set once, to end for others that go on accepting: what comes on open connections is
            answered, and each ends with its next answer.
        tls: Returns the TLS context of this moment; ``None`` for plain HTTP.
        meter: Counts handshakes that failed.
    """
    application = web.Application()
    application.add_routes(routes)
    runner = web.AppRunner(application, shutdown_timeout=_CLEANUP_S)
    await runner.setup()
    connections = Connections(
        total_max=settings.connections_max,
        per_address_max=settings.connections_per_address_max,
        made_room=lambda: meter.connection_cut("room"),
    )
    http = runner.server
    assert http is not None  # noqa: S101 - set by setup
    loop = asyncio.get_running_loop()

    bounds = ConnectionBounds(
        head_bytes_max=settings.head_bytes_max,
        idle_timeout_s=settings.idle_timeout_s,
        answer_timeout_s=settings.answer_timeout_s,
    )
    unread = Unread(settings.answer_bytes_max, told=lambda: meter.connection_cut("unread"))

    def connection(place: Place) -> Connection:
        return Connection(http, loop=loop, place=place, bounds=bounds, unread=unread)

    async with asyncio.TaskGroup() as tasks:
        server: asyncio.Server | asyncio.Task[None]
        if tls is None:
            server = await loop.create_server(
                lambda: Gate(connections, connection), sock=listener, backlog=_BACKLOG
            )
        else:
            listener.settimeout(0)
            listener.listen(_BACKLOG)
            accepting = Accepting(
                connections,
                connection,
                context=tls,
                timeout_s=settings.tls_handshake_timeout_s,
                meter=meter,
            )
            server = tasks.create_task(accepting.run(listener))
        url = _url(listener, is_secure=tls is not None)
        _log.info("ready", extra={"url": url, "native": WHY_NOT or "yes"})
        announce(url)
        await first(stop, leave)
        if leave.is_set() and not stop.is_set():
            _log.info("leaving", extra={"count": connections.total})
            _close(server)
            with suppress(TimeoutError):
                async with asyncio.timeout(settings.grace_s):
                    await connections.end()
        _log.info("draining", extra={"count": admission.in_flight.count})
        admission.drain()
        _close(server)
        with suppress(TimeoutError):
            async with asyncio.timeout(settings.grace_s):
                await admission.in_flight.empty()
        # What had the whole grace is ended now; aiohttp would give it as much again, twice.
        await runner.cleanup()
        _log.info("drained", extra={"count": admission.in_flight.count})


async def first(*events: asyncio.Event) -> None:
    """Return once one of several events is set."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()


def _close(server: asyncio.Server | asyncio.Task[None]) -> None:
    if isinstance(server, asyncio.Task):
        server.cancel()
    else:
        server.close()


def _url(listener: socket.socket, *, is_secure: bool) -> str:
    host, port = listener.getsockname()[:2]
    scheme = "https" if is_secure else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
