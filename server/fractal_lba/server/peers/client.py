"""The way to another worker.

Requests that are given while others are written form the next message, and answers are matched by
number, so that nobody waits for anything but its own. While there is no connection nothing is
taken. What was under way when one ends has no known outcome: the body it came in stays open in the
inbox here and is settled again, which the first write makes a repeat.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, cast

import msgspec
from typing_extensions import override

from fractal_lba.protocol.errors import DurabilityError, UnavailableError
from fractal_lba.server.peers import failures, wire
from fractal_lba.server.peers.wire import Hello, Numbered, Request, Result
from fractal_lba.wal.group_commit import Bounds

_CONNECT_S: Final = 0.02
_CONNECT_MAX_S: Final = 0.1
"""Between two tries: the other worker is on this machine, and a try costs nothing."""
_HELLO_S: Final = 10.0
_SWEEPS: Final = 8
"""Looks at what is overdue, in the time that an answer may take."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerBounds:
    """What may be under way to one worker, and for how long.

    Attributes:
        requests_max: Requests without an answer; one that decides counts its records.
        bytes_max: Bytes of them, as they are sent.
        timeout_s: Until an answer must be there.
    """

    requests_max: int
    bytes_max: int
    timeout_s: float

    @classmethod
    def of(cls, bounds: Bounds, *, timeout_s: float) -> Self:
        """Return the bounds of what waits for a ledger: what another worker has may wait there."""
        return cls(
            requests_max=bounds.queue_items_max,
            bytes_max=bounds.queue_bytes_max,
            timeout_s=timeout_s,
        )


@dataclass(slots=True, eq=False)
class _UnderWay:
    future: asyncio.Future[Result]
    records: int
    size: int
    begun_s: float


