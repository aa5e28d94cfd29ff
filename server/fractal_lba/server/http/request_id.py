"""What a request is called: in its answer, in each log line about it, in its problem.

A caller's ``X-Request-Id`` is kept where it has the form of one and stands once; else one is made.
It goes into log lines and answers, so that its form is bounded here and nowhere else.
"""

import re
import secrets

from aiohttp import web

from fractal_lba.server.telemetry.logs import about_request

HEADER = "X-Request-Id"
_NAME = HEADER.lower()
_FORM = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KEY = web.RequestKey("request_id", str)


def request_id_of(request: web.BaseRequest) -> str:
    """Return what a request is called; the same for as long as it lasts."""
    called = request.get(_KEY)
    if called is None:
        # What is not HTTP has no headers, and aiohttp then puts another kind of mapping there.
        given = [value for name, value in request.headers.items() if name.lower() == _NAME]
        is_kept = len(given) == 1 and _FORM.fullmatch(given[0]) is not None
        called = given[0] if is_kept else secrets.token_hex(16)
        request[_KEY] = called
    return called


def follow(request: web.BaseRequest) -> None:
    """Let every log line of the running task, and of those it starts, name the request."""
    about_request(request_id_of(request))
