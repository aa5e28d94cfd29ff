"""Decide each id once: lookup, ledger, answer; a run of records at a time.

They come judged, which counts where the id is new and nowhere else.

While the first record of an id is on its way to the disk the id is occupied in memory: what repeats
it, in the same run or another, waits and shares its fate. Between the lookup and the occupation
nothing is awaited, so that two bodies cannot both be first.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from fractal_lba.protocol.errors import (
    CorruptionError,
    DurabilityError,
    FractalError,
    Refusal,
    RefusalCode,
    UnavailableError,
)
from fractal_lba.server.charging import Quotas
from fractal_lba.server.core.answer import Answer, conflicting
from fractal_lba.server.core.entry import Conflict, Decision, Entry
from fractal_lba.server.core.forgetting import kept
from fractal_lba.server.core.in_time import admit_new
from fractal_lba.server.core.known import Known, RecordKey, Standing, standing
from fractal_lba.server.core.listing import Summary
from fractal_lba.server.core.run import End, NewEntry, Verified
from fractal_lba.server.core.tenant_policy import Policies
from fractal_lba.server.core.usage import Held
from fractal_lba.server.pipeline.charge import Charged
from fractal_lba.server.ports import Shard


class _Occupied:
    """The ids of entries on their way to the disk: what came of each is known at once for all."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.failures: dict[RecordKey, FractalError] = {}


@dataclass(slots=True)
class _Round:
    """What is done with those records of a run that wait for nobody."""

    # Of each entry its place in the run, and what answers its record once it is on disk.
    places: list[int] = field(default_factory=list)
    entries: list[NewEntry] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    repeats: list[tuple[int, RecordKey, Known]] = field(default_factory=list)
    waiting: list[tuple[int, RecordKey, _Occupied]] = field(default_factory=list)


class _Terms(dict[str, tuple[int, int | None]]):
    """Horizon in days and floor in ms, for each tenant of a run; both asked for once."""

    def __init__(self, policies: Policies, shard: Shard) -> None:
        self._policies = policies
        self._shard = shard

    def __missing__(self, tenant: str) -> tuple[int, int | None]:
        found = self._policies.of(tenant).horizon_days, self._shard.floor_ms(tenant)
        self[tenant] = found
        return found


