"""What is left of the disk, when it will be gone, and from when on nothing more is taken."""

import math

import pytest

from fractal_lba.server.core.disk_budget import (
    GROWTH_AVERAGED_OVER_S,
    Budget,
    Forecast,
    Measured,
    forecast,
    refusal,
)

BOTH = Budget(used_max=1_000, free_min=100)


def at(used: int, free: int = 10_000, at_s: float = 0.0, index: int = 0) -> Measured:
    return Measured(used=used, free=free, index=index, at_s=at_s)


@pytest.mark.parametrize(
    ("budget", "measured", "room", "says"),
    [
        pytest.param(BOTH, at(400), 600, None, id="by the bound of the folder"),
        pytest.param(BOTH, at(400, free=150), 50, None, id="by what is free"),
        pytest.param(BOTH, at(999), 1, None, id="one byte left"),
        pytest.param(
            BOTH,
            at(1_000),
            0,
            "disk: expected less than 1000 bytes in the data folder, got 1000",
            id="used up",
        ),
        pytest.param(BOTH, at(0, free=101), 1, None, id="one byte more than what has to stay free"),
        pytest.param(
            BOTH,
            at(0, free=100),
            0,
            "disk: expected more than 100 bytes free, got 100",
            id="what has to stay free",
        ),
        pytest.param(
            Budget(used_max=0, free_min=100), at(1 << 40), 9_900, None, id="no bound of the folder"
        ),
        pytest.param(
            Budget(used_max=0, free_min=0), at(1, free=1), 1, None, id="down to the last byte"
        ),
        pytest.param(BOTH, at(5_000, free=5), 0, "disk: expected less than 1000", id="over both"),
    ],
)
def test_room_and_refusal(budget: Budget, measured: Measured, room: int, says: str | None) -> None:
    found = forecast(measured, budget, None)
    assert found.room == room
    told = refusal(found, budget)
    assert (told or "").startswith(says or "")
    assert (told is None) == (says is None) == (room > 0)
    assert (found.growth_per_s, found.until_full_s) == (0, 0 if room == 0 else math.inf)


def grown(rate: float, seconds: int, step_s: float = 5.0) -> Forecast:
    """Return the forecast after steady growth from nothing."""
    budget = Budget(used_max=1_000_000, free_min=0)
    found = forecast(at(0), budget, None)
    for index in range(1, int(seconds / step_s) + 1):
        moment = index * step_s
        used = int(rate * moment)
        found = forecast(at(used, free=1 << 40, at_s=moment), budget, found)
    return found


def test_steady_growth_is_found_and_tells_when_the_room_is_gone() -> None:
    found = grown(100, 6_000)
    assert found.growth_per_s == pytest.approx(100, rel=0.01)
    assert found.until_full_s == pytest.approx(found.room / 100, rel=0.01)
    # After one span of averaging about two thirds of it are known.
    early = grown(100, int(GROWTH_AVERAGED_OVER_S))
    assert early.growth_per_s == pytest.approx(100 * (1 - 1 / math.e), rel=0.02)


def test_the_rate_does_not_depend_on_how_often_it_is_measured() -> None:
    often, rarely = grown(100, 600, step_s=1), grown(100, 600, step_s=60)
    assert often.growth_per_s == pytest.approx(rarely.growth_per_s, rel=0.01)


def test_what_shrinks_is_never_full_and_a_clock_that_stands_changes_nothing() -> None:
    budget = Budget(used_max=1_000, free_min=0)
    first = forecast(at(900), budget, None)
    shrunk = forecast(at(100, at_s=60), budget, first)
    assert shrunk.growth_per_s < 0
    assert shrunk.until_full_s == math.inf
    assert forecast(at(500, at_s=60), budget, shrunk).growth_per_s == shrunk.growth_per_s


def test_the_indexes_of_a_day_from_now_are_foretold_from_their_own_growth() -> None:
    budget = Budget(used_max=0, free_min=0)
    found = forecast(at(10_000, index=1_000), budget, None)
    assert (found.index_growth_per_s, found.index_in_a_day) == (0, 1_000)
    for number in range(1, 1_000):
        moment = number * 6.0
        measured = at(10_000 + 5_000 * number, index=1_000 + 30 * number, at_s=moment)
        found = forecast(measured, budget, found)
    assert found.index_growth_per_s == pytest.approx(5, rel=0.01)
    assert found.index_in_a_day == pytest.approx(found.measured.index + 86_400 * 5, rel=0.01)
    gone = forecast(at(0, index=0, at_s=found.measured.at_s + 600), budget, found)
    assert gone.index_growth_per_s < 0
    assert gone.index_in_a_day == 0
