"""The local sockets of a simulated machine, and processes that are stopped: as the real ones."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.support.sim_process import Process, run_processes
from tests.support.sim_sockets import LocalSockets
from typing_extensions import override

PATH = Path("/m/s")


class Said(asyncio.Protocol):
    """Keeps what it reads."""

    def __init__(self) -> None:
        self.read = b""
        self.transport: Any = None
        self.is_lost = False
        self.pauses: list[str] = []

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        self.read += data

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True

    @override
    def pause_writing(self) -> None:
        self.pauses.append("paused")

    @override
    def resume_writing(self) -> None:
        self.pauses.append("resumed")


class Pair:
    """Two processes with a connection."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - to be replayed
        self.sockets = LocalSockets(chance, Counter())
        self.near, self.far = self._process("near"), self._process("far")
        self.asking, self.answering = Said(), Said()

    def _process(self, name: str) -> Process:
        return Process(name, on_end=lambda each, _: self.sockets.leave(each), sockets=self.sockets)

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        listener: Any = self.sockets.listen(PATH, self.far)
        await self.far.start(loop.create_unix_server(lambda: self.answering, sock=listener))
        await self.near.start(loop.create_unix_connection(lambda: self.asking, str(PATH)))


def run(main: Callable[[Pair], Coroutine[Any, Any, None]], seed: int) -> None:
    async def world() -> None:
        pair = Pair(seed)
        await pair.connect()
        await main(pair)

    run_processes(world(), random.Random(seed))  # noqa: S311 - as above


@pytest.mark.parametrize("seed", range(5))
def test_what_is_written_arrives_in_order_both_ways(seed: int) -> None:
    async def main(pair: Pair) -> None:
        for number in range(20):
            pair.asking.transport.write(b"%d," % number)
        await asyncio.sleep(1.0)
        pair.answering.transport.write(b"heard")
        await asyncio.sleep(1.0)
        assert pair.answering.read == b"".join(b"%d," % number for number in range(20))
        assert pair.asking.read == b"heard"

    run(main, seed)


def test_a_writer_is_paused_until_what_it_wrote_is_read() -> None:
    async def main(pair: Pair) -> None:
        pair.far.stop()
        pair.asking.transport.write(bytes(100_000))
        await asyncio.sleep(1.0)
        assert (pair.asking.pauses, pair.answering.read) == (["paused"], b"")
        pair.far.wake()
        await asyncio.sleep(1.0)
        assert pair.asking.pauses == ["paused", "resumed"]
        assert len(pair.answering.read) == 100_000

    run(main, 1)


@pytest.mark.parametrize("seed", range(8))
def test_a_connection_that_is_lost_gives_a_beginning_of_what_was_written(seed: int) -> None:
    written = bytes(range(200))

    async def main(pair: Pair) -> None:
        pair.sockets.to_lose = 1
        while not pair.asking.is_lost:
            pair.asking.transport.write(written)
            await asyncio.sleep(0.001)
        await asyncio.sleep(1.0)
        assert pair.answering.is_lost
        assert (written * 100).startswith(pair.answering.read)

    run(main, seed)


def test_what_a_process_wrote_before_its_end_arrives_and_then_its_end() -> None:
    async def main(pair: Pair) -> None:
        pair.asking.transport.write(b"last words")
        pair.near.end("killed")
        pair.asking.transport.write(b"nothing")
        assert not pair.answering.is_lost
        await asyncio.sleep(1.0)
        assert (pair.answering.read, pair.answering.is_lost) == (b"last words", True)

    run(main, 1)


def test_nobody_connects_to_a_process_that_ended() -> None:
    async def main(pair: Pair) -> None:
        pair.far.end("killed")
        loop = asyncio.get_running_loop()
        connecting = pair.near.start(loop.create_unix_connection(Said, str(PATH)))
        with pytest.raises(ConnectionRefusedError):
            await connecting

    run(main, 1)


def test_nothing_of_a_stopped_process_runs_until_it_wakes() -> None:
    done: list[float] = []

    async def count() -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1.0)
            await loop.run_in_executor(None, lambda: done.append(loop.time()))

    async def main(pair: Pair) -> None:
        pair.near.start(count())
        await asyncio.sleep(2.5)
        assert len(done) == 2
        pair.near.stop()
        await asyncio.sleep(10.0)
        assert len(done) == 2
        pair.near.wake()
        await asyncio.sleep(0.5)
        assert len(done) == 3
        assert done[-1] >= 12.5

    run(main, 1)


def test_a_stopped_process_can_be_killed() -> None:
    left: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(1.0)
        finally:
            left.append("unwound")

    async def main(pair: Pair) -> None:
        waiting = pair.near.start(wait())
        pair.near.stop()
        await asyncio.sleep(5.0)
        pair.near.end("killed")
        await asyncio.wait([waiting])
        assert pair.near.has_ended

    run(main, 1)
    assert left == ["unwound"]
