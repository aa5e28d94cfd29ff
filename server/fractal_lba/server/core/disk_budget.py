"""How much room is left for the data folder, how fast it goes, and when it will be gone."""

import math
from dataclasses import dataclass
from typing import Final

GROWTH_AVERAGED_OVER_S: Final = 600.0
"""Growth is an average in which what was so long ago counts for a third: longer than a burst or the
removal of a segment, shorter than an operator takes to come."""

_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What the data folder may take, and what has to stay free on its file system, in bytes.

    ``used_max`` of 0: as much as there is; ``free_min`` of 0: down to the last byte.
    """

    used_max: int
    free_min: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Bytes in the data folder, and free beside them, at a moment of a monotonic clock.

    ``index`` are those of ``used`` that the shards' indexes take.
    """

    used: int
    free: int
    index: int
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Where the data folder stands and where it goes.

    Attributes:
        measured: It is about.
        room: Bytes until nothing more is taken; 0 when that is reached.
        growth_per_s: Bytes a second, negative where more is removed than written.
        index_growth_per_s: That of the indexes.
        until_full_s: Infinite while it does not grow.
    """

    measured: Measured
    room: int
    growth_per_s: float
    index_growth_per_s: float
    until_full_s: float

    @property
    def index_in_a_day(self) -> int:
        """What the indexes will take a day after the measurement, in bytes, if they go on so."""
        return max(0, round(self.measured.index + _DAY_S * self.index_growth_per_s))


def forecast(measured: Measured, budget: Budget, before: Forecast | None) -> Forecast:
    """Return what follows from a measurement and the forecast before it."""
    room = measured.free - budget.free_min
    if budget.used_max:
        room = min(room, budget.used_max - measured.used)
    room = max(0, room)
    growth = index_growth = 0.0
    if before is not None:
        then = before.measured
        seconds = measured.at_s - then.at_s
        growth = _averaged(before.growth_per_s, seconds, measured.used - then.used)
        index_growth = _averaged(before.index_growth_per_s, seconds, measured.index - then.index)
    until_full_s = room / growth if growth > 0 else math.inf
    return Forecast(
        measured=measured,
        room=room,
        growth_per_s=growth,
        index_growth_per_s=index_growth,
        until_full_s=until_full_s if room else 0.0,
    )


def refusal(found: Forecast, budget: Budget) -> str | None:
    """Return why nothing more is taken, or ``None``."""
    measured = found.measured
    if budget.used_max and measured.used >= budget.used_max:
        return (
            f"disk: expected less than {budget.used_max} bytes in the data folder, "
            f"got {measured.used}"
        )
    if budget.free_min and measured.free <= budget.free_min:
        return f"disk: expected more than {budget.free_min} bytes free, got {measured.free}"
    return None


def _averaged(rate_before: float, seconds: float, grown: int) -> float:
    """Return the average of a growth in bytes a second, so many seconds and bytes later."""
    if seconds <= 0:
        return rate_before
    weight = 1 - math.exp(-seconds / GROWTH_AVERAGED_OVER_S)
    return rate_before + weight * (grown / seconds - rate_before)
