import pytest

from fractal_lba.server.core.tenant_policy import TenantPolicy
from fractal_lba.server.core.usage import (
    NO_USAGE,
    Usage,
    day_name,
    day_named,
    day_of,
    over_day,
    seconds_left,
)

DAY_NS = 86_400_000_000_000
# 1970-01-01 was day 0; 2026-11-21 is 20,778 days later.
DAY, NAME = 20_778, "2026-11-21"


def test_a_day_begins_and_ends_at_midnight_utc() -> None:
    assert day_of(DAY * DAY_NS) == DAY
    assert day_of(DAY * DAY_NS - 1) == DAY - 1
    assert seconds_left(DAY * DAY_NS) == 86_400
    assert seconds_left((DAY + 1) * DAY_NS - 1_500_000_000) == 1.5


def test_a_day_and_its_name_are_each_other() -> None:
    assert day_name(DAY) == NAME
    assert day_named(NAME) == DAY
    for wrong in ("today", "2026-02-30", "2026-11-21T00:00"):
        with pytest.raises(ValueError, match=r"day|format|unconverted|month"):
            day_named(wrong)


def test_usage_adds_up_and_goes_back() -> None:
    both = Usage(records=1, bytes=700) + Usage(records=2, bytes=5)
    assert both == Usage(records=3, bytes=705)
    assert both - both == NO_USAGE


@pytest.mark.parametrize(
    ("used", "limit"),
    [
        (Usage(records=2, bytes=100), None),
        (Usage(records=3, bytes=100), "2 new records a day"),
        (Usage(records=2, bytes=101), "100 bytes of new records a day"),
    ],
)
def test_a_day_is_full_at_its_limit_and_over_it_beyond(used: Usage, limit: str | None) -> None:
    assert over_day(TenantPolicy(records_per_day=2, bytes_per_day=100), used) == limit
    assert over_day(TenantPolicy(), used) is None
