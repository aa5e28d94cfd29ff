"""A request read from its bytes: HTTP/1.1, and the two content encodings of a batch."""

import gzip
import string
import zlib
from dataclasses import dataclass

from tests.oracle.refusal import Refused

# The methods of RFC 9110 and RFC 5789, and QUERY.
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"]
NAME_SIGNS = string.ascii_letters + string.digits + "._-"


class NotHttp(Exception):  # noqa: N818 - what it is
    """The bytes are no HTTP/1.1 request."""


@dataclass
class Request:
    """``announced`` is how many bytes of body there are to be, ``None`` for chunks."""

    method: str
    path: str
    parameters: list[tuple[str, str]]
    headers: list[tuple[str, str]]
    announced: int | None
    body: bytes

    def header(self, name: str) -> list[str]:
        return [value for other, value in self.headers if other == name]

    def one(self, name: str) -> str:
        return ", ".join(self.header(name))

    @property
    def is_whole(self) -> bool:
        return self.announced is None or len(self.body) == self.announced


def request_of(data: bytes) -> Request:
    head, _, rest = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or parts[0] not in METHODS or parts[2] not in ("HTTP/1.0", "HTTP/1.1"):
        raise NotHttp
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or line[0] in " \t" or any(sign in line for sign in "\r\n\0"):
            raise NotHttp
        headers.append((name.lower(), value.strip()))
    target = parts[1]
    if target.startswith("http://"):
        target = "/" + target.removeprefix("http://").partition("/")[2]
    path, _, query = target.partition("?")
    parameters = [
        (name, value)
        for name, _, value in (each.partition("=") for each in query.split("&"))
        if name
    ]
    request = Request(parts[0], path, parameters, headers, None, rest)
    if len(request.header("host")) != 1:
        raise NotHttp
    return with_body(request, rest)


def with_body(request: Request, rest: bytes) -> Request:
    lengths, codings = request.header("content-length"), request.header("transfer-encoding")
    if len(lengths) + len(codings) > 1 or codings not in ([], ["chunked"]):
        raise NotHttp
    if codings:
        request.body = unchunked(rest)
        return request
    if lengths and not lengths[0].isdigit():
        raise NotHttp
    request.announced = int(lengths[0]) if lengths else 0
    return request


def unchunked(data: bytes) -> bytes:
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        if size == b"" or any(sign not in b"0123456789abcdefABCDEF" for sign in size):
            raise NotHttp
        length = int(size, 16)
        if length == 0:
            return body
        body, end, data = body + data[:length], data[length : length + 2], data[length + 2 :]
        if end != b"\r\n":
            raise NotHttp


def called(request: Request | None) -> str | None:
    """Return the name a request has given itself, if it has the form of one and stands once."""
    given = request.header("x-request-id") if request is not None else []
    if len(given) != 1 or not 1 <= len(given[0]) <= 64:
        return None
    return given[0] if all(sign in NAME_SIGNS for sign in given[0]) else None


def decoded(data: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gunzip(data)
    return unzstd(data) if encoding == "zstd" else data


def gunzip(data: bytes) -> bytes:
    if data[:2] != b"\x1f\x8b":
        raise Refused("bad_encoding", "broken_stream")
    inflater = zlib.decompressobj(31)
    plain = inflater.decompress(data)
    if not inflater.eof:
        raise Refused("bad_encoding", "truncated_stream")
    if inflater.unused_data:
        raise Refused("bad_encoding", "trailing_bytes")
    assert plain == gzip.decompress(data)
    return plain


def unzstd(data: bytes) -> bytes:
    """Return what a frame of raw blocks says: single segment, size in four bytes, no checksum."""
    if data[:4] != bytes.fromhex("28b52ffd"):
        raise Refused("bad_encoding", "broken_stream")
    assert data[4] == 0b1010_0000
    size = int.from_bytes(data[5:9], "little")
    plain, at, is_last = b"", 9, False
    while not is_last:
        header = int.from_bytes(data[at : at + 3], "little")
        is_last, kind, length = bool(header & 1), header >> 1 & 3, header >> 3
        assert kind == 0
        block = data[at + 3 : at + 3 + length]
        if len(block) < length:
            raise Refused("bad_encoding", "truncated_stream")
        plain, at = plain + block, at + 3 + length
    if at < len(data):
        raise Refused("bad_encoding", "trailing_bytes")
    assert len(plain) == size
    return plain
