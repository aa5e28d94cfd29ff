"""What the pipeline needs from the outside; ``storage`` and ``telemetry`` give it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.server.core.disk_budget import Forecast
from fractal_lba.server.core.entry import Entry
from fractal_lba.server.core.inbox_frame import Received
from fractal_lba.server.core.known import Known, NotResolved, Place, RecordKey
from fractal_lba.server.core.listing import Bookmark, Page, Query, Spot
from fractal_lba.server.core.run import End, NewEntry, Verified
from fractal_lba.server.core.usage import Held, Usage

Clock = Callable[[], int]
"""Nanoseconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One record of a listing: where in the order of its shard, its key, what is remembered."""

    shard: str
    spot: Spot
    key: RecordKey
    known: Known


class Loss(NamedTuple):
    """A range of a shard's decision numbers whose ids are unknown: their bytes are damaged."""

    shard: str
    first: int
    last: int


class InboxFrame(msgspec.Struct, frozen=True, kw_only=True):
    """One logged body and how it came."""

    seq: int
    received_ns: int
    received: Received
    body: bytes


class Inbox(Protocol):
    """The log of what arrived. A body is *open* from its append until ``finish``."""

    @property
    def fenced_by(self) -> str | None:
        """The failure that nothing can be appended after until ``reopen``, or ``None``."""
        ...

    def give(
        self,
        body: bytes,
        received: Received,
        *,
        received_ns: int,
        told: Callable[[InboxFrame | Exception], None],
    ) -> None:
        """Log a body.

        Args:
            body: As it came.
            received: How.
            received_ns: When.
            told: Takes its frame once it is on disk, or the failure ``append`` raises; raises
                nothing. All that went to the disk together are told in one turn of the loop.

        Raises:
            UnavailableError: The queue is full; nothing was logged, nothing is told.
        """
        ...

    async def append(self, body: bytes, received: Received, *, received_ns: int) -> InboxFrame:
        """Log a body; it is on disk when this returns.

        Raises:
            UnavailableError: The queue is full; nothing was logged.
            DurabilityError: The log failed and is fenced; the body may or may not be on disk.
        """
        ...

    def finish(self, seq: int, *, is_refused: bool = False) -> None:
        """Note that a body was decided or refused. The mark is written with the next batch.

        Refused ones are kept for a while as evidence.
        """
        ...

    async def retain(self) -> None:
        """Remove what holds only finished bodies and is no evidence any more.

        Nothing happens to a fenced log; a failure fences it.
        """
        ...

    def leave_open(self, seq: int) -> None:
        """Note that nobody handles an open body any longer; ``left_open`` names it from now on."""
        ...

    @property
    def left_open_count(self) -> int:
        """How many bodies ``left_open`` names, and how many of those it named are taken."""
        ...

    def left_open(self) -> list[int]:
        """Return the open bodies that nobody handles, oldest first."""
        ...

    async def take(self, seq: int) -> InboxFrame:
        """Read an open body back to handle it again; ``left_open`` no longer names it.

        Raises:
            CorruptionError: Its bytes do not verify; it stays open on disk, as evidence.
        """
        ...

    def give_back(self, seq: int) -> None:
        """Note that the handling of a body that was taken has come to its end, whatever end."""
        ...

    async def reopen(self) -> None:
        """Recover a fenced log on fresh files.

        Raises:
            DurabilityError: That failed too; it stays fenced.
        """
        ...


class Shard(Protocol):
    """One ledger and its index, one writer."""

    @property
    def fenced_by(self) -> str | None:
        """The failure that nothing can be appended after until ``reopen``, or ``None``."""
        ...

    @property
    def losses(self) -> tuple[tuple[int, int], ...]:
        """The ranges of decision numbers whose ids are unknown because their bytes are damaged.

        While there are any, an id that is not in the index may be one of them: nothing new is
        decided.
        """
        ...

    def lookup(self, keys: Sequence[RecordKey]) -> Sequence[Known | DurabilityError | None]:
        """Return what is remembered under each key.

        A ``DurabilityError`` says that it cannot be told: the index failed, or ids are lost to
        damage and this may be one.
        """
        ...

    def floor_ms(self, tenant: str) -> int | None:
        """Return a tenant's floor (see ``core.forgetting``) in ms since 1970, or ``None``."""
        ...

    def usage(self, tenant: str, day: int) -> Usage:
        """Return what a tenant sent in a day of receipt, as far as it is in the index.

        Raises:
            DurabilityError: That cannot be told.
        """
        ...

    async def list_records(
        self, tenant: str, query: Query, after: Spot, *, records_max: int
    ) -> Page[Listed, Spot]:
        """Return a tenant's records behind a place; one that was acknowledged is among them.

        A page may be shorter than asked for, even empty, and have a next one: so many are looked
        at and not more.

        Raises:
            DurabilityError: That cannot be told: the index failed, or is being mended.
        """
        ...

    async def append(self, entries: Sequence[NewEntry]) -> list[Known | Exception]:
        """Write entries; they are on disk and in the index when this returns.

        Of a decision: nothing else of its id may be on its way, and nothing is remembered of it.

        Returns:
            For each what is remembered of its id now; an ``UnavailableError`` where the queue is
            full and nothing was written; a ``DurabilityError`` where the ledger failed and is
            fenced: the entry may or may not be on disk.
        """
        ...

    async def read(self, places: Sequence[Place]) -> list[Entry | DurabilityError]:
        """Read entries back; each is a ``CorruptionError`` where its bytes do not verify."""
        ...

    async def reopen(self) -> None:
        """Recover a fenced ledger on fresh files.

        Raises:
            DurabilityError: That failed too; it stays fenced.
        """
        ...


