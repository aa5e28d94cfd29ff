"""One HTTP connection: where aiohttp answers by itself, the answer is a problem all the same."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import hdrs, web
from typing_extensions import override

from fractal_lba.server.core.answer import ServerCode, problem
from fractal_lba.server.http.caller import NOBODY
from fractal_lba.server.http.framing import Framing
from fractal_lba.server.http.limits import Place, address_of
from fractal_lba.server.http.request_id import follow
from fractal_lba.server.http.respond import name_request, problems, response
from fractal_lba.server.http.unread import Unread

_log = logging.getLogger(__name__)

_LINGER_S = 2.0
"""How long the unread rest of a refused body is read before its connection is closed."""

_READ_AHEAD_BYTES = 32_768
"""Of a body that nobody reads yet; reading stops at twice as much."""

_REQUESTS_AHEAD_MAX = 2
"""Requests of a pipeline that are parsed before their turn, and what came with the last of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionBounds:
    """What one connection may hold, and for how long.

    Attributes:
        head_bytes_max: Of a request's head.
        idle_timeout_s: Until a whole head is there.
        answer_timeout_s: Until the reader has taken an answer.
    """

    head_bytes_max: int
    idle_timeout_s: float
    answer_timeout_s: float


class Connection(web.RequestHandler):
    """aiohttp's connection, with the answers and the bounds of ``specs/http.md`` alone.

    Attributes:
        address: Of the other end; empty until the connection is made.
        identified: Who was identified on it last.
        place: What it has among the connections.
    """

    __slots__ = ("_bounds", "_unread", "_unread_end", "_writing", "address", "identified", "place")

    def __init__(
        self,
        manager: web.Server,
        *,
        loop: asyncio.AbstractEventLoop,
        place: Place,
        bounds: ConnectionBounds,
        unread: Unread,
    ) -> None:
        super().__init__(
            manager,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # how aiohttp is told to keep none
            # The inbox keeps what came over the wire: nothing inflates it on the way.
            auto_decompress=False,
            lingering_time=_LINGER_S,
            keepalive_timeout=bounds.idle_timeout_s,
            read_bufsize=_READ_AHEAD_BYTES,
        )
        # The same calls as the parser's own, of which no type is written down.
        framing = Framing(cast("Any", self._parser), head_bytes_max=bounds.head_bytes_max)
        self._parser = cast("Any", framing)
        self._max_msg_queue_size = _REQUESTS_AHEAD_MAX
        self._msg_queue_resume_size = _REQUESTS_AHEAD_MAX - 1
        self._request_handler = self._work
        self.place = place
        self._bounds = bounds
        self._unread = unread
        self._unread_end: asyncio.TimerHandle | None = None
        self._writing: asyncio.WriteTransport | None = None
        self.address = ""
        self.identified = NOBODY

    async def _work(self, request: web.BaseRequest) -> web.StreamResponse:
        assert self._manager is not None  # noqa: S101 - a request of an open connection
        self.place.work()
        return await problems(request, self._manager.request_handler)

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.address = address_of(transport)
        # A byte that the system does not take at once tells of a slow reader. (At 0, TLS would take
        # each for one.)
        self._writing = cast("asyncio.WriteTransport", transport)
        self._writing.set_write_buffer_limits(high=1)
        super().connection_made(transport)

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        assert self._writing is not None  # noqa: S101 - it has just been written to
        self._unread_end = self._loop.call_later(self._bounds.answer_timeout_s, self.cut)
        self._unread.enter(self, self.address, self._writing.get_write_buffer_size())

    @override
    def resume_writing(self) -> None:
        self._is_read()
        super().resume_writing()

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        self._is_read()
        super().connection_lost(exc)

    def cut(self) -> None:
        """End the connection at once, whatever was not sent."""
        self._is_read()
        self._unread.told()
        if self._writing is not None:
            self._writing.abort()

    def _is_read(self) -> None:
        self._unread.leave(self, self.address)
        if self._unread_end is not None:
            self._unread_end.cancel()
            self._unread_end = None

    @override
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        follow(request)
        if isinstance(exc, ConnectionError):
            raise exc  # nobody is left to be answered
        # aiohttp's own answer would quote what it choked on.
        if status < web.HTTPInternalServerError.status_code:
            answered = _not_http()
        else:
            _log.error("a request met a bug", exc_info=exc)
            answered = response(
                problem(
                    ServerCode.INTERNAL_ERROR,
                    "server: expected an answer, got a failure; it is logged",
                )
            )
        answered.force_close()
        return answered

    @override
    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if not resp.prepared and request.writer.output_size > 0:
            # A bug within a stream: without its last chunk nobody takes what came for the whole.
            if self._writing is not None:
                self._writing.abort()
            raise ConnectionError("expected the end of an answer, got another answer")
        name_request(request, resp)
        # aiohttp would name itself and its version.
        resp.headers["Server"] = "fractal-lba"
        if self.place.is_ending or (hdrs.UPGRADE in request.headers and not resp.prepared):
            # Nothing is upgraded, and aiohttp drops what came behind such a request.
            resp.force_close()
        # From here on it waits for its reader, and then for the next request.
        self.place.rest()
        return await super().finish_response(request, resp, start_time)


def _not_http() -> web.Response:
    return response(
        problem(ServerCode.BAD_REQUEST, "request: expected well-formed HTTP, got something else")
    )
