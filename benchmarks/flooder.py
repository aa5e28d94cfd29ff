"""The flood, a process of its own: sends the bodies of a file round and round until SIGTERM.

One request at a time on each connection, as fast as answers come, each connection from an address
of its own; a connection that is closed is opened again. ``Retry-After`` is not heeded. Prints one
JSON object at the end: answers for each status, and connections that failed.
"""

import argparse
import asyncio
import itertools
import json
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import uvloop
from benchmarks.load import request_of

ADDRESSES_MAX = 250


async def attack(port: int, source: str, requests: Iterator[bytes], seen: Counter[str]) -> None:
    """Send on one connection after another, for ever."""
    while True:
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, local_addr=(source, 0)
            )
        except OSError:
            seen["failed"] += 1
            await asyncio.sleep(0.01)
            continue
        try:
            while True:
                writer.write(next(requests))
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                start = head.index(b"content-length:") + len(b"content-length:")
                await reader.readexactly(int(head[start:].split(b"\r\n", 1)[0]))
                seen[head[9:12].decode()] += 1
        except (OSError, asyncio.IncompleteReadError):
            seen["failed"] += 1
        finally:
            writer.close()


async def flood(port: int, connections: int, bodies: list[bytes], token: str) -> dict[str, int]:
    """Send until SIGTERM and return what came back."""
    requests = itertools.cycle([request_of(body, port, token) for body in bodies])
    seen: Counter[str] = Counter()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    attacks = [
        asyncio.create_task(attack(port, f"127.0.1.{1 + n % ADDRESSES_MAX}", requests, seen))
        for n in range(connections)
    ]
    sys.stdout.write("flooding\n")
    sys.stdout.flush()
    await stopped.wait()
    for each in attacks:
        each.cancel()
    return dict(seen)


def main() -> None:
    """Read the bodies, flood, print what came back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--token", default="", help="who floods; by default nobody in particular")
    parser.add_argument("bodies", type=Path)
    arguments = parser.parse_args()
    bodies = arguments.bodies.read_bytes().splitlines()
    result = uvloop.run(flood(arguments.port, arguments.connections, bodies, arguments.token))
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
