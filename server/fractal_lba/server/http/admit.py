"""What every body passes before it is read: the drain, its address, the logs, what is under way."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

from aiohttp import web

from fractal_lba.protocol.keyring import Keyring, Scope
from fractal_lba.server.core.answer import Answer, ServerCode, problem
from fractal_lba.server.http.bytes_in_flight import BytesInFlight, Share
from fractal_lba.server.http.caller import Caller
from fractal_lba.server.http.identity import allow, caller_address, identify
from fractal_lba.server.http.lanes import UNIDENTIFIED, Charged, Unidentified
from fractal_lba.server.http.limits import Addresses, ByteCount
from fractal_lba.server.http.refusals import Refusals
from fractal_lba.server.http.respond import response
from fractal_lba.server.http.shares import Shares
from fractal_lba.server.pipeline.settled import RETRY_AFTER_S
from fractal_lba.server.ports import Decisions, Inbox, Meter, Room

RETRY_AFTER_FULL_S = 30.0
"""What a 503 asks for when the disk is full: room comes by an operator's hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounded:
    """The bounds of what is under way."""

    body_timeout_s: float
    batch_timeout_s: float
    requests_in_flight_max: int
    in_flight_per_address_max: int
    in_flight_per_tenant_max: int
    left_open_max: int


class InFlight:
    """How many bodies are between their first byte and their answer."""

    def __init__(self) -> None:
        self.count = 0
        self._by_address: Counter[str] = Counter()
        self._by_owner: Counter[str] = Counter()
        self._empty = asyncio.Event()
        self._empty.set()

    def begin(self, address: str, owner: str) -> None:
        """Count one body of an address and an owner."""
        self.count += 1
        self._by_address[address] += 1
        self._by_owner[owner] += 1
        self._empty.clear()

    def end(self, address: str, owner: str) -> None:
        """Count it no longer."""
        self.count -= 1
        for counter, name in ((self._by_address, address), (self._by_owner, owner)):
            counter[name] -= 1
            if not counter[name]:
                del counter[name]
        if not self.count:
            self._empty.set()

    def of_address(self, address: str) -> int:
        """Return how many are of one address."""
        return self._by_address[address]

    def of_owner(self, owner: str) -> int:
        """Return how many are of one tenant, or of all unidentified callers."""
        return self._by_owner[owner]

    async def empty(self) -> None:
        """Return when there are none."""
        await self._empty.wait()


