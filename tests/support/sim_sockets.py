"""The local sockets of a simulated machine: streams of bytes between two of its processes.

What is written arrives in its order, in pieces of any length, after a time of the seed's choosing,
which troubles make longer than anybody waits. A connection can be lost at any byte of what is under
way. What a process wrote before its end arrives, and then its end; one that is stopped is connected
to and written to until its buffer is full, and reads when it wakes.
"""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable
from contextvars import Context
from pathlib import Path
from typing import Any, Final

from tests.support.sim_process import Process
from typing_extensions import override

_PASSES_S: Final = 0.002
_SLOW_S: Final = 4.0
"""What one piece may take while there is trouble: more than any worker waits for another one's
answer."""
_SPLIT: Final = 0.2
_LOST: Final = 0.5
_LOST_S: Final = 0.05
"""After a message: some are answered by then, of some the answer is under way."""
_BUFFER_BYTES: Final = 6_000
"""Under way in one direction before the writer is asked to pause: some records."""


class Listener:
    """A socket that others connect to, once somebody accepts from it."""

    def __init__(self, sockets: "LocalSockets", process: Process) -> None:
        self.process: Final = process
        self.factory: Callable[[], Any] | None = None
        self._sockets = sockets

    def begin(self, factory: Callable[[], Any]) -> None:
        self.factory = factory

    def close(self) -> None:
        self.factory = None


class LocalSockets:
    """All of one machine.

    Args:
        chance: Decides how long each piece takes, and where a connection is lost.
        happened: Counts what came to something.

    Attributes:
        is_slow: Pieces may take seconds.
        to_lose: So many connections are lost soon after something is written to them.
    """

    def __init__(self, chance: random.Random, happened: Counter[str]) -> None:
        self.is_slow = False
        self.to_lose = 0
        self.chance: Final = chance
        self.happened: Final = happened
        self._listeners: dict[str, Listener] = {}
        self._ends: list[_End] = []

    def listen(self, path: Path, process: Process) -> Listener:
        """Give a name to a socket; one that a predecessor left is replaced."""
        listener = self._listeners[str(path)] = Listener(self, process)
        return listener

    async def connect(
        self, process: Process, path: str, factory: Callable[[], Any]
    ) -> tuple["_End", Any]:
        """Return a connection, as ``create_unix_connection`` does."""
        listener = self._listeners.get(path)
        if listener is None or listener.factory is None or listener.process.has_ended:
            raise ConnectionRefusedError
        near, far = _End(self, process), _End(self, listener.process)
        near.other, far.other = far, near
        self._ends += (near, far)
        near.open(factory())
        loop = asyncio.get_running_loop()
        # It waits to be accepted; what is written to it meanwhile is there then.
        loop.call_soon(listener.process.call, far.accept, listener.factory, context=Context())
        return near, near.protocol

    def calm(self) -> None:
        """Have no more trouble."""
        self.is_slow = False
        self.to_lose = 0

    def leave(self, process: Process) -> None:
        """Close what a process that ended had open."""
        for end in list(self._ends):
            if end.process is process:
                end.vanish()

    def forget(self, end: "_End") -> None:
        if end in self._ends:
            self._ends.remove(end)

    def takes_s(self) -> float:
        if self.is_slow:
            return self.chance.uniform(0.0, _SLOW_S)
        return self.chance.random() * _PASSES_S


class _End(asyncio.Transport):
    """One end of a connection, and what it wrote that the other end has not read yet."""

    def __init__(self, sockets: LocalSockets, process: Process) -> None:
        super().__init__()
        self.process: Final = process
        self.other: _End
        self.protocol: Any = None
        self._sockets = sockets
        self._is_open = True
        self._is_paused = False
        self._under_way: deque[bytes | None] = deque()
        """``None`` is the end."""
        self._bytes = 0
        self._last_s = 0.0

    def open(self, protocol: Any) -> None:  # noqa: ANN401 - any protocol
        self.protocol = protocol
        protocol.connection_made(self)

    def accept(self, factory: Callable[[], Any]) -> None:
        if self._is_open:
            self.open(factory())

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._is_open or self.process.has_ended:
            return
        data = bytes(data)
        at = len(data)
        if self._sockets.chance.random() < _SPLIT:
            at = self._sockets.chance.randrange(1, len(data))
        for piece in (data[:at], data[at:]):
            if piece:
                self._send(piece)
        if self._sockets.to_lose and self._sockets.chance.random() < _LOST:
            self._sockets.to_lose -= 1
            loses_s = self._sockets.chance.uniform(0.0, _LOST_S)
            asyncio.get_running_loop().call_later(loses_s, self._lose, context=Context())
        if self._bytes > _BUFFER_BYTES and not self._is_paused:
            self._is_paused = True
            self._sockets.happened["peers: writer paused"] += 1
            self.protocol.pause_writing()

    @override
    def is_closing(self) -> bool:
        return not self._is_open

    @override
    def abort(self) -> None:
        """End the connection; what is under way may be lost, from any byte on."""
        if not self._is_open or self.process.has_ended:
            return
        self.cut(self._lost)

    def cut(self, told: Callable[[], None] | None = None) -> None:
        """Lose the connection here, from any byte on of what this end wrote."""
        if not self._is_open:
            return
        whole = b"".join(each for each in self._under_way if each is not None)
        kept = self._sockets.chance.randint(0, len(whole))
        if kept < len(whole):
            self._sockets.happened["peers: bytes lost"] += 1
        while whole and self._bytes > kept and self._under_way:
            piece = self._under_way.pop()
            assert piece is not None
            self._bytes -= len(piece)
            if self._bytes < kept:
                self._under_way.append(piece[: kept - self._bytes])
                self._bytes = kept
        self._close()
        asyncio.get_running_loop().call_soon(
            self.process.call, told or self._lost, context=Context()
        )

    def _lose(self) -> None:
        if self._is_open:
            self._sockets.happened["peers: connection lost"] += 1
            for each in (self, self.other):
                each.cut()

    def vanish(self) -> None:
        """End with the process: what it wrote arrives all the same."""
        if self._is_open:
            self._close()

    def _close(self) -> None:
        self._is_open = False
        self._sockets.forget(self)
        self._send(None)

    def _send(self, piece: bytes | None) -> None:
        loop = asyncio.get_running_loop()
        self._last_s = max(self._last_s, loop.time() + self._sockets.takes_s())
        self._under_way.append(piece)
        self._bytes += 0 if piece is None else len(piece)
        loop.call_at(self._last_s, self._deliver, context=Context())

    def _deliver(self) -> None:
        """Let the other process read what is next; there is nothing where it was lost."""
        self.other.process.call(self.other.read)

    def read(self) -> None:
        """Take what is next from the other end."""
        wrote = self.other._under_way
        if not wrote or (self.protocol is None and self._is_open):
            return
        piece = wrote.popleft()
        if piece is None:
            if self._is_open:
                self._close()
                self._lost()
            return
        self.other._bytes -= len(piece)
        self.other._resume()
        if self._is_open:
            self.protocol.data_received(piece)

    def _resume(self) -> None:
        if self._is_paused and not self._bytes:
            self._is_paused = False
            asyncio.get_running_loop().call_soon(
                self.process.call, self._resumed, context=Context()
            )

    def _resumed(self) -> None:
        if self._is_open:
            self.protocol.resume_writing()

    def _lost(self) -> None:
        if self.protocol is not None:
            self.protocol.connection_lost(None)
