"""What is asked of each tenant, from what is set for all and for one."""

from dataclasses import replace

import msgspec

from fractal_lba.server.config.settings import Settings
from fractal_lba.server.core.tenant_policy import Policies, TenantPolicy


def policies(settings: Settings) -> Policies:
    """Return what is asked of each tenant: the defaults, and where a table overrides them."""
    default = TenantPolicy(
        accepts_legacy=settings.tenant_accepts_legacy,
        horizon_days=settings.horizon_days,
        rate_per_s=settings.tenant_rate_per_s,
        burst=settings.tenant_burst,
        records_per_day=settings.tenant_records_per_day,
        bytes_per_day=settings.tenant_bytes_per_day,
    )
    return Policies(
        default=default,
        named={
            tenant: replace(default, **msgspec.to_builtins(table))
            for tenant, table in settings.tenants.items()
        },
    )
