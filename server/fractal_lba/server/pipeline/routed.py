"""All shards as one: each record goes to its owner, and what reads over all of them is merged."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import cast

from fractal_lba.server.core.entry import Entry
from fractal_lba.server.core.known import Known, NotResolved, Place, RecordKey
from fractal_lba.server.core.listing import Bookmark, Page, Query
from fractal_lba.server.core.merge import merged
from fractal_lba.server.core.ring import Ring
from fractal_lba.server.core.run import End, Verified
from fractal_lba.server.core.usage import NOTHING_HELD, Held
from fractal_lba.server.ports import Decisions, Listed, Loss


class Routed:
    """Fulfils ``ports.Decisions`` with several of them.

    Args:
        ring: Which shard each record belongs to.
        shards: What decides for each, by its name, in the order of the set. It may be filled after
            this is made, before anything is asked.
    """

    def __init__(self, ring: Ring, shards: Mapping[str, Decisions]) -> None:
        self._ring = ring
        self._shards = shards

    @property
    def fenced_by(self) -> str | None:
        """See ``ports.Decisions.fenced_by``."""
        fences = [shard.fenced_by for shard in self._shards.values()]
        return fences[0] if all(fences) else None

    @property
    def fences(self) -> tuple[str, ...]:
        """See ``ports.Decisions.fences``."""
        return tuple(fence for shard in self._shards.values() for fence in shard.fences)

    @property
    def losses(self) -> tuple[Loss, ...]:
        """See ``ports.Decisions.losses``."""
        return tuple(loss for shard in self._shards.values() for loss in shard.losses)

    async def decide(self, run: Sequence[Verified]) -> list[End]:
        """See ``ports.Decisions.decide``; each shard is given its part of the run at once."""
        parts: dict[str, list[int]] = {}
        for place, verified in enumerate(run):
            owner = self._ring.owner_of(verified.tenant, verified.pcs_id)
            parts.setdefault(owner, []).append(place)
        if len(parts) == 1:
            return await self._shards[next(iter(parts))].decide(run)
        ends: list[End | None] = [None] * len(run)
        decided = await asyncio.gather(
            *(
                self._shards[owner].decide([run[place] for place in places])
                for owner, places in parts.items()
            ),
            return_exceptions=True,
        )
        for places, part in zip(parts.values(), decided, strict=True):
            if isinstance(part, BaseException) and not isinstance(part, Exception):
                raise part
            some = [part] * len(places) if isinstance(part, Exception) else part
            for place, end in zip(places, some, strict=True):
                ends[place] = end
        return cast("list[End]", ends)

    async def known(self, key: RecordKey) -> Known | None:
        """See ``ports.Decisions.known``."""
        return await self._owner(key.tenant, key.pcs_id).known(key)

    async def entry(self, key: RecordKey, place: Place) -> Entry:
        """See ``ports.Decisions.entry``."""
        return await self._owner(key.tenant, key.pcs_id).entry(key, place)

    async def list_records(
        self, tenant: str, query: Query, after: Bookmark, *, records_max: int
    ) -> Page[Listed, Bookmark]:
        """See ``ports.Decisions.list_records``; every shard is needed for it."""
        pages = {
            # One after the other: each takes a thread while it reads.
            name: await shard.list_records(tenant, query, after, records_max=records_max)
            for name, shard in self._shards.items()
        }
        return merged(pages, query, after, records_max)

    async def append_resolution(
        self, key: RecordKey, *, note: str, who: str
    ) -> Known | NotResolved:
        """See ``ports.Decisions.append_resolution``."""
        return await self._owner(key.tenant, key.pcs_id).append_resolution(key, note=note, who=who)

    async def usage(self, tenant: str, day: int) -> Held:
        """See ``ports.Decisions.usage``."""
        held = NOTHING_HELD
        for shard in self._shards.values():
            held += await shard.usage(tenant, day)
        return held

    def _owner(self, tenant: str, pcs_id: str) -> Decisions:
        return self._shards[self._ring.owner_of(tenant, pcs_id)]
