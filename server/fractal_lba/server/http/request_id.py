"""What a request is called: in its answer, in each log line about it, in its problem.

A caller's ``X-Request-Id`` is kept where it has the form of one and stands once; else one is made.
It goes into log lines and answers, so that its form is bounded here and nowhere else.
"""

import random
import re

from aiohttp import web

from fractal_lba.server.telemetry.logs import about_request

HEADER = "X-Request-Id"
_FORM = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KEY = web.RequestKey("request_id", str)


def request_id_of(request: web.BaseRequest) -> str:
    """Return what a request is called; the same for as long as it lasts."""
    return request[_KEY] if _KEY in request else follow(request)


def follow(request: web.BaseRequest) -> str:
    """Let every log line of the running task, and of those it starts, name the request."""
    called = request[_KEY] if _KEY in request else _given(request)
    if called is None:
        called = f"{random.getrandbits(128):032x}"  # told apart, no secret
    request[_KEY] = called
    about_request(called)
    return called


def _given(request: web.BaseRequest) -> str | None:
    # What is not HTTP has no headers, and aiohttp then puts another kind of mapping there.
    if HEADER not in request.headers:
        return None
    given = request.headers.getall(HEADER)
    return given[0] if len(given) == 1 and _FORM.fullmatch(given[0]) else None
