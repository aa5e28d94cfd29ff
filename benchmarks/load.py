"""The load generator, a process of its own: one request at a time on each connection.

The file given holds one body on each line (a canonical record holds no newline); every body is sent
once. Prints one JSON object: seconds, answers for each status, repeats, CPU seconds, percentiles of
the answer time in milliseconds.
"""

import argparse
import asyncio
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import uvloop
from typing_extensions import override


class Connection(asyncio.Protocol):
    """One connection: sends the next body when the answer to the last one is complete."""

    def __init__(
        self,
        requests: Iterator[tuple[float, bytes]],
        statuses: Counter[int],
        taken: list[float],
    ) -> None:
        self._requests = requests
        self._statuses = statuses
        self._taken = taken
        self._buffer = b""
        self._sent_at = 0.0
        self.repeats = 0
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio.Transport without deriving from it.
        self._transport = cast("asyncio.Transport", transport)

    def send_next(self) -> None:
        """Send the next body when it is due, or end when there is none."""
        transport = self._transport
        assert transport is not None  # noqa: S101 - connected before it is asked to send
        due_and_request = next(self._requests, None)
        if due_and_request is None:
            transport.close()
            self.done.set_result(None)
            return
        due, request = due_and_request
        # A request that waited for a connection has waited: its time runs from when it was due.
        now = time.perf_counter()
        self._sent_at = due or now
        if due > now:
            asyncio.get_running_loop().call_later(due - now, transport.write, request)
        else:
            transport.write(request)

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lowered = head.lower()
        start = lowered.index(b"content-length:") + len(b"content-length:")
        if len(rest) < int(lowered[start:].split(b"\r\n", 1)[0]):
            return
        self._taken.append(time.perf_counter() - self._sent_at)
        self._statuses[int(head[9:12])] += 1
        self.repeats += b"\r\nidempotent-replayed: true" in lowered
        self._buffer = b""
        self.send_next()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))


def request_of(body: bytes, port: int, token: str) -> bytes:
    """Return the bytes of one request; an empty token sends none."""
    identity = f"Authorization: Bearer {token}\r\n" if token else ""
    head = (
        f"POST /v1/pcs/submit HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{identity}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def load(
    port: int, connections: int, bodies: list[bytes], token: str, per_second: float
) -> dict[str, object]:
    """Send every body once, as fast as answers come or at a rate; return what was measured."""
    loop = asyncio.get_running_loop()
    made = [request_of(body, port, token) for body in bodies]
    begins = time.perf_counter() + 0.1
    requests = (
        (begins + index / per_second if per_second else 0.0, each)
        for index, each in enumerate(made)
    )
    statuses: Counter[int] = Counter()
    taken: list[float] = []
    opened = []
    for _ in range(connections):
        _, connection = await loop.create_connection(
            lambda: Connection(requests, statuses, taken), "127.0.0.1", port
        )
        opened.append(connection)
    started = time.perf_counter()
    for connection in opened:
        connection.send_next()
    await asyncio.gather(*(connection.done for connection in opened))
    seconds = time.perf_counter() - started
    usage = resource.getrusage(resource.RUSAGE_SELF)
    taken.sort()
    return {
        "seconds": seconds,
        "statuses": dict(statuses),
        "repeats": sum(connection.repeats for connection in opened),
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "p50_ms": taken[len(taken) // 2] * 1e3,
        "p99_ms": taken[len(taken) * 99 // 100] * 1e3,
    }


def main() -> None:
    """Read the bodies, send them, print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--token", default="", help="who sends; by default nobody in particular")
    parser.add_argument(
        "--per-second", type=float, default=0, help="how many are due each second; 0: at once"
    )
    parser.add_argument("bodies", type=Path)
    arguments = parser.parse_args()
    bodies = arguments.bodies.read_bytes().splitlines()
    result = uvloop.run(
        load(arguments.port, arguments.connections, bodies, arguments.token, arguments.per_second)
    )
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
