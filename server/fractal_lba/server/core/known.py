"""What is remembered of an id, and what a record that carries it is beside that."""

from enum import StrEnum
from typing import NamedTuple

import msgspec

from fractal_lba.protocol.authenticate import Authenticated
from fractal_lba.server.core.forgetting import Kept
from fractal_lba.server.core.listing import ESCALATED_STATUS, Summary

CONFLICTS_KEPT_MAX = 8
"""Evidence kept for each id: enough to show a pattern, too little to fill a disk with."""

RESOLUTIONS_KEPT_MAX = 8
"""Resolutions of one record: second thoughts have room, a loop that resolves has not."""


class RecordKey(NamedTuple):
    """Under what a record is remembered. Tenants never meet: the tenant comes first."""

    tenant: str
    family: str
    pcs_id: str


_FAMILIES = {"1.0": "1.x", "0.1": "0.1"}


def family_of(version: str) -> str | None:
    """Return the family that a version is remembered under, ``None`` for an unknown version."""
    return _FAMILIES.get(version)


def key_of(authenticated: Authenticated) -> RecordKey:
    """Return the key of a verified record; the tenant is the signing key's."""
    record = authenticated.record
    return RecordKey(authenticated.tenant, _FAMILIES[record.version], record.pcs_id)


class Place(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where an entry is: its decision number and the position of its frame."""

    seq: int
    segment: int
    offset: int


class KnownConflict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Evidence that is already in the ledger."""

    content_digest: str
    received_ns: int
    place: Place


class KnownResolution(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A resolution that is in the ledger; its note stands there alone."""

    received_ns: int
    place: Place


class Known(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A decided id: what it was decided for, and where.

    ``status`` is the answer's; ``summary`` what a listing says of the record; ``size`` its stored
    bytes; ``kept`` until when it is remembered, ``None`` for ever.
    """

    content_digest: str
    received_ns: int
    place: Place
    status: int
    summary: Summary
    size: int = 0
    kept: Kept | None = None
    conflicts: tuple[KnownConflict, ...] = ()
    resolutions: tuple[KnownResolution, ...] = ()

    @property
    def is_escalated(self) -> bool:
        """Whether somebody was asked to look at it."""
        return self.status == ESCALATED_STATUS

    @property
    def settled_seq(self) -> int | None:
        """From which number on nobody has to look at it, ``None`` while somebody has."""
        if not self.is_escalated:
            return self.place.seq
        return min((each.place.seq for each in self.resolutions), default=None)


class NotResolved(StrEnum):
    """Why no resolution was appended to an id."""

    NOT_ESCALATED = "not_escalated"
    TOO_MANY = "too_many"


class Standing(StrEnum):
    """What a verified record is to the index."""

    NEW = "new"
    REPEAT = "repeat"
    CONFLICT = "conflict"
    """Another content, whose evidence is to be kept before the answer."""
    CONFLICT_SEEN = "conflict_seen"
    """Another content, whose evidence is kept already, or more than is kept for one id."""


def standing(content_digest: str, known: Known | None) -> Standing:
    """Tell what a verified record is beside what is known of its id."""
    if known is None:
        return Standing.NEW
    if known.content_digest == content_digest:
        return Standing.REPEAT
    if len(known.conflicts) >= CONFLICTS_KEPT_MAX or any(
        conflict.content_digest == content_digest for conflict in known.conflicts
    ):
        return Standing.CONFLICT_SEEN
    return Standing.CONFLICT
