"""Bytes in flight: what all bodies between their first byte and their answer hold of memory."""

from collections import Counter
from dataclasses import dataclass, field

from fractal_lba.server.core.answer import Answer, ServerCode, problem
from fractal_lba.server.http.lanes import UNIDENTIFIED, named

RETRY_AFTER_S = 1.0
"""A batch is decided within about a second: then there is room again."""


@dataclass(slots=True)
class BytesInFlight:
    """The bytes of bodies, in all, from each address and of each owner (see ``lanes``).

    A count of requests alone bounds no memory: a batch holds as much as 256 records.
    """

    total_max: int
    per_address_max: int
    per_tenant_max: int
    unidentified_max: int
    total: int = 0
    by_address: Counter[str] = field(default_factory=Counter)
    by_owner: Counter[str] = field(default_factory=Counter)

    def share_of(self, address: str, owner: str) -> "Share":
        """Give one request a share of its own, which it must end."""
        return Share(self, address, owner)

    def owner_max(self, owner: str) -> int:
        """Return what one owner may have."""
        return self.unidentified_max if owner == UNIDENTIFIED else self.per_tenant_max


@dataclass(slots=True)
class Share:
    """What one request holds."""

    of: BytesInFlight
    address: str
    owner: str
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
        if whole.by_owner[self.owner] + size > whole.owner_max(self.owner):
            return problem(
                ServerCode.RATE_LIMITED,
                f"{named(self.owner)}: expected fewer bytes in flight, got as many as it may have",
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
        whole.by_owner[self.owner] += size
        return None

    def end(self) -> None:
        """Give back what was taken."""
        whole = self.of
        whole.total -= self.size
        for counter, name in ((whole.by_address, self.address), (whole.by_owner, self.owner)):
            counter[name] -= self.size
            if not counter[name]:
                del counter[name]
