"""An answer that is there as a whole goes out in one piece, by the short way."""

import time
from email.utils import formatdate
from functools import lru_cache

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion11
from typing_extensions import override


class Whole(web.Response):
    """A response with a body of bytes, whose headers are all the server's own.

    What goes to a reader who stays is written at once; aiohttp's way, to the same bytes, takes
    several times as long and is left for HTTP/1.0, for HEAD and for a connection that ends.
    """

    _is_sent = False

    @property
    @override
    def keep_alive(self) -> bool | None:
        return True if self._is_sent else super().keep_alive

    @override
    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        body = self.body
        if (
            self.keep_alive is False
            or not request.keep_alive
            or request.version != HttpVersion11
            or request.method == hdrs.METH_HEAD
            or not isinstance(body, bytes)
        ):
            return await super().prepare(request)
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("expected a reader of the answer, got none")
        lines = [f"{name}: {value}\r\n" for name, value in self.headers.items()]
        head = (
            f"HTTP/1.1 {self.status} {self.reason}\r\n{''.join(lines)}"
            f"Content-Length: {len(body)}\r\nDate: {_date(int(time.time()))}\r\n\r\n"
        )
        transport.write(head.encode() + body)
        self._is_sent = True
        # A reader who takes nothing is waited for, and cut in the end.
        await request.writer.drain()
        return None

    @override
    async def write_eof(self, data: bytes = b"") -> None:
        if not self._is_sent:
            await super().write_eof(data)


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
