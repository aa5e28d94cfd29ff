"""What the other workers ask of this one's shards."""

import asyncio
import logging
import socket
from collections.abc import Mapping, Sequence
from typing import Final, cast

import msgspec
from typing_extensions import override

from fractal_lba.protocol.errors import DurabilityError, FractalError, UnavailableError
from fractal_lba.server.charging import Quotas
from fractal_lba.server.core.known import NotResolved
from fractal_lba.server.core.run import End
from fractal_lba.server.peers import failures, wire
from fractal_lba.server.peers.reservations import Reservations
from fractal_lba.server.peers.wire import Hello, Numbered, Request, Result, ShardState
from fractal_lba.server.ports import Decisions

_LOOK_S: Final = 0.1
"""How often it is looked whether a shard was fenced or opened again, to be told to the others."""

_log = logging.getLogger(__name__)


class PeerServer:
    """Answers the other workers.

    Args:
        shards: Those this worker decides for, by name.
        hello: What it says of itself.
        quotas: Of the tenants whose own shard is one of them.
        requests_max: Under way for one other worker, of those to decide each record; over it the
            answer is that there are too many.
    """

    def __init__(
        self,
        shards: Mapping[str, Decisions],
        *,
        hello: Hello,
        quotas: Quotas,
        requests_max: int,
    ) -> None:
        self.shards = shards
        self.quotas = quotas
        self.hello = hello
        self.requests_max = requests_max
        self._links: dict[_Link, int] = {}
        self._is_met = asyncio.Event()
        self._states: list[ShardState] = []

    async def run(self, listener: socket.socket) -> None:
        """Answer until cancelled; what is under way then ends without an answer."""
        loop = asyncio.get_running_loop()
        self._states = self.states()
        server = await loop.create_unix_server(lambda: _Link(self), sock=listener)
        try:
            while True:
                await asyncio.sleep(_LOOK_S)
                states = self.states()
                if states != self._states:
                    self._states = states
                    for link in self._links:
                        link.tell_states(states)
        finally:
            server.close()
            for link in tuple(self._links):
                link.abort()

    def states(self) -> list[ShardState]:
        """Return how the shards are."""
        return [
            ShardState(name, decisions.fences, decisions.losses)
            for name, decisions in self.shards.items()
        ]

    async def met(self) -> None:
        """Return once every other worker has come."""
        await self._is_met.wait()

    def enter(self, link: "_Link", worker: int) -> None:
        """Count the connection of another worker, which is told how the shards are."""
        self._links[link] = worker
        if len(set(self._links.values())) >= self.hello.workers - 1:
            self._is_met.set()

    def leave(self, link: "_Link") -> None:
        """Count one less."""
        self._links.pop(link, None)

    async def answer(self, asked: Numbered, reservations: Reservations) -> Result:
        """Return the end of a request; what it reserves is its connection's."""
        decisions = self.shards.get(asked.shard)
        if decisions is None:
            return failures.raised(
                DurabilityError(
                    f"worker {self.hello.worker}: expected a shard of it, got {asked.shard}"
                )
            )
        try:
            if isinstance(asked.request, wire.Reserve):
                return await reservations.reserve(asked.request)
            return await _answer(decisions, asked.request)
        except FractalError as error:
            return failures.raised(error)
        except Exception as error:  # noqa: BLE001 - logged; the one that asked is told of a bug
            _log.exception("a request of another worker met a bug")
            return failures.raised(error)


async def _answer(decisions: Decisions, request: Request) -> Result:  # noqa: PLR0911 - one for each kind
    match request:
        case wire.Decide():
            return _decided(await decisions.decide(request.run))
        case wire.GetKnown():
            return wire.KnownIs(await decisions.known(request.key))
        case wire.GetEntry():
            return wire.EntryIs(await decisions.entry(request.key, request.place))
        case wire.ListRecords():
            page = await decisions.list_records(
                request.tenant, request.query, request.after, records_max=request.records_max
            )
            return wire.Listing(page.items, None if page.next is None else dict(page.next))
        case wire.Resolve():
            resolved = await decisions.append_resolution(
                request.key, note=request.note, who=request.who
            )
            if isinstance(resolved, NotResolved):
                return wire.NotAppended(resolved)
            return wire.KnownIs(resolved)
        case wire.GetUsage():
            return wire.UsageIs(await decisions.usage(request.tenant, request.day))
        case wire.Reserve() | wire.Settle():
            raise AssertionError("expected a shard's request, got one of its connection")


def _decided(ends: Sequence[End]) -> wire.Decided:
    return wire.Decided(
        [None if isinstance(end, Exception) else end for end in ends],
        {at: _failed(end) for at, end in enumerate(ends) if isinstance(end, Exception)},
    )


def _failed(error: Exception) -> wire.Raised:
    if not isinstance(error, FractalError):
        _log.error("a record of another worker met a bug", exc_info=error)
    return failures.raised(error)


class _Link(asyncio.Protocol):
    """The connection of one other worker."""

    def __init__(self, server: PeerServer) -> None:
        self._server = server
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._is_greeted = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._records = 0
        self._replies: list[bytes] = []
        self._reservations = Reservations(server.quotas)

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(wire.frame(self._server.hello))

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            for message in wire.frames(self._buffer):
                self._read(message)
        except (ValueError, msgspec.DecodeError) as error:
            _log.error("peer refused", extra={"error": type(error).__name__})
            self.abort()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._reservations.close()
        self._server.leave(self)

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def tell_states(self, states: list[ShardState]) -> None:
        """Say how the shards are."""
        if self._transport is not None:
            self._transport.write(wire.frame(wire.Told([], states)))

    def _read(self, message: bytes) -> None:
        if not self._is_greeted:
            theirs, ours = wire.read_hello(message), self._server.hello
            if (theirs.format, theirs.data_id, theirs.workers) != (
                ours.format,
                ours.data_id,
                ours.workers,
            ):
                self.abort()  # it was told who this is, and says so in its own log
                return
            self._is_greeted = True
            self._server.enter(self, theirs.worker)
            self.tell_states(self._server.states())
            return
        for asked in wire.read_asked(message).requests:
            if isinstance(asked.request, wire.Settle):
                self._reservations.settle(asked.request)
                continue
            records = wire.records_of(asked.request)
            if self._records + records > self._server.requests_max:
                over = UnavailableError(
                    f"worker {self._server.hello.worker}: expected at most"
                    f" {self._server.requests_max} requests under way, got one more"
                )
                self._reply(asked.number, failures.raised(over))
                continue
            if isinstance(asked.request, wire.Reserve):
                self._reservations.expect(asked.request)
            # Tasks begin in the order in which they are made: of two records with one id the first
            # to be asked for is the first.
            self._records += records
            task = asyncio.get_running_loop().create_task(self._handle(asked, records))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _handle(self, asked: Numbered, records: int) -> None:
        try:
            result = await self._server.answer(asked, self._reservations)
        finally:
            self._records -= records
        self._reply(asked.number, result)

    def _reply(self, number: int, result: Result) -> None:
        if not self._replies:
            # What one commit decides is told in one message.
            asyncio.get_running_loop().call_soon(self._flush)
        self._replies.append(wire.encoded(wire.Replied(number, result)))

    def _flush(self) -> None:
        replies, self._replies = self._replies, []
        if self._transport is None:
            return  # nobody is there to be told; what was decided stays decided
        for message in wire.told_of(replies, wire.MESSAGE_BYTES_MAX):
            self._transport.write(message)
