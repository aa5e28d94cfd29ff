"""The lane that callers nobody knows share: what all of them together may ask of the server.

An identified caller never waits for them: tenants have places, bytes in flight and a verification
thread of their own. Nothing here looks into a body.
"""

from dataclasses import dataclass

from fractal_lba.server.core import admission
from fractal_lba.server.core.admission import Rate
from fractal_lba.server.core.answer import Answer, ServerCode, problem
from fractal_lba.server.http.limits import ByteCount
from fractal_lba.server.ports import Clock

UNIDENTIFIED = ""
"""Stands for all callers nobody knows where others have the name of their tenant."""

_RETRY_AFTER_S = 1.0
_CALLERS = "callers without an identity"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneBounds:
    """What all unidentified callers together may have; a rate of 0 is no limit."""

    in_flight_max: int
    batches_max: int
    records: Rate
    bytes: Rate


class Unidentified:
    """The lane of callers nobody knows.

    A body is let in while nothing is owed, and charged as it turns out: its bytes as they come, the
    lines of a batch when they are counted. What that is over the rates must be earned before the
    next body is let in, so that a batch is no way around them.

    Args:
        bounds: Of all of them together.
        monotonic: Nanoseconds of a clock that no one sets.
    """

    def __init__(self, bounds: LaneBounds, *, monotonic: Clock) -> None:
        self._bounds = bounds
        self._monotonic = monotonic
        now_ns = monotonic()
        self._records = admission.full(bounds.records, now_ns)
        self._bytes = admission.full(bounds.bytes, now_ns)
        self._batches = 0

    def refuse(self, in_flight: int, *, is_batch: bool) -> Answer | None:
        """Return the 429 of a body there is no place or no rate for, or take one of the rate."""
        bounds = self._bounds
        if in_flight >= bounds.in_flight_max:
            return _refused("fewer bodies in flight", _RETRY_AFTER_S)
        if is_batch and self._batches >= bounds.batches_max:
            return _refused("fewer batches in flight", _RETRY_AFTER_S)
        now_ns = self._monotonic()
        self._bytes, wait_s = admission.take(self._bytes, bounds.bytes, now_ns, wanted=0)
        if wait_s:
            return _refused(f"at most {bounds.bytes.per_s:g} bytes a second", wait_s)
        self._records, wait_s = admission.take(self._records, bounds.records, now_ns)
        if wait_s:
            return _refused(f"at most {bounds.records.per_s:g} records a second", wait_s)
        return None

    def owe_lines(self, count: int) -> None:
        """Charge a batch for its lines; one of them was taken when it was let in."""
        self._records = admission.owe(self._records, self._bounds.records, count - 1)

    def owe_bytes(self, size: int) -> None:
        """Charge bytes that came."""
        self._bytes = admission.owe(self._bytes, self._bounds.bytes, size)

    def begin(self, *, is_batch: bool) -> None:
        """Count one body as under way."""
        self._batches += is_batch

    def end(self, *, is_batch: bool) -> None:
        """Count it no longer."""
        self._batches -= is_batch


@dataclass(frozen=True, slots=True)
class Charged:
    """The share of a body in the lane: what it takes is charged, too."""

    share: ByteCount
    lane: Unidentified

    def take(self, size: int) -> Answer | None:
        """Count so many bytes more; return the problem where there is no room for them."""
        self.lane.owe_bytes(size)
        return self.share.take(size)


def named(owner: str) -> str:
    """Return how a message calls an owner: a tenant or the unidentified callers."""
    return _CALLERS if owner == UNIDENTIFIED else "tenant"


def _refused(expected: str, wait_s: float) -> Answer:
    return problem(
        ServerCode.RATE_LIMITED,
        f"{_CALLERS}: expected {expected} of all together, got more",
        retry_after_s=wait_s,
    )
