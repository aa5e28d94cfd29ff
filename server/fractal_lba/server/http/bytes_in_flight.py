"""Bytes in flight: what all bodies between their first byte and their answer hold of memory."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from fractal_lba.server.core.answer import Answer, ServerCode, problem

RETRY_AFTER_S = 1.0
"""A batch is decided within about a second: then there is room again."""


@dataclass(slots=True)
class BytesInFlight:
    """The bytes of bodies, in all and from each address.

    A count of requests alone bounds no memory: a batch holds as much as 256 records.
    """

    total_max: int
    per_address_max: int
    total: int = 0
    by_address: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def share_of(self, address: str) -> Iterator["Share"]:
        """Give one request a share of its own; what it took is given back when the block ends."""
        share = Share(self, address)
        try:
            yield share
        finally:
            self.total -= share.size
            self.by_address[address] -= share.size
            if not self.by_address[address]:
                del self.by_address[address]


@dataclass(slots=True)
class Share:
    """What one request holds."""

    of: BytesInFlight
    address: str
    size: int = 0

    def take(self, size: int) -> Answer | None:
        """Count so many bytes more; return the problem where there is no room for them."""
        whole = self.of
        if whole.by_address[self.address] + size > whole.per_address_max:
            return problem(
                ServerCode.RATE_LIMITED,
                "address: expected fewer bytes in flight from it, got as many as one may have",
                retry_after_s=RETRY_AFTER_S,
            )
        if whole.total + size > whole.total_max:
            return problem(
                ServerCode.OVERLOADED,
                "server: expected fewer bytes in flight, got as many as it holds",
                retry_after_s=RETRY_AFTER_S,
            )
        self.size += size
        whole.total += size
        whole.by_address[self.address] += size
        return None
