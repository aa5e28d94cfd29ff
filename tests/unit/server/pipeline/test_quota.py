"""A tenant's rate and day over all shards: reserved, given back, doubted, never over."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, cast

import pytest

from fractal_lba.protocol.errors import DurabilityError, UnavailableError
from fractal_lba.server.charging import ChargeEnd, Settle
from fractal_lba.server.core.answer import Answer
from fractal_lba.server.core.tenant_policy import Policies, TenantPolicy
from fractal_lba.server.core.usage import NO_USAGE, Held, Usage
from fractal_lba.server.pipeline.quota import Quotas

if TYPE_CHECKING:
    from fractal_lba.server.ports import Decisions

DAY_NS = 86_400_000_000_000
NOON = 20_778 * DAY_NS + DAY_NS // 2
TODAY = ("acme", NOON // DAY_NS)
ONE = Usage(records=1, bytes=700)
KEPT, NOT_WRITTEN, IN_DOUBT = ChargeEnd.KEPT, ChargeEnd.NOT_WRITTEN, ChargeEnd.IN_DOUBT

T = TypeVar("T")


@dataclass
class Kept:
    """The part of all shards that quotas ask: what they hold or may hold."""

    kept: dict[tuple[str, int], Usage] = field(default_factory=dict)
    is_exact: bool = True
    reads: int = 0
    fails: bool = False

    async def usage(self, tenant: str, day: int) -> Held:
        self.reads += 1
        await asyncio.sleep(0)
        if self.fails:
            raise DurabilityError("index: expected a value, got none")
        return Held(used=self.kept.get((tenant, day), NO_USAGE), is_exact=self.is_exact)


@dataclass
class World:
    policy: TenantPolicy
    shards: Kept = field(default_factory=Kept)
    now_ns: int = 0
    settles: list[Settle] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.quotas = Quotas(
            cast("Decisions", self.shards),
            policies=Policies(named={"acme": self.policy}),
            monotonic=lambda: self.now_ns,
        )

    async def reserve(
        self, tenant: str = "acme", *, at: int = NOON, is_recovered: bool = False
    ) -> Answer | None:
        reserved = await self.quotas.reserve(tenant, ONE, received_ns=at, is_recovered=is_recovered)
        if isinstance(reserved, Answer):
            return reserved
        self.settles.append(reserved)
        return None

    def settle(self, end: ChargeEnd, *, at: int = NOON) -> None:
        if end is KEPT:
            key = ("acme", at // DAY_NS)
            self.shards.kept[key] = self.shards.kept.get(key, NO_USAGE) + ONE
        self.settles.pop()(end)

    async def keep(self, *, at: int = NOON) -> None:
        assert await self.reserve(at=at) is None
        self.settle(KEPT, at=at)


def run(steps: Awaitable[T]) -> T:
    async def main() -> T:
        return await steps

    return asyncio.run(main())


def test_a_day_takes_exactly_what_it_may_and_begins_again() -> None:
    async def steps() -> None:
        world = World(TenantPolicy(records_per_day=3))
        for _ in range(3):
            await world.keep()
        over = await world.reserve()
        assert over is not None
        assert (over.status, over.code, over.retry_after_s) == (429, "quota_exceeded", 43_200)
        assert await world.reserve(at=NOON + DAY_NS) is None
        # Read once for each day: from then on it is counted.
        assert world.shards.reads == 2

    run(steps())


def test_nothing_is_read_or_kept_of_a_tenant_that_nothing_is_asked_of() -> None:
    world = World(TenantPolicy(records_per_day=3))
    assert world.quotas.concerns("acme")
    assert not world.quotas.concerns("globex")
    assert World(TenantPolicy(rate_per_s=1)).quotas.concerns("acme")


def test_many_that_ask_at_once_get_exactly_what_is_left() -> None:
    async def steps() -> None:
        world = World(TenantPolicy(records_per_day=10), Kept({TODAY: ONE + ONE + ONE}))
        answers = await asyncio.gather(*(world.reserve() for _ in range(40)))
        assert answers.count(None) == 7
        assert world.shards.reads == 1

    run(steps())


def test_what_is_under_way_is_counted_before_it_is_kept() -> None:
    async def steps() -> None:
        world = World(TenantPolicy(bytes_per_day=1_400))
        assert await world.reserve() is None
        assert await world.reserve() is None
        assert await world.reserve() is not None
        world.settle(KEPT)
        world.settle(KEPT)
        assert await world.reserve() is not None

    run(steps())


def test_what_the_ledgers_held_before_is_counted() -> None:
    world = World(TenantPolicy(records_per_day=1), Kept({TODAY: ONE}))
    assert run(world.reserve()) is not None


def test_what_was_not_written_is_given_back() -> None:
    async def steps() -> None:
        world = World(TenantPolicy(records_per_day=1, rate_per_s=1, burst=1))
        for _ in range(3):
            assert await world.reserve() is None
            world.settle(NOT_WRITTEN)
        await world.keep()
        over = await world.reserve()
        assert over is not None
        assert over.retry_after_s == 43_200

    run(steps())


@pytest.mark.parametrize("is_on_disk", [True, False])
def test_what_is_in_doubt_counts_until_its_shard_is_mended(*, is_on_disk: bool) -> None:
    async def steps() -> None:
        world = World(TenantPolicy(records_per_day=2))
        await world.keep()
        assert await world.reserve() is None
        world.settle(IN_DOUBT)
        world.shards.kept[TODAY] = ONE + ONE  # the shard says what may be there as well
        world.shards.is_exact = False
        for _ in range(2):
            # Not a 429 until tomorrow: nobody knows yet.
            with pytest.raises(UnavailableError, match=r"^quota: expected every shard"):
                await world.reserve()
        world.shards.is_exact = True
        world.shards.kept[TODAY] = ONE + ONE if is_on_disk else ONE
        over = await world.reserve()
        assert (over is not None) is is_on_disk
        assert over is None or over.code == "quota_exceeded"

    run(steps())


def test_what_is_in_doubt_is_not_read_again_while_others_are_under_way() -> None:
    async def steps() -> None:
        world = World(TenantPolicy(records_per_day=2))
        assert await world.reserve() is None
        assert await world.reserve() is None
        world.settle(IN_DOUBT)
        # It would be counted twice, or not at all: what is under way may be in an index by now.
        with pytest.raises(UnavailableError):
            await world.reserve()
        world.settle(KEPT)
        assert await world.reserve() is None
        assert await world.reserve() is not None

    run(steps())


def test_a_day_that_begins_beside_a_fenced_shard_is_asked_again_before_it_is_over() -> None:
    async def steps() -> None:
        world = World(TenantPolicy(records_per_day=2), Kept({TODAY: ONE + ONE}, is_exact=False))
        with pytest.raises(UnavailableError):
            await world.reserve()
        world.shards.is_exact = True
        world.shards.kept[TODAY] = ONE
        assert await world.reserve() is None

    run(steps())


def test_a_day_that_cannot_be_told_is_asked_for_again() -> None:
    async def steps() -> None:
        world = World(TenantPolicy(records_per_day=1), Kept(fails=True))
        with pytest.raises(DurabilityError):
            await world.reserve()
        world.shards.fails = False
        assert await world.reserve() is None

    run(steps())


def test_a_rate_is_asked_of_what_is_new_now_and_not_of_what_was_left_open() -> None:
    async def steps() -> None:
        world = World(TenantPolicy(rate_per_s=2, burst=1, records_per_day=9))
        assert await world.reserve() is None
        over = await world.reserve()
        assert over is not None
        assert (over.code, over.retry_after_s) == ("quota_exceeded", 0.5)
        assert await world.reserve(is_recovered=True) is None
        world.now_ns = 500_000_000
        assert await world.reserve() is None

    run(steps())


def test_a_recovered_body_is_charged_to_the_day_of_its_receipt() -> None:
    async def steps() -> None:
        world = World(TenantPolicy(records_per_day=1), Kept({TODAY: ONE}))
        assert await world.reserve(at=NOON + DAY_NS) is None
        assert await world.reserve(at=NOON, is_recovered=True) is not None
        assert await world.reserve(at=NOON - DAY_NS, is_recovered=True) is None
        # The day before is held by its reservation: what ends it is not lost on another.
        world.settle(KEPT, at=NOON - DAY_NS)
        assert await world.reserve(at=NOON + DAY_NS) is not None

    run(steps())
