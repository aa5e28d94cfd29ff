"""What is under way is reserved, what failed is given back, and neither is counted twice."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.server.core.answer import Answer
from fractal_lba.server.core.tenant_policy import Policies, TenantPolicy
from fractal_lba.server.core.usage import NO_USAGE, Usage
from fractal_lba.server.pipeline.quota import Quotas

if TYPE_CHECKING:
    from fractal_lba.server.ports import Shard

DAY_NS = 86_400_000_000_000
NOON = 20_778 * DAY_NS + DAY_NS // 2
ONE = Usage(records=1, bytes=700)


@dataclass
class Kept:
    """The part of a shard that quotas ask: what the ledger holds."""

    kept: dict[tuple[str, int], Usage] = field(default_factory=dict)

    def usage(self, tenant: str, day: int) -> Usage:
        return self.kept.get((tenant, day), NO_USAGE)


@dataclass
class World:
    policy: TenantPolicy
    shard: Kept = field(default_factory=Kept)
    now_ns: int = 0

    def __post_init__(self) -> None:
        self.quotas = Quotas(
            cast("Shard", self.shard),
            policies=Policies(named={"acme": self.policy}),
            monotonic=lambda: self.now_ns,
        )

    def refuse(
        self, tenant: str = "acme", *, at: int = NOON, is_recovered: bool = False
    ) -> Answer | None:
        return self.quotas.refuse(tenant, ONE, received_ns=at, is_recovered=is_recovered)

    def keep(self, tenant: str = "acme", *, at: int = NOON, fails: bool = False) -> None:
        with self.quotas.charged(tenant, ONE, received_ns=at, is_recovered=False):
            if fails:
                raise DurabilityError("ledger: expected a commit, got none")
            key = (tenant, at // DAY_NS)
            self.shard.kept[key] = self.shard.usage(*key) + ONE


def test_a_day_takes_exactly_what_it_may_and_begins_again() -> None:
    world = World(TenantPolicy(records_per_day=3))
    for _ in range(3):
        assert world.refuse() is None
        world.keep()
    over = world.refuse()
    assert over is not None
    assert (over.status, over.code, over.retry_after_s) == (429, "quota_exceeded", 43_200)
    assert world.refuse("globex") is None
    assert world.refuse(at=NOON + DAY_NS) is None


def test_what_is_under_way_is_counted_before_it_is_kept() -> None:
    world = World(TenantPolicy(bytes_per_day=1_400))
    assert world.refuse() is None
    with world.quotas.charged("acme", ONE, received_ns=NOON, is_recovered=False):
        assert world.refuse() is None
        with world.quotas.charged("acme", ONE, received_ns=NOON, is_recovered=False):
            assert world.refuse() is not None
    assert world.refuse() is not None


def test_what_the_ledger_held_before_is_counted() -> None:
    world = World(TenantPolicy(records_per_day=1), Kept({("acme", NOON // DAY_NS): ONE}))
    assert world.refuse() is not None


def test_what_failed_is_given_back_unless_the_ledger_holds_it_all_the_same() -> None:
    world = World(TenantPolicy(records_per_day=1, rate_per_s=1, burst=1))
    for _ in range(3):
        assert world.refuse() is None
        with pytest.raises(DurabilityError):
            world.keep(fails=True)
    world.shard.kept["acme", NOON // DAY_NS] = ONE  # a replay found it
    over = world.refuse()
    assert over is not None
    assert over.retry_after_s == 43_200


def test_a_rate_is_asked_of_what_is_new_now_and_not_of_what_was_left_open() -> None:
    world = World(TenantPolicy(rate_per_s=2, burst=1))
    assert world.refuse() is None
    over = world.refuse()
    assert over is not None
    assert (over.code, over.retry_after_s) == ("quota_exceeded", 0.5)
    assert world.refuse(is_recovered=True) is None
    world.now_ns = 500_000_000
    assert world.refuse() is None


def test_a_recovered_body_is_charged_to_the_day_of_its_receipt() -> None:
    world = World(TenantPolicy(records_per_day=1), Kept({("acme", NOON // DAY_NS): ONE}))
    assert world.refuse(at=NOON + DAY_NS) is None
    assert world.refuse(at=NOON, is_recovered=True) is not None
    assert world.refuse(at=NOON - DAY_NS, is_recovered=True) is None
