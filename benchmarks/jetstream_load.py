"""The load on NATS JetStream, a process of its own: so many messages unanswered on each connection.

Reads the body from stdin; prints one JSON object: seconds, messages acknowledged as new.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator
from typing import Final, cast

import uvloop
from typing_extensions import override

STREAM: Final = "records"


class Connection(asyncio.Protocol):
    """One connection: an acknowledgement of a message sends the next one."""

    def __init__(self, messages: Iterator[bytes], at_once: int) -> None:
        self._messages = messages
        self._at_once = at_once
        self._unanswered = 0
        self._buffer = b""
        self.acknowledged = 0
        self._transport: asyncio.Transport | None = None
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        inbox = f"_INBOX.{id(self)}"
        self._reply = inbox.encode()
        hello = 'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\n'
        self._transport.write(f"{hello}SUB {inbox} 1\r\nPING\r\n".encode())

    def ask(self, subject: str, body: bytes) -> None:
        """Send one request whose answer counts as an acknowledgement."""
        assert self._transport is not None  # noqa: S101 - connected before it is asked to send
        head = f"PUB {subject} {self._reply.decode()} {len(body)}\r\n"
        self._transport.write(head.encode() + body + b"\r\n")
        self._unanswered += 1

    def begin(self) -> None:
        """Send as many as may be unanswered."""
        self._send(self._at_once)

    def _send(self, count: int) -> None:
        assert self._transport is not None  # noqa: S101 - connected before it is asked to send
        made = []
        for message in self._messages:
            made.append(message.replace(b"REPLY", self._reply, 1))
            if len(made) == count:
                break
        self._unanswered += len(made)
        if made:
            self._transport.write(b"".join(made))
        if not self._unanswered and not self.done.done():
            self.done.set_result(None)

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        answered = 0
        while (end := self._buffer.find(b"\r\n")) >= 0:
            line = self._buffer[:end]
            if line.startswith(b"MSG "):
                size = int(line.rsplit(b" ", 1)[1])
                if len(self._buffer) < end + 2 + size + 2:
                    break
                payload = self._buffer[end + 2 : end + 2 + size]
                self._buffer = self._buffer[end + 4 + size :]
                answered += 1
                if b'"error"' in payload:
                    self.done.set_exception(RuntimeError(payload.decode()))
                    return
                self.acknowledged += b'"duplicate"' not in payload
                continue
            self._buffer = self._buffer[end + 2 :]
            if line == b"PONG" and not self.ready.done():
                self.ready.set_result(None)
        if answered:
            self._unanswered -= answered
            self._send(answered)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))


def message_of(body: bytes, identity: str) -> bytes:
    """Return a publication with an id, its reply subject to be filled in."""
    header = f"NATS/1.0\r\nNats-Msg-Id: {identity}\r\n\r\n".encode()
    head = f"HPUB {STREAM} REPLY {len(header)} {len(header) + len(body)}\r\n".encode()
    return head + header + body + b"\r\n"


async def load(
    port: int, connections: int, at_once: int, messages: list[bytes]
) -> dict[str, object]:
    """Publish every message once and wait for every acknowledgement."""
    loop = asyncio.get_running_loop()
    shared = iter(messages)
    opened = []
    for _ in range(connections):
        _, connection = await loop.create_connection(
            lambda: Connection(shared, at_once), "127.0.0.1", port
        )
        await connection.ready
        opened.append(connection)
    await _make_stream(port)
    started = time.perf_counter()
    for connection in opened:
        connection.begin()
    await asyncio.gather(*(connection.done for connection in opened))
    return {
        "seconds": time.perf_counter() - started,
        "acknowledged": sum(connection.acknowledged for connection in opened),
    }


async def _make_stream(port: int) -> None:
    settings = {"name": STREAM, "subjects": [STREAM], "storage": "file", "num_replicas": 1}
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(iter(()), 1), "127.0.0.1", port)
    await connection.ready
    connection.ask(f"$JS.API.STREAM.CREATE.{STREAM}", json.dumps(settings).encode())
    await connection.done


def main() -> None:
    """Read the body, publish, print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--at-once", type=int, required=True)
    parser.add_argument("--prefix", required=True, help="of the ids of this run")
    arguments = parser.parse_args()
    body = sys.stdin.buffer.read()
    messages = [
        message_of(body, f"{arguments.prefix}-{index}") for index in range(arguments.records)
    ]
    result = uvloop.run(load(arguments.port, arguments.connections, arguments.at_once, messages))
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
