"""What a listing says of a record, which records it asks for, and in which order they come.

Without a stream the order is the decision number; within one stream it is the epoch, then the
decision number. Either is fixed once a record is decided, so that a place in it can be kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

from fractal_lba.protocol.derive import regime
from fractal_lba.protocol.errors import CorruptionError
from fractal_lba.protocol.undecodable import UNDECODABLE

_T = TypeVar("_T")
_P = TypeVar("_P")

ESCALATED_STATUS = 202

EPOCH_MAX = 2**53 - 1


class Outcome(StrEnum):
    """How a record was decided."""

    ACCEPTED = "accepted"
    ESCALATED = "escalated"
    NOT_ACCEPTED = "not_accepted"


OUTCOMES = {
    200: Outcome.ACCEPTED,
    ESCALATED_STATUS: Outcome.ESCALATED,
    422: Outcome.NOT_ACCEPTED,
}
"""By the status of the answer."""

REGIMES = ("sticky", "mixed", "non_sticky")


class Summary(msgspec.Struct, frozen=True, gc=False):
    """What a listing shows of a record and asks for."""

    version: str
    shard_id: str
    epoch: int
    regime: str


class _Members(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    shard_id: str
    epoch: int
    D_hat: float
    coh_star: float
    regime: str | None = None


_MEMBERS = msgspec.json.Decoder(_Members)


def summary_of(record: bytes) -> Summary:
    """Return what a listing says of a record.

    Raises:
        CorruptionError: The bytes are no record that was ever decided.
    """
    try:
        members = _MEMBERS.decode(record)
    except UNDECODABLE as error:
        raise CorruptionError("ledger entry: expected a record, got something else") from error
    return Summary(
        version=members.version,
        shard_id=members.shard_id,
        epoch=members.epoch,
        # Version 0.1 does not sign its regime, so it is not kept; an accepted one is this.
        regime=members.regime or str(regime(members.D_hat, members.coh_star)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which records of one tenant; ``None`` asks for any. Epochs are inclusive, times too."""

    shard_id: str | None = None
    from_epoch: int | None = None
    to_epoch: int | None = None
    since_ns: int | None = None
    outcome: Outcome | None = None
    regime: str | None = None
    is_open_escalation: bool = False

    def asks_for(self, summary: Summary, *, status: int, received_ns: int) -> bool:
        """Tell whether a record is among them, whatever its stream."""
        return (
            (self.from_epoch is None or summary.epoch >= self.from_epoch)
            and (self.to_epoch is None or summary.epoch <= self.to_epoch)
            and (self.since_ns is None or received_ns >= self.since_ns)
            and (self.outcome is None or OUTCOMES.get(status) is self.outcome)
            and (self.regime is None or summary.regime == self.regime)
        )

    def identity(self) -> Sequence[object]:
        """Return what tells this query from any other, for the seal of its cursors."""
        return (
            self.shard_id,
            self.from_epoch,
            self.to_epoch,
            self.since_ns,
            self.outcome,
            self.regime,
            self.is_open_escalation,
        )


@dataclass(frozen=True, slots=True, order=True)
class Spot:
    """A place in the order of a listing. Without a stream ``epoch`` is 0."""

    epoch: int
    seq: int


BEGIN = Spot(0, 0)
"""Before every record: decision numbers begin with 1."""

Bookmark = Mapping[str, Spot]
"""A place in a listing over several shards: one for each, by its name; ``BEGIN`` where it has none.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[_T, _P]):
    """A run of a listing. ``next`` is the place behind it, ``None`` where nothing follows."""

    items: tuple[_T, ...]
    next: _P | None
