"""Charge tenants for what is new: rate and day, reserved before the ledger, given back on failure.

What the ledger holds of a day comes from the index; what is under way is counted here, on the event
loop, so that a reservation and what it becomes are never counted both.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fractal_lba.server.core import admission
from fractal_lba.server.core.admission import Bucket, Rate
from fractal_lba.server.core.answer import Answer, ServerCode, problem
from fractal_lba.server.core.tenant_policy import Policies, TenantPolicy
from fractal_lba.server.core.usage import NO_USAGE, Usage, day_of, over_day, seconds_left
from fractal_lba.server.ports import Clock, Shard


@dataclass(slots=True)
class _Day:
    """What a tenant sent in one day: in the ledger, and on the way there.

    ``is_stale`` after a failed append, which may have reached the disk all the same.
    """

    kept: Usage
    under_way: Usage = NO_USAGE
    is_stale: bool = False


class Quotas:
    """What each tenant may still send.

    Args:
        shard: What was sent before.
        policies: What is asked of each tenant.
        monotonic: Nanoseconds of a clock that no one sets, for rates.
    """

    def __init__(self, shard: Shard, *, policies: Policies, monotonic: Clock) -> None:
        self._shard = shard
        self._policies = policies
        self._monotonic = monotonic
        self._days: dict[tuple[str, int], _Day] = {}
        self._buckets: dict[str, Bucket] = {}

    def refuse(
        self, tenant: str, charge: Usage, *, received_ns: int, is_recovered: bool
    ) -> Answer | None:
        """Return the 429 of a new record that is over a quota, or take one of the tenant's rate.

        Nothing may be awaited between this and ``charged``. A body that was left open and is
        settled later is charged to the day of its receipt, and is not asked for the rate, which it
        met when it was received.

        Raises:
            DurabilityError: What was sent before cannot be told.
        """
        policy = self._policies.of(tenant)
        if _has_day(policy):
            day = self._day(tenant, received_ns)
            if limit := over_day(policy, day.kept + day.under_way + charge):
                return problem(
                    ServerCode.QUOTA_EXCEEDED,
                    f"tenant: expected at most {limit}, got more",
                    retry_after_s=seconds_left(received_ns),
                )
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

    @contextmanager
    def charged(
        self, tenant: str, charge: Usage, *, received_ns: int, is_recovered: bool
    ) -> Iterator[None]:
        """Count a record as under way while the block runs, and as kept where it ends well."""
        policy = self._policies.of(tenant)
        day = self._day(tenant, received_ns) if _has_day(policy) else _Day(NO_USAGE)
        day.under_way += charge
        try:
            yield
        except BaseException:
            day.is_stale = True
            if not is_recovered and tenant in self._buckets:
                self._buckets[tenant] = admission.give_back(self._buckets[tenant], _rate(policy))
            raise
        else:
            day.kept += charge
        finally:
            day.under_way -= charge

    def _day(self, tenant: str, received_ns: int) -> _Day:
        key = (tenant, day_of(received_ns))
        day = self._days.get(key)
        if day is None:
            self._days = {
                other: each
                for other, each in self._days.items()
                if other[1] == key[1] or each.under_way.records
            }
            day = self._days[key] = _Day(self._shard.usage(*key))
        elif day.is_stale and not day.under_way.records:
            day.kept, day.is_stale = self._shard.usage(*key), False
        return day


def _has_day(policy: TenantPolicy) -> bool:
    return bool(policy.records_per_day or policy.bytes_per_day)


def _rate(policy: TenantPolicy) -> Rate:
    return Rate(per_s=policy.rate_per_s, burst=policy.burst)
