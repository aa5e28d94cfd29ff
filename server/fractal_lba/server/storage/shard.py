"""A shard: its ledger, the system of record, and its index; one writer, one thread.

An entry is appended and synced, then put into the index, then its submitter is answered. The index
is committed when the ledger goes idle, before the ledger's durable mark is written, and whenever
enough entries wait in memory: so an entry that a mark covers keeps its place in the index even if
its bytes are damaged later.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

from fractal_lba.protocol.errors import (
    ContractError,
    CorruptionError,
    DurabilityError,
    FencedError,
    FullError,
    UnavailableError,
)
from fractal_lba.server.core import entry as entries_core
from fractal_lba.server.core.entry import Decision, Entry
from fractal_lba.server.core.forgetting import Forgotten
from fractal_lba.server.core.known import Known, Place, RecordKey
from fractal_lba.server.core.listing import Page, Query, Spot
from fractal_lba.server.core.run import NewEntry
from fractal_lba.server.core.usage import Usage
from fractal_lba.server.ports import Listed, Meter
from fractal_lba.server.storage.appended import put_appended
from fractal_lba.server.storage.fence import Fence, look_for_room
from fractal_lba.server.storage.forget import Forgetter
from fractal_lba.server.storage.index_port import Index
from fractal_lba.server.storage.listing import list_page
from fractal_lba.server.storage.replay import ShardFiles, put_mark, replay
from fractal_lba.wal import Frame, NewFrame, Position
from fractal_lba.wal.group_commit import Bounds, GroupCommit

_T = TypeVar("_T")

_NS_PER_MS = 1_000_000

_log = logging.getLogger(__name__)


class _Append(NamedTuple):
    """Entries of one tenant that are committed together."""

    entries: Sequence[NewEntry]
    payloads: Sequence[bytes]
    reopened: int
    """How often the ledger had been reopened when the ids were looked up."""


class ShardStore:
    """A shard that serves. Construct it on the event loop.

    Args:
        files: Opened by ``open_shard``.
        meter: Counts.
        bounds: Of a commit and of what waits for one.
        flush_records: Entries held in memory before the index is committed under load.
    """

    def __init__(
        self, files: ShardFiles, *, meter: Meter, bounds: Bounds, flush_records: int
    ) -> None:
        self._stream = files.stream
        self._index = files.index
        self._meter = meter
        self._flush_records = flush_records
        self._fence = Fence(self._stream.name, meter=meter)
        self._reopened = 0
        self._is_behind = False
        self._forgetter = Forgetter(self._stream, self._index, self._append_mark)
        self._bounds = bounds
        self._commits: GroupCommit[_Append, list[Known]] = GroupCommit(
            self._stream.name,
            self._commit,
            bounds=bounds,
            idle=self._idle,
            idle_failed=self._fence.put_up,
        )

    @property
    def fenced_by(self) -> str | None:
        """The failure that nothing can be appended after until ``reopen``, or ``None``."""
        return self._fence.reason

    @property
    def index(self) -> Index:
        """For whoever checks it beside the ledger's thread."""
        return self._index

    @property
    def losses(self) -> tuple[tuple[int, int], ...]:
        """See ``ports.Shard.losses``."""
        return self._index.losses

    def lookup(self, keys: Sequence[RecordKey]) -> list[Known | DurabilityError | None]:
        """See ``ports.Shard.lookup``."""
        try:
            found: list[Known | DurabilityError | None] = [*self._index.lookup_all(keys)]
        except DurabilityError as error:
            if self._index.is_damaged:
                # Fenced, so that it is rebuilt from the ledger without a person.
                self._fence.put_up(error)
            # What one value did must not be told of the others.
            return [error] if len(keys) == 1 else [self.lookup([key])[0] for key in keys]
        if None not in found:
            return found
        unknown: DurabilityError | None = None
        if self._fence.reason is not None:
            # The index may be on its way to what the ledger holds: nobody can call an id unknown.
            unknown = FencedError(self._fence.reason)
        elif self._index.losses:
            first, last = self._index.losses[0]
            unknown = CorruptionError(
                f"{self._stream.name}: expected every decision to be readable,"
                f" got damage over the numbers {first} to {last}: this id may be one of them"
            )
        return found if unknown is None else [known or unknown for known in found]

    def floor_ms(self, tenant: str) -> int | None:
        """See ``ports.Shard.floor_ms``."""
        return self._index.forgot.floors.get(tenant)

    def usage(self, tenant: str, day: int) -> Usage:
        """See ``ports.Shard.usage``.

        Raises:
            DurabilityError: The index failed.
        """
        try:
            return self._index.usage(tenant, day)
        except DurabilityError as error:
            if self._index.is_damaged:
                self._fence.put_up(error)
            raise

    async def list_records(
        self, tenant: str, query: Query, after: Spot, *, records_max: int
    ) -> Page[Listed, Spot]:
        """See ``ports.Shard.list_records``.

        Raises:
            DurabilityError: The index failed, or is being mended and may lack what it had.
        """
        reopened = self._reopened
        try:
            page = await asyncio.to_thread(
                list_page, self._index, tenant, query, after, records_max
            )
        except DurabilityError as error:
            if self._index.is_damaged:
                self._fence.put_up(error)
            raise
        if self._fence.reason is not None or self._reopened != reopened:
            raise FencedError(
                self._fence.reason or f"{self._stream.name}: expected one index, got a mended one"
            )
        return page

    async def append(self, entries: Sequence[NewEntry]) -> list[Known | Exception]:
        """See ``ports.Shard.append``."""
        if self._fence.reason is not None:
            return [FencedError(self._fence.reason)] * len(entries)
        payloads = [entries_core.encode_entry(each.entry) for each in entries]
        parts = list(self._parts(entries, payloads))
        if len(parts) == 1:
            return await self._append_part(parts[0])
        done = await asyncio.gather(*map(self._append_part, parts))
        return [end for part in done for end in part]

    def _parts(self, entries: Sequence[NewEntry], payloads: Sequence[bytes]) -> Iterator[_Append]:
        """Yield what is committed together: of one tenant, and no more than a commit may hold."""
        start, size = 0, 0
        for at, payload in enumerate(payloads):
            is_over = (
                at - start >= self._bounds.items_max
                or size + len(payload) > self._bounds.bytes_max
                or entries[at].key.tenant != entries[start].key.tenant
            )
            if is_over and at > start:
                yield _Append(entries[start:at], payloads[start:at], self._reopened)
                start, size = at, 0
            size += len(payload)
        if payloads:
            yield _Append(entries[start:], payloads[start:], self._reopened)

    async def _append_part(self, part: _Append) -> list[Known | Exception]:
        count = len(part.entries)
        try:
            return [
                *await self._commits.submit(
                    part,
                    count=count,
                    size=sum(map(len, part.payloads)),
                    turn=part.entries[0].key.tenant,
                )
            ]
        except FencedError as error:
            return [error] * count  # by a failure that was told to its own submitter
        except DurabilityError as error:
            self._fence.put_up(error)
            return [error] * count
        except UnavailableError as error:
            return [error] * count

    async def read(self, places: Sequence[Place]) -> list[Entry | DurabilityError]:
        """See ``ports.Shard.read``."""
        found = await asyncio.to_thread(lambda: [*map(self._read_or_failure, places)])
        for place, entry in zip(places, found, strict=True):
            if isinstance(entry, DurabilityError):
                self._meter.wal_failed(stream=self._stream.name)
                _log.error(
                    "entry cannot be read",
                    extra={"stream": self._stream.name, "seq": place.seq, "error": str(entry)},
                )
        return found

    async def reopen(self) -> None:
        """Recover a fenced ledger on fresh files, and the index with it.

        Raises:
            DurabilityError: That failed too; the shard stays fenced.
        """
        if self._fence.is_for_room and not self._stream.is_fenced:
            await self._commits.call(lambda: look_for_room(self._stream))
        else:
            await self._commits.call(self._reopen)
        self._fence.lift()

    async def forget(self, *, now_ns: int, at_s: float, records_max: int) -> tuple[int, float]:
        """Forget what is due, at most so many; see ``Forgetter.forget``.

        Returns:
            How many that were, and by how many seconds forgetting is behind the clock.

        Raises:
            DurabilityError: The ledger or the index failed, and is fenced unless it is only full.
        """
        forgetter = self._forgetter

        def forget() -> tuple[int, float]:
            count = forgetter.forget(now_ns=now_ns, at_s=at_s, records_max=records_max)
            return count, forgetter.behind_s(now_ns)

        return await self._between_commits(forget)

    async def let_go(self) -> int:
        """Remove segments of what was forgotten by the last call; return their bytes.

        Raises:
            DurabilityError: As ``forget``.
        """
        return await self._between_commits(self._forgetter.let_go)

    async def close(self) -> None:
        """Commit what was taken, commit the index, write the durable offset, release the files.

        Of a fenced ledger the index is not committed: the next start replays what it lacks.
        """
        await self._commits.close()
        try:
            self._index.close(commits=not self._stream.is_fenced)
        finally:
            self._stream.close()

    async def _between_commits(self, work: Callable[[], _T]) -> _T:
        name = self._stream.name
        if self._fence.reason is not None:
            raise FencedError(self._fence.reason)
        if self._index.losses:
            raise CorruptionError(f"{name}: expected every decision to be readable, got damage")
        try:
            return await self._commits.call(work)
        except (FencedError, FullError):
            raise  # nothing is in doubt
        except DurabilityError as error:
            self._fence.put_up(error)
            raise
        except Exception as error:
            failure = DurabilityError(f"{name}: expected a mark, got {type(error).__name__}")
            self._fence.put_up(failure)
            raise failure from error

    def _append_mark(self, mark: Forgotten) -> int:
        if self._is_behind:
            raise FencedError(f"{self._stream.name}: expected a whole index, got one that is not")
        frame = NewFrame(
            received_ns=mark.as_of_ms * _NS_PER_MS,
            meta=entries_core.META,
            payload=entries_core.encode_entry(mark),
        )
        [place] = self._stream.append([frame])
        self._is_behind = True
        on_disk = Frame(
            seq=place.seq, received_ns=frame.received_ns, meta=frame.meta, payload=frame.payload
        )
        put_mark(self._index, mark, on_disk, place.position)
        self._is_behind = False
        self._stream.mark()
        return place.seq

    def _commit(self, batch: Sequence[_Append]) -> list[list[Known] | Exception]:
        if self._is_behind:
            raise FencedError(f"{self._stream.name}: expected a whole index, got one that is not")
        # What a failed commit brought to the disk all the same is remembered once the ledger is
        # reopened: an id that was looked up before that may be decided by now.
        current = [
            append
            for append in batch
            if append.reopened == self._reopened and not self._is_about_nothing(append)
        ]
        try:
            known = iter(self._write(current))
        except (DurabilityError, ContractError):
            raise
        except Exception as error:
            # Whatever it was, the ledger may be ahead of the index now: fenced, and mended.
            raise DurabilityError(
                f"{self._stream.name}: expected a commit, got {type(error).__name__}"
            ) from error
        written = {id(append) for append in current}
        return [
            [*islice(known, len(append.entries))]
            if id(append) in written
            else FencedError(
                f"{self._stream.name}: expected what was looked up before, got a change since"
            )
            for append in batch
        ]

    def _is_about_nothing(self, append: _Append) -> bool:
        """Tell whether a record that an entry is about was forgotten since it was looked up."""
        return any(
            not isinstance(each.entry, Decision) and self._index.lookup(each.key) is None
            for each in append.entries
        )

    def _write(self, batch: Sequence[_Append]) -> list[Known]:
        entries = [each for append in batch for each in append.entries]
        payloads = [payload for append in batch for payload in append.payloads]
        meta = entries_core.META
        frames = [
            NewFrame(each.received_ns, meta, payload)
            for each, payload in zip(entries, payloads, strict=True)
        ]
        started = time.perf_counter()
        placed = self._stream.append(frames)
        # From here on the ledger is ahead, until the index has all of it.
        self._is_behind = True
        self._meter.synced(
            stream=self._stream.name, seconds=time.perf_counter() - started, frames=len(placed)
        )
        known = put_appended(self._index, entries, payloads, placed)
        if self._index.unflushed >= self._flush_records:
            self._index.flush()
        self._is_behind = False
        return known

    def _idle(self) -> None:
        # The index has no lock of its own: whoever took the ledger by force has it, too.
        self._stream.check_held()
        self._index.flush()
        self._stream.mark()

    def _read_or_failure(self, place: Place) -> Entry | DurabilityError:
        try:
            return self._read(place)
        except DurabilityError as error:
            return error

    def _read(self, place: Place) -> Entry:
        frame = self._stream.read(Position(segment=place.segment, offset=place.offset))
        if frame.seq != place.seq:
            raise CorruptionError(
                f"{self._stream.name}: expected entry {place.seq}, got {frame.seq}"
            )
        return entries_core.decode_entry(frame.meta, frame.payload)

    def _reopen(self) -> None:
        recovery = self._stream.reopen()
        damage = replay(self._stream, self._index).damage
        self._meter.recovered(
            stream=self._stream.name,
            torn_bytes=recovery.torn_bytes,
            damaged_ranges=len(damage),
        )
        self._reopened += 1
        self._is_behind = False
