"""A shard that another worker decides for, as everybody asks for it."""

import asyncio
from collections.abc import Sequence
from typing import cast

from fractal_lba.protocol.errors import DurabilityError, UnavailableError
from fractal_lba.server.core.entry import Entry
from fractal_lba.server.core.known import Known, NotResolved, Place, RecordKey
from fractal_lba.server.core.listing import Bookmark, Page, Query
from fractal_lba.server.core.run import End, Verified
from fractal_lba.server.core.usage import Held
from fractal_lba.server.peers import failures, wire
from fractal_lba.server.peers.client import Peer
from fractal_lba.server.peers.wire import Request, Result
from fractal_lba.server.ports import Listed, Loss


class RemoteShard:
    """Fulfils ``ports.Decisions`` with one shard of another worker.

    Args:
        name: The shard's.
        peer: The worker that decides for it.
    """

    def __init__(self, name: str, peer: Peer) -> None:
        self.name = name
        self._peer = peer

    @property
    def fenced_by(self) -> str | None:
        """See ``ports.Decisions.fenced_by``."""
        return next(iter(self.fences), None)

    @property
    def fences(self) -> tuple[str, ...]:
        """See ``ports.Decisions.fences``."""
        if (down := self._peer.down) is not None:
            return (f"{self.name}: {down}",)
        state = self._peer.state(self.name)
        if state is None:
            return (f"{self.name}: expected worker {self._peer.worker} to own it, got another",)
        return state.fences

    @property
    def losses(self) -> tuple[Loss, ...]:
        """See ``ports.Decisions.losses``."""
        state = self._peer.state(self.name)
        return () if state is None else state.losses

    async def decide(self, run: Sequence[Verified]) -> list[End]:
        """See ``ports.Decisions.decide``."""
        parts = list(
            wire.parts_of(run, records_max=self._peer.records_max, bytes_max=wire.MESSAGE_BYTES_MAX)
        )
        if len(parts) == 1:
            return await self._decide(parts[0])
        # Begun in their order: of two records with one id the first of the run is asked for first.
        ends = await asyncio.gather(*map(self._decide, parts))
        return [end for part in ends for end in part]

    async def _decide(self, part: wire.Decide) -> list[End]:
        try:
            result = await self._peer.ask(self.name, part)
        except Exception as error:  # noqa: BLE001 - the end of each of these records
            return [error] * len(part.run)
        assert isinstance(result, wire.Decided)  # noqa: S101 - the other end runs this program
        if not result.failures:
            return cast("list[End]", result.answers)
        failed = {
            at: failures.error_of(told, worker=self._peer.worker)
            for at, told in result.failures.items()
        }
        return [answer or failed[at] for at, answer in enumerate(result.answers)]

    async def known(self, key: RecordKey) -> Known | None:
        """See ``ports.Decisions.known``."""
        result = await self._read(wire.GetKnown(key))
        assert isinstance(result, wire.KnownIs)  # noqa: S101 - as above
        return result.known

    async def entry(self, key: RecordKey, place: Place) -> Entry:
        """See ``ports.Decisions.entry``."""
        result = await self._read(wire.GetEntry(key, place))
        assert isinstance(result, wire.EntryIs)  # noqa: S101 - as above
        return result.entry

    async def list_records(
        self, tenant: str, query: Query, after: Bookmark, *, records_max: int
    ) -> Page[Listed, Bookmark]:
        """See ``ports.Decisions.list_records``."""
        own = {shard: spot for shard, spot in after.items() if shard == self.name}
        result = await self._read(wire.ListRecords(tenant, query, own, records_max))
        assert isinstance(result, wire.Listing)  # noqa: S101 - as above
        return Page(items=result.items, next=result.next)

    async def append_resolution(
        self, key: RecordKey, *, note: str, who: str
    ) -> Known | NotResolved:
        """See ``ports.Decisions.append_resolution``."""
        result = await self._peer.ask(self.name, wire.Resolve(key, note, who))
        if isinstance(result, wire.NotAppended):
            return result.why
        assert isinstance(result, wire.KnownIs)  # noqa: S101 - as above
        assert result.known is not None  # noqa: S101 - what was resolved is known
        return result.known

    async def usage(self, tenant: str, day: int) -> Held:
        """See ``ports.Decisions.usage``."""
        result = await self._read(wire.GetUsage(tenant, day))
        assert isinstance(result, wire.UsageIs)  # noqa: S101 - as above
        return result.held

    async def _read(self, request: Request) -> Result:
        try:
            return await self._peer.ask(self.name, request)
        except UnavailableError as error:
            # What only reads has one way to say that it cannot tell.
            raise DurabilityError(str(error)) from error
