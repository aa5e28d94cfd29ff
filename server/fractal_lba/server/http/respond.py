"""Answers on the wire: an ``Answer`` becomes an HTTP response, and a foreign error a problem."""

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from fractal_lba.server.core.answer import (
    Answer,
    ServerCode,
    named,
    problem,
    timestamp,
    whole_seconds,
)
from fractal_lba.server.http.request_id import HEADER, follow, request_id_of
from fractal_lba.server.http.whole import Whole

_log = logging.getLogger(__name__)

_PROBLEM = "application/problem+json"


def response(answer: Answer) -> web.Response:
    """Return the response of an answer; the body is exactly the answer's."""
    headers = {"Content-Type": "application/json" if answer.code is None else _PROBLEM}
    if answer.is_replayed:
        headers["Idempotent-Replayed"] = "true"
    if answer.received_ns is not None:
        headers["X-Received-At"] = timestamp(answer.received_ns)
    if answer.retry_after_s is not None:
        headers["Retry-After"] = str(whole_seconds(answer.retry_after_s))
    if answer.code == ServerCode.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = "Bearer"
    return Whole(status=answer.status, body=answer.body, headers=headers)


def name_request(request: web.BaseRequest, answered: web.StreamResponse) -> None:
    """Say in an answer that was not sent yet, and in its problem, what the request is called."""
    request_id = request_id_of(request)
    answered.headers[HEADER] = request_id
    if isinstance(answered, web.Response) and answered.headers.get("Content-Type") == _PROBLEM:
        body = answered.body
        assert isinstance(body, bytes)  # noqa: S101 - as response() made it
        answered.body = named(body, request_id)


async def problems(
    request: web.BaseRequest, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Return a handler's answer; for what aiohttp raises a problem, for a bug a 500 alone."""
    follow(request)
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return response(problem(ServerCode.NOT_FOUND, "path: expected a known one, got another"))
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        answered = response(
            problem(
                ServerCode.METHOD_NOT_ALLOWED,
                f"method: expected {allowed}, got another",
            )
        )
        answered.headers["Allow"] = allowed
        return answered
    except web.HTTPException as error:
        if error.status >= web.HTTPInternalServerError.status_code:
            raise
        return response(
            problem(
                ServerCode.BAD_REQUEST, "request: expected well-formed HTTP, got something else"
            )
        )
    except ConnectionError:
        raise  # the caller hung up while it was answered: no bug, and nobody to tell
    except Exception:  # noqa: BLE001 - logged; the caller gets a problem and no trace
        _log.exception("a request met a bug")
        return response(
            problem(
                ServerCode.INTERNAL_ERROR, "server: expected an answer, got a failure; it is logged"
            )
        )