class _Link(asyncio.Protocol):
    """One connection, from its hello to its end."""

    def __init__(self, peer: "Peer") -> None:
        self._peer = peer
        self._buffer = bytearray()
        self.transport: asyncio.Transport | None = None
        self.ended = asyncio.Event()
        self.is_paused = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            for message in wire.frames(self._buffer):
                self._peer.read(self, message)
        except (ValueError, msgspec.DecodeError) as error:
            # Of this machine and this user, and not understood: nothing of it is believed.
            self._peer.refuse(f"expected its messages, got {type(error).__name__}")
            self.abort()

    @override
    def pause_writing(self) -> None:
        self.is_paused = True

    @override
    def resume_writing(self) -> None:
        self.is_paused = False
        self._peer.flush()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.ended.set()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class Peer:
    """Another worker.

    Args:
        path: Its socket.
        worker: Its number.
        hello: What this one says of itself.
        bounds: Of what is under way.
    """

    def __init__(self, path: Path, worker: int, *, hello: Hello, bounds: PeerBounds) -> None:
        self.worker = worker
        self._path = path
        self._hello = hello
        self._bounds = bounds
        self._link: _Link | None = None
        self._is_open = asyncio.Event()
        self._refusal: str | None = None
        self._number = 0
        self._under_way: dict[int, _UnderWay] = {}
        self._records = 0
        self._bytes = 0
        self._queue: deque[bytes] = deque()
        self._is_flush_due = False
        self._states: dict[str, wire.ShardState] = {}

    @property
    def records_max(self) -> int:
        """How many records can be under way."""
        return self._bounds.requests_max

    @property
    def down(self) -> str | None:
        """Why nothing can be asked now, or ``None``."""
        if self._is_open.is_set():
            return None
        why = self._refusal or "got no connection to it"
        return f"worker {self.worker}: expected it to answer, {why}"

    def state(self, shard: str) -> wire.ShardState | None:
        """Return how a shard of it is, as it said last."""
        return self._states.get(shard)

    async def opened(self) -> None:
        """Return once something can be asked."""
        await self._is_open.wait()

    async def run(self) -> None:
        """Keep a connection until cancelled."""
        wait_s = _CONNECT_S
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    _, link = await loop.create_unix_connection(
                        lambda: _Link(self), str(self._path)
                    )
                except OSError:
                    pass  # it is starting, or it died; the supervisor knows
                else:
                    if await self._converse(link):
                        wait_s = _CONNECT_S
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _CONNECT_MAX_S)
        finally:
            self._lose()

    async def ask(self, shard: str, request: Request) -> Result:
        """Return the answer to a request, or raise what was raised for it there.

        It is on its way before anything is awaited.

        Raises:
            UnavailableError: Too much is under way; nothing was asked.
            DurabilityError: There is no connection, or it ended before the answer, or that took too
                long; what was asked for may have been done.
        """
        if self.down is not None:
            raise DurabilityError(f"{shard}: {self.down}")
        self._number += 1
        data = wire.encoded(Numbered(self._number, shard, request))
        records = wire.records_of(request)
        if (
            self._records + records > self._bounds.requests_max
            or self._bytes + len(data) > self._bounds.bytes_max
        ):
            raise UnavailableError(
                f"worker {self.worker}: expected at most {self._bounds.requests_max} requests and"
                f" {self._bounds.bytes_max} bytes under way to it, got one more"
            )
        loop = asyncio.get_running_loop()
        under_way = _UnderWay(loop.create_future(), records, len(data), loop.time())
        self._under_way[self._number] = under_way
        self._records += records
        self._bytes += len(data)
        self._put(data)
        result = await under_way.future
        if isinstance(result, wire.Raised):
            raise failures.error_of(result, worker=self.worker)
        return result

    def tell(self, shard: str, request: Request) -> None:
        """Send what nobody answers, behind what was asked; without a connection it is nobody's.

        It is not bounded here: each ends something that was asked.
        """
        if self.down is None:
            self._number += 1
            self._put(wire.encoded(Numbered(self._number, shard, request)))

    def _put(self, data: bytes) -> None:
        self._queue.append(data)
        if not self._is_flush_due:
            self._is_flush_due = True
            # What is asked for in this turn of the loop goes in one message.
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Write what waits, unless what was written before is not taken yet."""
        self._is_flush_due = False
        link = self._link
        while self._queue and link is not None and link.transport and not link.is_paused:
            link.transport.write(wire.asked_of(self._queue, wire.MESSAGE_BYTES_MAX))

    def read(self, link: _Link, message: bytes) -> None:
        """Take a message of the other end.

        Raises:
            ValueError: It is none, or its first says that it is another worker's.
        """
        if self._link is not link:
            self._greet(link, wire.read_hello(message))
            return
        told = wire.read_told(message)
        for reply in told.replies:
            if (done := self._forget(reply.number)) is not None:
                done.future.set_result(reply.result)
        if told.states is not None:
            self._states = {state.shard: state for state in told.states}
            self._is_open.set()

    def refuse(self, why: str) -> None:
        """Say why this worker is not spoken with."""
        if why != self._refusal:
            _log.error("peer refused", extra={"peer": self.worker, "error": why})
        self._refusal = why

    def _greet(self, link: _Link, theirs: Hello) -> None:
        ours = self._hello
        if theirs.format != ours.format:
            why = f"expected messages of format {ours.format}, got {theirs.format}"
        elif (theirs.data_id, theirs.worker, theirs.workers) != (
            ours.data_id,
            self.worker,
            ours.workers,
        ):
            why = "expected that worker of this data folder, got another"
        else:
            self._refusal = None
            self._link = link
            return
        self.refuse(why)
        link.abort()

    async def _converse(self, link: _Link) -> bool:
        """Keep a connection until it ends; tell whether anything could be asked."""
        assert link.transport is not None  # noqa: S101 - it was just made
        link.transport.write(wire.frame(self._hello))
        try:
            try:
                async with asyncio.timeout(_HELLO_S):
                    opening = asyncio.ensure_future(self._is_open.wait())
                    ending = asyncio.ensure_future(link.ended.wait())
                    await asyncio.wait((opening, ending), return_when=asyncio.FIRST_COMPLETED)
                    opening.cancel()
                    ending.cancel()
            except TimeoutError:
                return False
            was_open = self._is_open.is_set()
            if was_open:
                _log.info("peer connected", extra={"peer": self.worker})
            while not link.ended.is_set():
                try:
                    async with asyncio.timeout(self._bounds.timeout_s / _SWEEPS):
                        await link.ended.wait()
                except TimeoutError:
                    self._sweep()
            if was_open:
                _log.warning("peer lost", extra={"peer": self.worker})
            return was_open
        finally:
            link.abort()
            self._lose()

    def _sweep(self) -> None:
        """End the wait for what has taken too long; they are in the order of their begin."""
        overdue_s = asyncio.get_running_loop().time() - self._bounds.timeout_s
        late = []
        for number, each in self._under_way.items():
            if each.begun_s > overdue_s:
                break
            late.append(number)
        for number in late:
            if (done := self._forget(number)) is not None:
                done.future.set_exception(
                    DurabilityError(
                        f"worker {self.worker}: expected an answer within"
                        f" {self._bounds.timeout_s:g} s, got none"
                    )
                )

    def _forget(self, number: int) -> _UnderWay | None:
        """Take a request off; return it where somebody still waits for it."""
        done = self._under_way.pop(number, None)
        if done is None:
            return None
        self._records -= done.records
        self._bytes -= done.size
        return None if done.future.done() else done

    def _lose(self) -> None:
        """Fail what was under way: its outcome is unknown."""
        self._is_open.clear()
        self._link = None
        self._queue.clear()
        self._states = {}
        for number in tuple(self._under_way):
            if (done := self._forget(number)) is not None:
                done.future.set_exception(
                    DurabilityError(
                        f"worker {self.worker}: expected an answer, got the end of the connection"
                    )
                )
