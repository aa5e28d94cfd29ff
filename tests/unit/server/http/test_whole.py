"""The short way of an answer gives the bytes of the long one, and leaves what it does not know."""

import asyncio
import re

import pytest
from aiohttp import web

from fractal_lba.server.http.whole import Whole

pytestmark = pytest.mark.asyncio

HEADERS = {"Content-Type": "application/json", "X-Received-At": "then", "Server": "us"}
REQUESTS = (
    "GET {} HTTP/1.1\r\nHost: here\r\n\r\n",
    "GET {} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n",
    "GET {} HTTP/1.0\r\n\r\n",
    "GET {} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "HEAD {} HTTP/1.1\r\nHost: here\r\n\r\n",
)


async def served(status: int, *, is_ending: bool) -> list[list[bytes]]:
    """Return the answers to all requests by the short way, and by aiohttp's."""

    async def short(_: web.Request) -> web.StreamResponse:
        return ended(Whole(status=status, body=b'{"a":1}', headers=HEADERS))

    async def long(_: web.Request) -> web.StreamResponse:
        return ended(web.Response(status=status, body=b'{"a":1}', headers=HEADERS))

    def ended(answer: web.Response) -> web.Response:
        if is_ending:
            answer.force_close()
        return answer

    app = web.Application()
    app.router.add_get("/short", short)
    app.router.add_get("/long", long)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        return [
            [await asked(port, request.format(path), is_ending=is_ending) for request in REQUESTS]
            for path in ("/short", "/long")
        ]
    finally:
        await runner.cleanup()


async def asked(port: int, request: str, *, is_ending: bool) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    ends = is_ending or "close" in request or request.endswith("1.0\r\n\r\n")
    # Where the connection stays: what the first one leaves behind carries a second.
    last = REQUESTS[1].format(request.split()[1])
    writer.write((request if ends else request + last).encode())
    try:
        said = await reader.read()
    finally:
        writer.close()
    return re.sub(rb"Date: [^\r]+ GMT\r", b"Date: then\r", said)


@pytest.mark.parametrize("status", [200, 202, 409, 422, 503])
@pytest.mark.parametrize("is_ending", [False, True])
async def test_the_bytes_are_those_of_the_long_way(status: int, is_ending: bool) -> None:  # noqa: FBT001 - a parameter of the test
    short, long = await served(status, is_ending=is_ending)
    assert short == long
    assert all(b"Date: then" in each for each in short)
