"""What every body passes before it is read: the drain, its address, the logs, what is under way."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from fractal_lba.server.core.answer import Answer, ServerCode, problem
from fractal_lba.server.http.bytes_in_flight import BytesInFlight, Share
from fractal_lba.server.http.limits import Addresses, address_of
from fractal_lba.server.pipeline.intake import RETRY_AFTER_S
from fractal_lba.server.ports import Inbox, Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounded:
    """The bounds of what is under way."""

    body_timeout_s: float
    batch_timeout_s: float
    requests_in_flight_max: int
    in_flight_per_address_max: int
    left_open_max: int


class InFlight:
    """How many bodies are between their first byte and their answer."""

    def __init__(self) -> None:
        self.count = 0
        self._by_address: Counter[str] = Counter()
        self._empty = asyncio.Event()
        self._empty.set()

    @contextmanager
    def one_more(self, address: str) -> Iterator[None]:
        """Count one body of an address for as long as the block runs."""
        self.count += 1
        self._by_address[address] += 1
        self._empty.clear()
        try:
            yield
        finally:
            self.count -= 1
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
            if not self.count:
                self._empty.set()

    def of(self, address: str) -> int:
        """Return how many are of one address."""
        return self._by_address[address]

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
    shard: Shard
    addresses: Addresses
    bounds: Bounded
    bytes_in_flight: BytesInFlight
    is_draining: bool = False
    in_flight: InFlight = field(default_factory=InFlight)

    def refuse_early(self, request: web.Request) -> Answer | None:
        """Return the problem of a request that nobody looks at: in a drain, over its rate."""
        if self.is_draining:
            return problem(
                ServerCode.DRAINING,
                "server: expected to be open, got a stop",
                retry_after_s=RETRY_AFTER_S,
            )
        return self.addresses.admit(address_of(request.transport), time.monotonic_ns())

    def refuse_full(self, request: web.Request) -> Answer | None:
        """Return the problem of a body there is no place for: fenced logs, too many under way."""
        if fence := self.inbox.fenced_by or self.shard.fenced_by:
            return problem(ServerCode.STORAGE_UNAVAILABLE, fence, retry_after_s=RETRY_AFTER_S)
        if (
            self.in_flight.of(address_of(request.transport))
            >= self.bounds.in_flight_per_address_max
        ):
            return problem(
                ServerCode.RATE_LIMITED,
                "address: expected less in flight from it, got as much as one may have",
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
        return None

    @contextmanager
    def one_more(self, request: web.Request) -> Iterator[Share]:
        """Count one body as under way for as long as the block runs; give it its share of bytes."""
        address = address_of(request.transport)
        with self.in_flight.one_more(address), self.bytes_in_flight.share_of(address) as share:
            yield share
