"""One shard of this process, as everybody asks for it."""

from collections.abc import Sequence

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.server.charging import Quotas
from fractal_lba.server.core.entry import Entry
from fractal_lba.server.core.known import Known, NotResolved, Place, RecordKey
from fractal_lba.server.core.listing import BEGIN, Bookmark, Page, Query
from fractal_lba.server.core.run import End, Verified
from fractal_lba.server.core.tenant_policy import Policies
from fractal_lba.server.core.usage import Held
from fractal_lba.server.pipeline.decide import Decider
from fractal_lba.server.pipeline.resolve import Resolver
from fractal_lba.server.ports import Clock, Listed, Loss, Shard


class LocalShard:
    """Fulfils ``ports.Decisions`` with one ledger, the one that decides and the one that resolves.

    Args:
        name: The shard's.
        store: Its ledger and index.
        decider: Decides for it.
        resolver: Resolves for it.
    """

    def __init__(self, name: str, store: Shard, *, decider: Decider, resolver: Resolver) -> None:
        self.name = name
        self.store = store
        self._decider = decider
        self._resolver = resolver

    @property
    def fenced_by(self) -> str | None:
        """See ``ports.Decisions.fenced_by``."""
        return self.store.fenced_by

    @property
    def fences(self) -> tuple[str, ...]:
        """See ``ports.Decisions.fences``."""
        fence = self.store.fenced_by
        return () if fence is None else (fence,)

    @property
    def losses(self) -> tuple[Loss, ...]:
        """See ``ports.Decisions.losses``."""
        return tuple(Loss(self.name, first, last) for first, last in self.store.losses)

    async def decide(self, run: Sequence[Verified]) -> list[End]:
        """See ``ports.Decisions.decide``."""
        return await self._decider.decide(run)

    async def known(self, key: RecordKey) -> Known | None:
        """See ``ports.Decisions.known``."""
        (known,) = self.store.lookup([key])
        if isinstance(known, DurabilityError):
            raise known
        return known

    async def entry(self, key: RecordKey, place: Place) -> Entry:  # noqa: ARG002 - whose shard it is, was asked by the key
        """See ``ports.Decisions.entry``."""
        (entry,) = await self.store.read([place])
        if isinstance(entry, DurabilityError):
            raise entry
        return entry

    async def list_records(
        self, tenant: str, query: Query, after: Bookmark, *, records_max: int
    ) -> Page[Listed, Bookmark]:
        """See ``ports.Decisions.list_records``."""
        spot = after.get(self.name, BEGIN)
        page = await self.store.list_records(tenant, query, spot, records_max=records_max)
        following = None if page.next is None else {self.name: page.next}
        return Page(items=page.items, next=following)

    async def append_resolution(
        self, key: RecordKey, *, note: str, who: str
    ) -> Known | NotResolved:
        """See ``ports.Decisions.append_resolution``."""
        return await self._resolver.resolve(key, note=note, who=who)

    async def usage(self, tenant: str, day: int) -> Held:
        """See ``ports.Decisions.usage``."""
        return self._decider.usage(tenant, day)


def local_shard(  # noqa: PLR0913 - each is named at the call
    name: str,
    store: Shard,
    *,
    region: str,
    policies: Policies,
    quotas: Quotas,
    clock: Clock,
) -> LocalShard:
    """Return a shard with the ones that decide and resolve for it (see ``Decider``)."""
    decider = Decider(store, region=region, policies=policies, quotas=quotas)
    return LocalShard(name, store, decider=decider, resolver=Resolver(store, clock=clock))
