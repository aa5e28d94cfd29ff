"""What a tenant sent in a day of receipt, folded from the ledger, and whether more fits.

A day is a UTC day, numbered from 1970 on, of the receipt. What counts is what is new: one record
and its stored bytes for each decision; a repeat costs nothing, and so does the evidence of a
conflict, of which an id has only so much.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from fractal_lba.server.core.entry import Decision
from fractal_lba.server.core.tenant_policy import TenantPolicy

_NS_PER_S = 1_000_000_000
_NS_PER_DAY = 86_400 * _NS_PER_S
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """New records and their bytes."""

    records: int = 0
    bytes: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        """Return both together."""
        return Usage(records=self.records + other.records, bytes=self.bytes + other.bytes)

    def __sub__(self, other: "Usage") -> "Usage":
        """Return what is left without the other."""
        return Usage(records=self.records - other.records, bytes=self.bytes - other.bytes)


NO_USAGE = Usage()


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What shards hold of a day; not exact while some of it may not come: then it is the most."""

    used: Usage
    is_exact: bool

    def __add__(self, other: "Held") -> "Held":
        """Return both together."""
        return Held(used=self.used + other.used, is_exact=self.is_exact and other.is_exact)


NOTHING_HELD = Held(used=NO_USAGE, is_exact=True)


def usage_of(decision: Decision) -> Usage:
    """Return what a decision counts for."""
    return Usage(records=1, bytes=len(decision.record))


def day_of(received_ns: int) -> int:
    """Return the UTC day of a receipt, in days since 1970."""
    return received_ns // _NS_PER_DAY


def seconds_left(received_ns: int) -> float:
    """Return the seconds from a receipt to the next UTC day."""
    return (_NS_PER_DAY - received_ns % _NS_PER_DAY) / _NS_PER_S


def day_name(day: int) -> str:
    """Write a day as ``YYYY-MM-DD``."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def day_named(name: str) -> int:
    """Return the day that ``YYYY-MM-DD`` names.

    Raises:
        ValueError: It names none.
    """
    return (datetime.strptime(name, "%Y-%m-%d").replace(tzinfo=UTC).date() - _EPOCH).days


def over_day(policy: TenantPolicy, used: Usage) -> str | None:
    """Return the limit of a day that ``used`` is over, in words, or ``None`` within all of them."""
    if 0 < policy.records_per_day < used.records:
        return f"{policy.records_per_day} new records a day"
    if 0 < policy.bytes_per_day < used.bytes:
        return f"{policy.bytes_per_day} bytes of new records a day"
    return None
