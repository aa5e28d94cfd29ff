"""How long a record is remembered, and what a mark in the ledger says is forgotten.

The deadline is fixed with the decision: the later of ``created_at`` and receipt, plus the tenant's
horizon of that moment. A *mark* is an entry of the ledger: every decision before it whose place in
the order of deadlines is the mark's or before is forgotten from there on, but for escalated records
that nobody has resolved by then. So what is remembered follows from the ledger alone, in its order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

_NS_PER_MS: Final = 1_000_000
_MS_PER_DAY: Final = 86_400_000
_NEVER_MS: Final = 1 << 62
"""Beyond every date there is: what a horizon of millions of years comes to."""

_SPANS_CACHED: Final = 256
"""The records of a batch were received together, and are kept as long."""

LATE_MS: Final = 3_600_000
"""So long after its deadline a record is forgotten at the earliest: a body that was received before
the deadline is settled by then, whichever worker took it in."""

CATCH_UP: Final = 24
"""How much faster than time forgetting goes at the most. A clock that jumps ahead by a year costs a
day's worth of records an hour until somebody puts it right, and not a year's at once."""

NOTED_EVERY_MS: Final = _MS_PER_DAY
"""How far forgetting goes on with nothing to forget before a mark says so."""


class Kept(NamedTuple):
    """From when and until when a record is kept, in milliseconds since 1970."""

    from_ms: int
    until_ms: int


class Due(NamedTuple):
    """A place in the order of deadlines."""

    until_ms: int
    seq: int


class Forgotten(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="forgotten"):
    """A mark: what is forgotten from here on.

    Attributes:
        as_of_ms: The time that forgetting had come to.
        until_ms: With ``until_seq`` the last place in the order of deadlines that is forgotten.
        until_seq: See ``until_ms``.
        count: How many records it forgets.
        floors: By tenant, of those that forgot anything by earlier marks: the latest ``from_ms`` of
            it. In a mark after which segments are removed, every one; in others none.
    """

    as_of_ms: int
    until_ms: int = 0
    until_seq: int = 0
    count: int = 0
    floors: dict[str, int] = {}


class Mark(NamedTuple):
    """A mark that still says something: its number, and what it forgets up to."""

    seq: int
    until_ms: int
    until_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgot:
    """What is forgotten so far.

    Attributes:
        marks: Those that still say something, by number.
        as_of_ms: The time that forgetting has come to; ``None`` where it has not begun.
        floors: By tenant, the latest ``Kept.from_ms`` of what is forgotten.
    """

    marks: tuple[Mark, ...] = ()
    as_of_ms: int | None = None
    floors: Mapping[str, int] = field(default_factory=dict)

    def after(self, mark: Forgotten, seq: int, floors: Mapping[str, int]) -> "Forgot":
        """Return what is forgotten from a mark of a number on, which raises some floors."""
        raised = {
            tenant: max(floor, self.floors.get(tenant, floor)) for tenant, floor in floors.items()
        }
        marks = self.marks
        if mark.count:
            marks = with_mark(marks, Mark(seq, mark.until_ms, mark.until_seq))
        return Forgot(marks=marks, as_of_ms=mark.as_of_ms, floors={**self.floors, **raised})


NOTHING_YET: Final = Forgot()


def kept(*, created_ms: int | None, received_ns: int, horizon_days: int) -> Kept | None:
    """Return how long a new record is kept; ``None`` for ever, where it signs no time."""
    if created_ms is None:
        return None
    return _span(max(created_ms, received_ns // _NS_PER_MS), horizon_days)


@lru_cache(maxsize=_SPANS_CACHED)
def _span(from_ms: int, horizon_days: int) -> Kept:
    return Kept(from_ms, min(from_ms + horizon_days * _MS_PER_DAY, _NEVER_MS))


def as_of(last_ms: int | None, *, now_ns: int, elapsed_s: float, first_due_ms: int) -> int:
    """Return the time that forgetting has come to, in milliseconds since 1970.

    Args:
        last_ms: What it had come to before; ``None`` where it begins.
        now_ns: What the clock says.
        elapsed_s: Seconds since ``last_ms`` held, by a clock that nobody sets.
        first_due_ms: The first deadline there is, where it begins.
    """
    now_ms = now_ns // _NS_PER_MS - LATE_MS
    if last_ms is None:
        return min(now_ms, first_due_ms)
    return min(now_ms, last_ms + int(elapsed_s * 1000 * CATCH_UP))


def with_mark(marks: Sequence[Mark], mark: Mark) -> tuple[Mark, ...]:
    """Return the marks that still say something once a later one is there.

    One whose place is not behind the later one's says nothing more than that. So there is one of
    them, and one more for each time that the clock was set back.
    """
    place = (mark.until_ms, mark.until_seq)
    return (*(each for each in marks if (each.until_ms, each.until_seq) > place), mark)


def is_forgotten(marks: Sequence[Mark], due: Due, *, settled_seq: int | None) -> bool:
    """Tell whether a record is forgotten.

    Args:
        marks: Those there are.
        due: The record's deadline and number.
        settled_seq: From which number on nobody has to look at it: its own, or its first
            resolution's where it was escalated; ``None`` where there is none.
    """
    return settled_seq is not None and any(
        mark.seq > settled_seq and due <= (mark.until_ms, mark.until_seq) for mark in marks
    )
