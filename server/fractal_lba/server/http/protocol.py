"""One HTTP connection: where aiohttp answers by itself, the answer is a problem all the same."""

import logging

from aiohttp import web
from typing_extensions import override

from fractal_lba.server.core.answer import ServerCode, problem
from fractal_lba.server.http.request_id import follow
from fractal_lba.server.http.respond import name_request, response

_log = logging.getLogger(__name__)

_EXPECTATION_FAILED = 417


class Connection(web.RequestHandler):
    """aiohttp's connection, with the answers of ``specs/http.md`` alone."""

    __slots__ = ()

    @override
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        follow(request)
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
        if resp.status == _EXPECTATION_FAILED:
            # An Expect that is not 100-continue is answered before any middleware is asked.
            resp = _not_http()
        name_request(request, resp)
        # aiohttp would name itself and its version.
        resp.headers["Server"] = "fractal-lba"
        return await super().finish_response(request, resp, start_time)


def _not_http() -> web.Response:
    return response(
        problem(ServerCode.BAD_REQUEST, "request: expected well-formed HTTP, got something else")
    )