@dataclass(slots=True, kw_only=True)
class Admission:
    """Who may send a body now.

    Attributes:
        is_draining: Set once on SIGTERM; nothing new is logged afterwards.
    """

    inbox: Inbox
    decisions: Decisions
    room: Room
    addresses: Addresses
    bounds: Bounded
    bytes_in_flight: BytesInFlight
    lane: Unidentified
    meter: Meter
    shares: Shares
    refusals: Refusals
    is_draining: bool = False
    in_flight: InFlight = field(default_factory=InFlight)

    def drain(self) -> None:
        """Take nothing more."""
        self.is_draining = True
        self.refusals.end()

    async def let_in(
        self,
        request: web.Request,
        keyring: Keyring,
        *,
        unsupported: Answer | None,
        is_batch: bool = False,
    ) -> Caller | web.Response | None:
        """Return who sends a body, ``None`` for nobody known, or the response where it is not read.

        Args:
            request: Its body is not read here.
            keyring: Who is known.
            unsupported: The problem of the body's kind, where it is none that the call takes.
            is_batch: Whether it holds many records.
        """
        refusal = self.refuse_early(request) or unsupported
        if refusal is not None:
            return await self._refused(refusal, None)
        caller = identify(request, keyring)
        if isinstance(caller, Answer):
            return await self._refused(caller, None)
        refusal = None if caller is None else allow(caller, Scope.SUBMIT)
        refusal = refusal or self.refuse_full(request, caller, is_batch=is_batch)
        if refusal is not None:
            return await self._refused(refusal, caller)
        return caller

    async def _refused(self, answer: Answer, caller: Caller | None) -> web.Response:
        """Return the response of a body that is not read, at the pace of refusals."""
        answered = response(answer)
        if not self.is_draining and not await self.refusals.pace(owner_of(caller)):
            answered.force_close()
        return answered

    def refuse_early(self, request: web.Request) -> Answer | None:
        """Return the problem of a request that nobody looks at: in a drain, over its rate."""
        if self.is_draining:
            return problem(
                ServerCode.DRAINING,
                "server: expected to be open, got a stop",
                retry_after_s=RETRY_AFTER_S,
            )
        return self.addresses.admit(caller_address(request), time.monotonic_ns())

    def refuse_full(
        self, request: web.Request, caller: Caller | None, *, is_batch: bool = False
    ) -> Answer | None:
        """Return the problem of a body there is no place for: fenced logs, too many under way.

        ``caller`` is who was identified. What nobody knows is asked for its lane's rate last.
        """
        if (unavailable := self._refuse_unstorable()) is not None:
            return unavailable
        if (
            self.in_flight.of_address(caller_address(request))
            >= self.bounds.in_flight_per_address_max
        ):
            return problem(
                ServerCode.RATE_LIMITED,
                "address: expected less in flight from it, got as much as one may have",
                retry_after_s=RETRY_AFTER_S,
            )
        if (
            caller is not None
            and self.in_flight.of_owner(caller.tenant) >= self.bounds.in_flight_per_tenant_max
        ):
            return problem(
                ServerCode.RATE_LIMITED,
                "tenant: expected less in flight of it, got as much as one may have",
                retry_after_s=RETRY_AFTER_S,
            )
        if (
            self.in_flight.count >= self.bounds.requests_in_flight_max
            or self.inbox.left_open_count >= self.bounds.left_open_max
        ):
            return problem(
                ServerCode.OVERLOADED,
                "server: expected less in flight or left open, got as much as it holds",
                retry_after_s=RETRY_AFTER_S,
            )
        if caller is not None:
            return None
        refusal = self.lane.refuse(self.in_flight.of_owner(UNIDENTIFIED), is_batch=is_batch)
        if refusal is not None:
            self.meter.unidentified_refused()
        return refusal

    def _refuse_unstorable(self) -> Answer | None:
        """Return the problem of a body that could not be logged or decided, or has no room."""
        if fence := self.inbox.fenced_by or self.decisions.fenced_by:
            return problem(ServerCode.STORAGE_UNAVAILABLE, fence, retry_after_s=RETRY_AFTER_S)
        if full := self.room.full:
            return problem(ServerCode.STORAGE_UNAVAILABLE, full, retry_after_s=RETRY_AFTER_FULL_S)
        return None

    def one_more(
        self, request: web.Request, caller: Caller | None, *, is_batch: bool = False
    ) -> "UnderWay":
        """Return what counts one body as under way for as long as a block runs."""
        share = self.bytes_in_flight.share_of(caller_address(request), owner_of(caller))
        return UnderWay(self.in_flight, share, None if caller is not None else self.lane, is_batch)


@dataclass(slots=True)
class UnderWay:
    """One body between its first byte and its answer; the block is given its share of bytes."""

    in_flight: InFlight
    share: Share
    lane: Unidentified | None
    is_batch: bool

    def __enter__(self) -> ByteCount:
        """Count it."""
        self.in_flight.begin(self.share.address, self.share.owner)
        if self.lane is None:
            return self.share
        self.lane.begin(is_batch=self.is_batch)
        return Charged(self.share, self.lane)

    def __exit__(self, *_: object) -> None:
        """Count it no longer, and give back what it took."""
        if self.lane is not None:
            self.lane.end(is_batch=self.is_batch)
        self.share.end()
        self.in_flight.end(self.share.address, self.share.owner)


def owner_of(caller: Caller | None) -> str:
    """Return whose a caller's bodies are: a tenant's, or the unidentified callers'."""
    return UNIDENTIFIED if caller is None else caller.tenant