class Decisions(Protocol):
    """What is decided and what was, in one shard or in all, in this process or in another.

    Every failure to tell or to write is one of ``protocol.errors``: nothing else is raised for it.
    """

    @property
    def fenced_by(self) -> str | None:
        """Why nothing at all can be decided, or ``None`` while one shard of it can."""
        ...

    @property
    def fences(self) -> tuple[str, ...]:
        """Why nothing can be decided, for each shard where it is so; each names what failed."""
        ...

    @property
    def losses(self) -> tuple[Loss, ...]:
        """What is lost to damage (see ``Shard.losses``)."""
        ...

    async def decide(self, run: Sequence[Verified]) -> list[End]:
        """Return how each record ends; see ``pipeline.decide``.

        Of two records with one id the first in the run is the first.
        """
        ...

    async def known(self, key: RecordKey) -> Known | None:
        """Return what is remembered under a key.

        Raises:
            DurabilityError: That cannot be told (see ``Shard.lookup``).
        """
        ...

    async def entry(self, key: RecordKey, place: Place) -> Entry:
        """Read back an entry of a known id.

        Raises:
            CorruptionError: Its bytes do not verify.
            DurabilityError: The disk failed.
        """
        ...

    async def list_records(
        self, tenant: str, query: Query, after: Bookmark, *, records_max: int
    ) -> Page[Listed, Bookmark]:
        """Return a tenant's records behind a bookmark; see ``Shard.list_records``.

        Raises:
            DurabilityError: That cannot be told.
        """
        ...

    async def append_resolution(
        self, key: RecordKey, *, note: str, who: str
    ) -> Known | NotResolved:
        """Append a resolution; it is on disk when this returns what is remembered of the id.

        Raises:
            UnavailableError: The queue is full; nothing was written.
            DurabilityError: Storage failed; the resolution may or may not be on disk.
        """
        ...

    async def usage(self, tenant: str, day: int) -> Held:
        """Return what a tenant sent in a day of receipt, and what of it may come or have come.

        Exactly what was decided, while nothing is fenced and none of it under way.

        Raises:
            DurabilityError: That cannot be told.
        """
        ...


class Room(Protocol):
    """What is left of the disk."""

    @property
    def forecast(self) -> Forecast | None:
        """Where the data folder goes; ``None`` where it could not be measured yet."""
        ...

    @property
    def full(self) -> str | None:
        """Why nothing more is taken, or ``None``. What was taken is still finished."""
        ...


class Meter(Protocol):
    """Counts. Tenants are labels; no id, no payload ever is."""

    def ingested(self, records: int = 1) -> None:
        """Count the records of a body that was logged."""
        ...

    def answered(
        self,
        *,
        tenant: str | None,
        status: int,
        code: str | None,
        is_replayed: bool,
        records: int = 1,
    ) -> None:
        """Count how records of logged bodies ended."""
        ...

    def submit_took(self, seconds: float) -> None:
        """Observe the time from a body's last byte to its answer, a whole batch's as well."""
        ...

    def synced(self, *, stream: str, seconds: float, frames: int) -> None:
        """Observe one write and fsync of a log, and how many frames shared it."""
        ...

    def wal_failed(self, *, stream: str) -> None:
        """Count a failed write, fsync or commit."""
        ...

    def recovered(self, *, stream: str, torn_bytes: int, damaged_ranges: int) -> None:
        """Count what opening a log found."""
        ...

    def disk_measured(self, found: Forecast) -> None:
        """Note what the data folder takes, what is left for it and when that will be gone."""
        ...

    def scrub_read(self, size: int) -> None:
        """Count bytes that were read and checked again."""
        ...

    def scrubbed(self, *, problems: Mapping[str, int], finished_s: float) -> None:
        """Note what a whole scrub found, by kind, and when it ended (seconds since 1970)."""
        ...

    def poison_known(self, count: int) -> None:
        """Note how many bodies are known to end the process that judges them."""
        ...

    def keyring_refused(self) -> None:
        """Count a keyring file that could not be loaded; the old ring stays."""
        ...

    def tls_refused(self) -> None:
        """Count TLS files that could not be loaded; the old ones stay."""
        ...

    def connection_cut(self, why: str) -> None:
        """Count an open connection that was ended for its ``room`` or an ``unread`` answer."""
        ...

    def handshake_failed(self) -> None:
        """Count a connection whose TLS handshake failed or took too long."""
        ...

    def unidentified_refused(self) -> None:
        """Count a body that the lane of unidentified callers had no place or rate for."""
        ...
