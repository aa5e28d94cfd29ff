"""What follows from a record's own numbers: D̂, the regime and the budget.

Producer and verifier must get the same bits, so every formula is written one double operation at
a time, in the order of ``specs/pcs.md`` section 5, and rounded in one place.
"""

import math
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from itertools import combinations
from typing import Final

from fractal_lba.protocol.errors import ContractError

STICKY_COH_STAR_MIN: Final = 0.70
STICKY_D_HAT_MAX: Final = 1.5
NON_STICKY_D_HAT_MIN: Final = 2.6

_SCALES_CACHED: Final = 64
"""An agent uses one set of scales, a server meets a few."""


class Regime(StrEnum):
    """How the points of a window lie: along one thing, or all over, or between."""

    STICKY = "sticky"
    MIXED = "mixed"
    NON_STICKY = "non_sticky"


def rounded(x: float) -> float:
    """Return a finite number rounded to 9 decimals, half away from zero, and never ``-0.0``."""
    magnitude = math.floor(abs(x) * 1e9 + 0.5) / 1e9
    return -magnitude if x < 0 and magnitude else magnitude


def theil_sen_slope(n_j: Mapping[int, int]) -> float:
    """Return the median slope of log2 N(s) over log2 s, over all pairs of scales.

    Args:
        n_j: scale (≥ 1, cells per axis) to occupied cells (≥ 1); at least two scales.

    Raises:
        ContractError: Fewer than two scales; nothing was computed.

    Source: Sen (1968), doi:10.1080/01621459.1968.10480934; the mean of the middle two if even.
    """
    if len(n_j) < 2:  # noqa: PLR2004  # a slope needs two points
        raise ContractError(f"n_j: expected at least 2 scales, got {len(n_j)}")
    scales = tuple(sorted(n_j))
    logs = [math.log2(n_j[scale]) for scale in scales]
    slopes = sorted([(logs[b] - logs[a]) / run for a, b, run in _runs(scales)])
    middle = len(slopes) // 2
    if len(slopes) % 2:
        return slopes[middle]
    return (slopes[middle - 1] + slopes[middle]) / 2


@lru_cache(maxsize=_SCALES_CACHED)
def _runs(scales: tuple[int, ...]) -> tuple[tuple[int, int, float], ...]:
    """Return each pair of places in ascending scales, and how far apart they are in log2."""
    logs = [math.log2(scale) for scale in scales]
    return tuple((a, b, logs[b] - logs[a]) for a, b in combinations(range(len(scales)), 2))


def d_hat(n_j: Mapping[int, int]) -> float:
    """Return D̂ as a record carries it: `theil_sen_slope`, rounded.

    Raises:
        ContractError: Fewer than two scales; nothing was computed.
    """
    return rounded(theil_sen_slope(n_j))


def regime(d_hat: float, coh_star: float) -> Regime:
    """Return the regime of two rounded values."""
    if coh_star >= STICKY_COH_STAR_MIN and d_hat <= STICKY_D_HAT_MAX:
        return Regime.STICKY
    return Regime.NON_STICKY if d_hat >= NON_STICKY_D_HAT_MIN else Regime.MIXED


def budget(d_hat: float, coh_star: float, r: float) -> float:
    """Return the rounded share of attention a window deserves, 0 … 1.

    ``d_hat`` and ``coh_star`` are rounded values; ``r`` too.
    """
    share = ((0.10 + 0.30 * (1 - r)) + 0.50 * max(0.0, d_hat - 2.2)) + 0.20 * coh_star
    return rounded(min(1.0, max(0.0, share)))
