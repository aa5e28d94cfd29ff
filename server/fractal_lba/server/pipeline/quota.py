"""Charge tenants for what is new: rate and day, reserved before a ledger, given back on failure.

A tenant's day begins with the sum of what all shards say they hold or may hold of it; from then on
it is counted here, in one place for all of them. What a failed append left in doubt counts until
its shard is mended and every shard says again what it holds.
"""

import asyncio
from dataclasses import dataclass, field
from functools import partial

from fractal_lba.protocol.errors import UnavailableError
from fractal_lba.server.charging import ChargeEnd, Settle
from fractal_lba.server.core import admission
from fractal_lba.server.core.admission import Bucket, Rate
from fractal_lba.server.core.answer import Answer, ServerCode, problem
from fractal_lba.server.core.tenant_policy import Policies, TenantPolicy
from fractal_lba.server.core.usage import Usage, day_of, over_day, seconds_left
from fractal_lba.server.ports import Clock, Decisions


@dataclass(slots=True)
class _Day:
    """What a tenant sent in one day at the most: in a ledger, on the way there, or in doubt.

    ``is_stale`` where it may be less. ``holders`` are the reservations under way and whoever asks
    for one: such a day is not forgotten.
    """

    used: Usage | None = None
    under_way: int = 0
    is_stale: bool = False
    holders: int = 0
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


class Quotas:
    """What each tenant may still send, over all shards.

    Args:
        decisions: Every shard: what was sent before.
        policies: What is asked of each tenant.
        monotonic: Nanoseconds of a clock that no one sets, for rates.
    """

    def __init__(self, decisions: Decisions, *, policies: Policies, monotonic: Clock) -> None:
        self._decisions = decisions
        self._policies = policies
        self._monotonic = monotonic
        self._days: dict[tuple[str, int], _Day] = {}
        self._buckets: dict[str, Bucket] = {}

    def concerns(self, tenant: str) -> bool:
        """See ``charging.Quotas.concerns``."""
        policy = self._policies.of(tenant)
        return bool(policy.rate_per_s) or _has_day(policy)

    async def reserve(
        self, tenant: str, charge: Usage, *, received_ns: int, is_recovered: bool
    ) -> Answer | Settle:
        """See ``charging.Quotas.reserve``.

        Raises:
            DurabilityError: What was sent before cannot be told.
            UnavailableError: Whether the day is over depends on a shard that is being mended.
        """
        policy = self._policies.of(tenant)
        settle = partial(self._settle, tenant, charge, received_ns, is_recovered)
        if not _has_day(policy):
            return self._over_rate(tenant, policy, is_recovered=is_recovered) or settle
        day = self._held_day(tenant, received_ns)
        try:
            async with day.reading:
                over = await self._over_day(tenant, day, charge, received_ns)
                over = over or self._over_rate(tenant, policy, is_recovered=is_recovered)
                if over is None:
                    assert day.used is not None  # noqa: S101 - it was read before it was compared
                    day.used += charge
                    day.under_way += 1
                    day.holders += 1
                return over or settle
        finally:
            day.holders -= 1

    def _settle(
        self,
        tenant: str,
        charge: Usage,
        received_ns: int,
        is_recovered: bool,  # noqa: FBT001 - bound where it is reserved
        end: ChargeEnd,
    ) -> None:
        policy = self._policies.of(tenant)
        day = self._days.get((tenant, day_of(received_ns)))
        if day is not None and day.used is not None and _has_day(policy):
            day.under_way -= 1
            day.holders -= 1
            if end is ChargeEnd.NOT_WRITTEN:
                day.used -= charge
            day.is_stale = day.is_stale or end is ChargeEnd.IN_DOUBT
        if end is not ChargeEnd.KEPT and not is_recovered and tenant in self._buckets:
            self._buckets[tenant] = admission.give_back(self._buckets[tenant], _rate(policy))

    async def _over_day(
        self, tenant: str, day: _Day, charge: Usage, received_ns: int
    ) -> Answer | None:
        """Return the 429 of a charge that a day has no room for, which is read where it must be."""
        policy, number = self._policies.of(tenant), day_of(received_ns)
        if day.used is None:
            await self._read(tenant, number, day)
        assert day.used is not None  # noqa: S101 - read, or an error was raised
        limit = over_day(policy, day.used + charge)
        if limit and day.is_stale and not day.under_way:
            await self._read(tenant, number, day)
            limit = over_day(policy, day.used + charge)
        if not limit:
            return None
        if day.is_stale:
            raise UnavailableError(
                "quota: expected every shard to say what it holds of the day, got one being mended"
            )
        return problem(
            ServerCode.QUOTA_EXCEEDED,
            f"tenant: expected at most {limit}, got more",
            retry_after_s=seconds_left(received_ns),
        )

    async def _read(self, tenant: str, number: int, day: _Day) -> None:
        held = await self._decisions.usage(tenant, number)
        day.used, day.is_stale = held.used, not held.is_exact

    def _over_rate(self, tenant: str, policy: TenantPolicy, *, is_recovered: bool) -> Answer | None:
        if is_recovered or not policy.rate_per_s:
            return None
        now_ns = self._monotonic()
        rate = _rate(policy)
        bucket = self._buckets.get(tenant) or admission.full(rate, now_ns)
        self._buckets[tenant], wait_s = admission.take(bucket, rate, now_ns)
        if not wait_s:
            return None
        return problem(
            ServerCode.QUOTA_EXCEEDED,
            f"tenant: expected at most {policy.rate_per_s:g} new records a second, got more",
            retry_after_s=wait_s,
        )

    def _held_day(self, tenant: str, received_ns: int) -> _Day:
        key = (tenant, day_of(received_ns))
        day = self._days.get(key)
        if day is None:
            self._days = {
                other: each
                for other, each in self._days.items()
                if other[1] == key[1] or each.holders
            }
            day = self._days[key] = _Day()
        day.holders += 1
        return day


def _has_day(policy: TenantPolicy) -> bool:
    return bool(policy.records_per_day or policy.bytes_per_day)


def _rate(policy: TenantPolicy) -> Rate:
    return Rate(per_s=policy.rate_per_s, burst=policy.burst)
