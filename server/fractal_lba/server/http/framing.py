"""What of HTTP is spoken here: stand before aiohttp's parser and refuse what it would let through.

The parser bounds a line and the number of headers, which together is a megabyte for each
connection, and nothing bounds chunk extensions, trailers or empty lines. Here one rule does for all
of them: bytes that neither end a head nor add to a body are counted, and are refused over a bound.
"""

from collections.abc import Sequence

from aiohttp import hdrs, web
from aiohttp.http import (
    HttpProcessingError,
    HttpRequestParser,
    HttpVersion10,
    HttpVersion11,
    RawRequestMessage,
)
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

_Fed = tuple[Sequence[tuple[RawRequestMessage, StreamReader]], bool, bytes]


class Framing:
    """A parser of requests that is stricter than the one behind it.

    Args:
        parser: aiohttp's, whose calls these are.
        head_bytes_max: Of a head, and of anything else that is not a body.
    """

    def __init__(self, parser: HttpRequestParser, *, head_bytes_max: int) -> None:
        self._parser = parser
        self._head_bytes_max = head_bytes_max
        self._payload: StreamReader = EMPTY_PAYLOAD
        self._count = 0
        self.message_consumed = parser.message_consumed
        self.pause_reading = parser.pause_reading
        self.set_upgraded = parser.set_upgraded

    def feed_data(self, data: bytes) -> _Fed:
        """Parse what came.

        Raises:
            HttpProcessingError: It is not HTTP as it is spoken here; a body under way is over.
        """
        before = self._payload.total_bytes
        try:
            fed: _Fed = self._parser.feed_data(data)
            self._check(fed[0], data, before)
        except HttpProcessingError:
            if not self._payload.is_eof():
                # Its reader would wait for the end of its time.
                self._payload.set_exception(web.RequestPayloadError("framing"))
            raise
        return fed

    def _check(
        self, messages: Sequence[tuple[RawRequestMessage, StreamReader]], data: bytes, before: int
    ) -> None:
        for message, _ in messages:
            _check_head(message)
        if messages:
            self._payload = messages[-1][1]
        elif self._payload.total_bytes == before:
            self._count += len(data)
            if self._count > self._head_bytes_max:
                raise BadHttpMessage(f"head: expected at most {self._head_bytes_max} bytes")
            return
        self._count = 0


def _check_head(message: RawRequestMessage) -> None:
    # The parser also knows HTTP/0.9, whose answers have no status, and lets HTTP/2.0 stand there.
    if message.version not in {HttpVersion10, HttpVersion11}:
        raise BadHttpMessage("version: expected HTTP/1.0 or HTTP/1.1")
    transfer = message.headers.getall(hdrs.TRANSFER_ENCODING, [])
    if transfer and (
        [each.lower() for each in transfer] != ["chunked"] or message.version != HttpVersion11
    ):
        # Whoever stands before this server may see another end of the body than it does.
        raise BadHttpMessage("Transfer-Encoding: expected chunked alone, in HTTP/1.1")
    if not all(each.isascii() for each in message.headers.getall(hdrs.EXPECT, [])):
        # aiohttp puts it into its refusal, and fails there.
        raise BadHttpMessage("Expect: expected 100-continue")
