"""A day of network trouble in seconds: everything arrives once, for little more than it takes."""

import pytest
from tests.support.troubled_days import check, lived


@pytest.mark.parametrize(("seed", "servers"), [(0, 1), (2, 2)])
def test_a_day_of_trouble_ends_with_every_window_decided_once(seed: int, servers: int) -> None:
    check(lived(seed, servers=servers), seed)
