"""A run: what is decided, and written, together.

One call takes a whole run, so that its lookups, its commit and the wait for them are shared. Each
member has an end of its own, an answer or an exception, in the order of the run.
"""

from typing import NamedTuple, TypeAlias

import msgspec

from fractal_lba.server.core.answer import Answer
from fractal_lba.server.core.entry import Entry
from fractal_lba.server.core.known import RecordKey
from fractal_lba.server.core.listing import Summary


class Spoiled(NamedTuple):
    """What something unsigned does to a copy of a record of version 0.1: it is refused for it."""

    code: str
    reason: str
    message: str
    member: str | None


class Verified(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A record to be decided: verified, judged, and nothing but what that takes.

    It is judged before anyone knows whether its id is new: that is pure, and counts only where it
    is. Flat, so that whoever verifies may be any program, in any worker.

    Attributes:
        tenant: Whose record it is: that of the key.
        family: See ``core.known.family_of``.
        kid: Of the key that verified it.
        not_before_ms: First millisecond since 1970 that the key is valid at; ``None`` for always.
        not_after_ms: The last one; ``None`` for ever.
        version: Of the record.
        created_ms: When it says it was made, in ms since 1970; version 0.1 signs no time.
        status: Of the answer, if it is new: 200, 202 or 422.
        answer: The exact body that goes with it.
        params_version: What it was judged by.
        is_remembered: Whether that is kept: of version 0.1 only what accepts.
        spoiled: What this copy is refused for where its id is new; nothing is remembered of it.
        record: What a ledger keeps of it.
        shard_id: With ``epoch`` and ``regime`` what a listing says of it, read from ``record``.
        received_ns: When its body was first received.
        is_recovered: The body was left open then, and is settled only now.
    """

    tenant: str
    family: str
    pcs_id: str
    kid: str
    not_before_ms: int | None
    not_after_ms: int | None
    version: str
    record_digest: str
    content_digest: str
    created_ms: int | None
    status: int
    answer: bytes
    params_version: str
    is_remembered: bool
    spoiled: Spoiled | None
    record: bytes
    shard_id: str
    epoch: int
    regime: str
    received_ns: int
    is_recovered: bool

    @property
    def key(self) -> RecordKey:
        """Under what it is remembered."""
        return RecordKey(self.tenant, self.family, self.pcs_id)


class NewEntry(NamedTuple):
    """An entry to be appended under a key.

    ``received_ns`` is of the body that brought it. ``summary`` is what a listing says of the record
    of a decision, where that is known; otherwise it is read from the record.
    """

    key: RecordKey
    entry: Entry
    received_ns: int
    is_recovered: bool = False
    summary: Summary | None = None


End: TypeAlias = Answer | Exception
"""How a record ended: with its answer, or with what it was refused for or met."""
