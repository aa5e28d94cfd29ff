"""A URL with the wrong scheme, by what a server does at its socket: when it is asked, and told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fractal_lba.client import Client, SchemeError, UnavailableError, scheme

HANDSHAKE = 22
ALERT = bytes([21, 3, 3, 0, 2, 2, 40])
"""A record of TLS: fatal, handshake failure."""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
PAGE = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\nConnection: close\r\n\r\nTLS?"
PROBLEM = PAGE.replace(b"Length: 4", b"Length: 18").replace(b"TLS?", b'{"code":"refused"}')


class Server:
    """Answers each request, and each handshake, with bytes, and hangs up; with ``None`` it waits.

    Attributes:
        handshakes: How many came.
    """

    def __init__(self, *to_http: bytes, to_tls: bytes | None = b"") -> None:
        self.to_http = list(to_http)
        self.to_tls = to_tls
        self.handshakes = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(65_536)
        if first[:1] == bytes([HANDSHAKE]):
            self.handshakes += 1
            if self.to_tls is None:
                await reader.read()
            else:
                writer.write(self.to_tls)
        else:
            writer.write(self.to_http.pop(0))
        writer.close()


@asynccontextmanager
async def client_of(server: Server) -> AsyncIterator[Client]:
    listening = await asyncio.start_server(server.take, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()
    async with listening, Client(f"http://{host}:{port}") as client:
        yield client


@pytest.mark.asyncio
@pytest.mark.parametrize("said", [b"", ALERT, PAGE], ids=["nothing", "an alert", "a page"])
async def test_a_server_with_tls_is_told_at_each_attempt(said: bytes) -> None:
    server = Server(said, said, OK, to_tls=ALERT)
    async with client_of(server) as client:
        for _ in range(2):
            with pytest.raises(SchemeError, match="got the server speaks TLS there: is it https:"):
                await client.submit(b"{}")
        # Mended meanwhile.
        assert (await client.submit(b"{}")).status == 200
    assert server.handshakes == 2


@pytest.mark.asyncio
async def test_a_server_without_tls_that_hangs_up_is_asked_once() -> None:
    server = Server(b"", b"", b"\0")
    async with client_of(server) as client:
        for _ in range(3):
            with pytest.raises(UnavailableError) as caught:
                await client.submit(b"{}")
            assert not isinstance(caught.value, SchemeError)
    assert server.handshakes == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("answer", [OK, PROBLEM], ids=["taken", "a problem"])
async def test_a_server_that_answered_before_is_not_asked(answer: bytes) -> None:
    server = Server(answer, b"", PAGE, to_tls=ALERT)
    async with client_of(server) as client:
        await client.submit(b"{}")
        with pytest.raises(UnavailableError, match="got the end of the connection"):
            await client.submit(b"{}")
        assert (await client.submit(b"{}")).status == 400
    assert server.handshakes == 0


@pytest.mark.asyncio
async def test_a_server_that_says_nothing_to_a_handshake_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scheme, "_ASK_S", 0.05)
    server = Server(b"", OK, to_tls=None)
    async with client_of(server) as client:
        with pytest.raises(UnavailableError, match="got the end of the connection"):
            await client.submit(b"{}")
        assert (await client.submit(b"{}")).status == 200
    assert server.handshakes == 1
