"""A shard of this process answers as its own store does, under its own name."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.server.core.listing import BEGIN, Page, Query, Spot
from fractal_lba.server.pipeline.local import LocalShard
from fractal_lba.server.ports import Listed, Loss

pytestmark = pytest.mark.asyncio

UNUSED = cast("Any", None)


@dataclass
class Store:
    """The part of a shard that is asked here."""

    fenced_by: str | None = None
    losses: tuple[tuple[int, int], ...] = ()
    following: Spot | None = None
    after: list[Spot] = field(default_factory=list)

    def lookup(self, _keys: object) -> list[DurabilityError | None]:
        return [DurabilityError(self.fenced_by) if self.fenced_by else None]

    async def read(self, _places: object) -> list[DurabilityError]:
        return [DurabilityError("north/ledger: expected an entry, got damage")]

    async def list_records(self, *asked: Any, records_max: int) -> Page[Listed, Spot]:  # noqa: ANN401 - as the port has it
        self.after.append(asked[2])
        assert records_max == 5
        return Page(items=(), next=self.following)


def local(store: Store) -> LocalShard:
    return LocalShard("north", cast("Any", store), decider=UNUSED, resolver=UNUSED)


async def test_a_fence_and_a_loss_are_told_under_the_shards_name() -> None:
    sound = local(Store())
    assert (sound.fenced_by, sound.fences, sound.losses) == (None, (), ())
    fenced = local(Store("north/ledger: full", ((3, 4),)))
    assert fenced.fenced_by == "north/ledger: full"
    assert fenced.fences == ("north/ledger: full",)
    assert fenced.losses == (Loss("north", 3, 4),)


async def test_what_cannot_be_told_is_raised_to_whoever_asks() -> None:
    assert await local(Store()).known(UNUSED) is None
    with pytest.raises(DurabilityError):
        await local(Store("north/ledger: full")).known(UNUSED)
    with pytest.raises(DurabilityError, match="damage"):
        await local(Store()).entry(UNUSED, UNUSED)


async def test_a_listing_goes_on_at_the_shards_own_place() -> None:
    store = Store(following=Spot(0, 9))
    page = await local(store).list_records("acme", Query(), {"south": Spot(0, 5)}, records_max=5)
    assert page.next == {"north": Spot(0, 9)}
    await local(store).list_records("acme", Query(), page.next, records_max=5)
    assert store.after == [BEGIN, Spot(0, 9)]
    store.following = None
    last = await local(store).list_records("acme", Query(), {}, records_max=5)
    assert last.next is None
