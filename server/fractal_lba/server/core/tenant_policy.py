"""What is asked of each tenant: its horizon, its rate, its share of a day, its versions."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantPolicy:
    """What one tenant may send.

    Attributes:
        accepts_legacy: Whether records of version 0.1 are taken.
        horizon_days: Days, 1 or more: a new record with an older ``created_at`` is refused.
        rate_per_s: New records a second; 0 is no limit.
        burst: New records at once after a quiet time, 1 or more.
        records_per_day: New records in a UTC day of receipt; 0 is no limit.
        bytes_per_day: Their bytes; 0 is no limit.
    """

    accepts_legacy: bool = True
    horizon_days: int = 400
    rate_per_s: float = 0.0
    burst: int = 10_000
    records_per_day: int = 0
    bytes_per_day: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The policy of every tenant: its own, or the default."""

    default: TenantPolicy = field(default_factory=TenantPolicy)
    named: Mapping[str, TenantPolicy] = field(default_factory=dict)

    def of(self, tenant: str) -> TenantPolicy:
        """Return what is asked of a tenant."""
        return self.named.get(tenant, self.default)
