"""TLS: a connection is counted and bounded before its handshake begins."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import cast

from typing_extensions import override

from fractal_lba.server.http.limits import Connections, Gate, Place
from fractal_lba.server.ports import Meter

_ACCEPT_AGAIN_S = 1.0
"""How long accepting rests where the system has no file for another connection."""

_log = logging.getLogger(__name__)


class _Entered(Gate):
    """Stand before an HTTP protocol for a connection that got its place when it was accepted."""

    def __init__(
        self, connections: Connections, behind: Callable[[Place], asyncio.Protocol], place: Place
    ) -> None:
        super().__init__(connections, behind)
        self._place = place
        self._entered = place
        self.is_made = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.is_made = True
        self._entered.cut = cast("asyncio.WriteTransport", transport).abort
        self._inner = self._behind(self._entered)
        self._inner.connection_made(transport)


class Accepting:
    """Accept connections and shake hands with each.

    Args:
        connections: What is open; a handshake counts.
        behind: Makes what speaks HTTP.
        context: Returns the TLS context of this moment.
        timeout_s: A handshake must be done within it.
        meter: Counts handshakes that failed.
    """

    def __init__(
        self,
        connections: Connections,
        behind: Callable[[Place], asyncio.Protocol],
        *,
        context: Callable[[], ssl.SSLContext],
        timeout_s: float,
        meter: Meter,
    ) -> None:
        self._connections = connections
        self._behind = behind
        self._context = context
        self._timeout_s = timeout_s
        self._meter = meter

    async def run(self, listener: socket.socket) -> None:
        """Accept until cancelled; handshakes under way are cut then."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as handshakes:
            while True:
                try:
                    accepted, peer = await loop.sock_accept(listener)
                except OSError as error:
                    _log.error("accepting rests", extra={"error": error.strerror})
                    await asyncio.sleep(_ACCEPT_AGAIN_S)
                    continue
                place = self._connections.enter(str(peer[0]), accepted.close)
                if place is None:
                    # Without a handshake no answer can be told.
                    accepted.close()
                else:
                    shaking = handshakes.create_task(self._shake_hands(accepted, place))
                    place.cut = shaking.cancel

    async def _shake_hands(self, accepted: socket.socket, place: Place) -> None:
        entered = _Entered(self._connections, self._behind, place)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: entered,
                accepted,
                ssl=self._context(),
                ssl_handshake_timeout=self._timeout_s,
                ssl_shutdown_timeout=self._timeout_s,
            )
        except Exception as error:  # noqa: BLE001 - whatever a stranger sends ends its own connection alone
            self._meter.handshake_failed()
            # The class and OpenSSL's word for it, never a byte of what came.
            reason = error.reason if isinstance(error, ssl.SSLError) else None
            _log.debug("handshake failed", extra={"error": reason or type(error).__name__})
        finally:
            if not entered.is_made:
                place.leave()
                accepted.close()
