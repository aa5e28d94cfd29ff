"""What is set for one tenant alone."""

from typing import Annotated

import msgspec

from fractal_lba.protocol.described import described


@described
class TenantTable(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What ``[tenants.NAME]`` sets for one tenant; what it leaves out is every tenant's."""

    accepts_legacy: bool | None = None
    horizon_days: Annotated[int, msgspec.Meta(ge=1)] | None = None
    rate_per_s: Annotated[float, msgspec.Meta(ge=0)] | None = None
    burst: Annotated[int, msgspec.Meta(ge=1)] | None = None
    records_per_day: Annotated[int, msgspec.Meta(ge=0)] | None = None
    bytes_per_day: Annotated[int, msgspec.Meta(ge=0)] | None = None