class Decider:
    """The one that decides for a shard.

    Args:
        shard: Where decisions are kept.
        region: Kept with each decision.
        policies: What is asked of each tenant.
        quotas: What each tenant may still send.
    """

    def __init__(
        self,
        shard: Shard,
        *,
        region: str,
        policies: Policies,
        quotas: Quotas,
    ) -> None:
        self._shard = shard
        self._region = region
        self._policies = policies
        self._charged = Charged(shard, quotas=quotas)
        self._occupied: dict[RecordKey, _Occupied] = {}
        self._appending: set[asyncio.Task[list[Answer | Exception | None]]] = set()

    async def decide(self, run: Sequence[Verified]) -> list[End]:
        """Return each record's answer: its own, that of the first like it, or a conflict.

        Of two records with one id the first in the run, and that of the run that came first, is
        the first. In place of an answer there may be:

        - a ``Refusal``: a new record that came too late, or a copy of one of version 0.1 that
          something unsigned spoils; nothing is remembered;
        - an ``UnavailableError``: too much is under way; nothing was decided;
        - a ``DurabilityError``: the ledger failed; the record may or may not have been decided;
        - anything else: a bug that this record met.
        """
        ends: list[End | None] = [None] * len(run)
        left: Sequence[int] = range(len(run))
        while left:
            left = await self._decide_some(run, left, ends)
        return cast("list[End]", ends)

    def usage(self, tenant: str, day: int) -> Held:
        """Return what a tenant sent in a day (see ``Charged.usage``).

        Raises:
            DurabilityError: That cannot be told.
        """
        return self._charged.usage(tenant, day)

    async def _decide_some(
        self, run: Sequence[Verified], left: Sequence[int], ends: list[End | None]
    ) -> list[int]:
        """Decide those that wait for no other; return the places of those that waited."""
        done = self._begin(run, left, ends)
        appending = self._append(done)
        if done.repeats:
            answers = await self._first_answers(done.repeats)
            for (place, _, _), answer in zip(done.repeats, answers, strict=True):
                ends[place] = answer
        if appending is not None:
            # Whoever is no longer waited for is decided all the same: its id stays occupied
            # until its append has ended.
            for place, answer, over in zip(
                done.places, done.answers, await asyncio.shield(appending), strict=True
            ):
                ends[place] = over or answer
        again = []
        for place, key, occupied in done.waiting:
            await asyncio.shield(occupied.ended)
            failure = occupied.failures.get(key)
            if failure is None:
                again.append(place)
            else:
                ends[place] = failure
        return again

    def _begin(
        self, run: Sequence[Verified], left: Sequence[int], ends: list[End | None]
    ) -> _Round:
        """Look up and tell, in the order of the run; what is to be appended is occupied."""
        found = _Round()
        occupation = _Occupied()
        keys = [run[place].key for place in left]
        # Behind the lookups: whoever finds an id forgotten is told of its tenant's floor.
        looked_up = self._lookups(keys)
        terms = _Terms(self._policies, self._shard)
        for place, key, known in zip(left, keys, looked_up, strict=True):
            occupied = self._occupied.get(key)
            if occupied is not None:
                found.waiting.append((place, key, occupied))
                continue
            verified = run[place]
            entry: Entry | None
            try:
                if known is None:
                    entry, answer = self._new(verified, terms)
                elif isinstance(known, DurabilityError):
                    ends[place] = known
                    continue
                else:
                    stands = standing(verified.content_digest, known)
                    if stands is Standing.REPEAT:
                        found.repeats.append((place, key, known))
                        continue
                    entry, answer = _conflicting(stands, verified, known)
            except Exception as error:  # noqa: BLE001 - the end of this record, and of no other
                ends[place] = error
                continue
            if entry is None:
                ends[place] = answer
                continue
            self._occupied[key] = occupation
            summary = Summary(verified.version, verified.shard_id, verified.epoch, verified.regime)
            new = NewEntry(key, entry, verified.received_ns, verified.is_recovered, summary)
            found.places.append(place)
            found.entries.append(new)
            found.answers.append(answer)
        return found

    def _lookups(self, keys: Sequence[RecordKey]) -> Sequence[Known | DurabilityError | None]:
        """Return what is remembered under each key that is not occupied."""
        if self._occupied.keys().isdisjoint(keys):
            return self._shard.lookup(keys)
        free = [key for key in keys if key not in self._occupied]
        known = dict(zip(free, self._shard.lookup(free), strict=True))
        return [known.get(key) for key in keys]

    def _new(self, verified: Verified, terms: "_Terms") -> tuple[Decision | None, Answer]:
        """Return a new record's decision, ``None`` for one that is not remembered, and answer.

        Raises:
            Refusal: See ``decide``.
        """
        horizon_days, floor_ms = terms[verified.tenant]
        admit_new(verified, horizon_days=horizon_days, floor_ms=floor_ms)
        if verified.spoiled is not None:
            code, reason, message, member = verified.spoiled
            raise Refusal(RefusalCode(code), reason, message, member=member)
        answer = Answer(
            status=verified.status, body=verified.answer, received_ns=verified.received_ns
        )
        # Not charged either: whoever relays an old record could spend its tenant's quota on copies.
        if not verified.is_remembered:
            return None, answer
        decision = Decision(
            tenant=verified.tenant,
            family=verified.family,
            pcs_id=verified.pcs_id,
            record_digest=verified.record_digest,
            content_digest=verified.content_digest,
            kid=verified.kid,
            params_version=verified.params_version,
            region=self._region,
            status=verified.status,
            answer=verified.answer,
            kept=kept(
                created_ms=verified.created_ms,
                received_ns=verified.received_ns,
                horizon_days=horizon_days,
            ),
            record=verified.record,
        )
        return decision, answer

    def _append(self, done: _Round) -> asyncio.Task[list[Answer | Exception | None]] | None:
        """Write what is to be appended; the ids are free again when that has ended."""
        if not done.entries:
            return None
        occupied = self._occupied[done.entries[0].key]
        appending = asyncio.get_running_loop().create_task(self._append_all(done.entries, occupied))
        self._appending.add(appending)
        appending.add_done_callback(self._appending.discard)
        return appending

    async def _append_all(
        self, entries: Sequence[NewEntry], occupied: _Occupied
    ) -> list[Answer | Exception | None]:
        """Return for each entry ``None`` where it is on disk, or what it is answered instead."""
        unknown = UnavailableError("decide: expected an end, got a cancellation")
        ends: list[Answer | Exception | None] = [unknown] * len(entries)
        try:
            ends = await self._charged.append(entries)
        finally:
            for each, end in zip(entries, ends, strict=True):
                del self._occupied[each.key]
                if isinstance(end, FractalError):
                    occupied.failures[each.key] = end
                elif isinstance(end, Exception):
                    occupied.failures[each.key] = unknown
            occupied.ended.set_result(None)
        return ends

    async def _first_answers(self, repeats: Sequence[tuple[int, RecordKey, Known]]) -> list[End]:
        entries = await self._shard.read([known.place for _, _, known in repeats])
        return [
            _first_answer(key, known, entry)
            for (_, key, known), entry in zip(repeats, entries, strict=True)
        ]


def _first_answer(key: RecordKey, known: Known, entry: Entry | Exception) -> End:
    if isinstance(entry, Exception):
        return entry
    # The index is derived: where it and the ledger disagree no answer is better than another
    # record's.
    if (
        not isinstance(entry, Decision)
        or RecordKey(entry.tenant, entry.family, entry.pcs_id) != key
        or entry.content_digest != known.content_digest
    ):
        return CorruptionError(f"index: expected the decision of {key.pcs_id}, got another entry")
    return Answer(
        status=entry.status, body=entry.answer, is_replayed=True, received_ns=known.received_ns
    )


def _conflicting(
    stands: Standing, verified: Verified, known: Known
) -> tuple[Conflict | None, Answer]:
    """Return the evidence of another content, ``None`` where it is kept already, and the answer."""
    answer = conflicting(
        pcs_id=verified.pcs_id,
        first_content_digest=known.content_digest,
        content_digest=verified.content_digest,
        first_received_ns=known.received_ns,
    )
    return _evidence(verified) if stands is Standing.CONFLICT else None, answer


def _evidence(verified: Verified) -> Conflict:
    return Conflict(
        tenant=verified.tenant,
        family=verified.family,
        pcs_id=verified.pcs_id,
        record_digest=verified.record_digest,
        content_digest=verified.content_digest,
        kid=verified.kid,
        record=verified.record,
    )
