"""A minute at 70 % of the maximum while a random worker is killed every 5 s.

The load, the kills and what is held to are ``tests.support.worker_kills``': every record is sent
until it is answered, and asked for again in the end. ``make nightly`` does the same for ten.
"""

import random
from pathlib import Path
from typing import Final

from benchmarks.figures import SAMPLES_MIN, Figure
from tests.support.worker_kills import GROWTH_MAX, soaked

SECONDS: Final = 60.0
WORKERS: Final = 2


def measure(folder: Path) -> list[Figure]:
    """Return the figures of this module."""
    seed = random.SystemRandom().randrange(2**32)
    found = soaked(folder / "soak", workers=WORKERS, seconds=SECONDS, seed=seed)
    part = max(SAMPLES_MIN, len(found.held) // 3)
    early = max(found.held[:part])
    name = f"{SECONDS:g} s at 70 % of the maximum, {found.kills} kills of {WORKERS} workers"
    return [
        Figure(
            name=f"{name}: records lost or decided twice, of {found.acknowledged:,}",
            unit="records",
            samples=(float(found.lost + found.twice),) * SAMPLES_MIN,
            at_most=0.0,
        ),
        Figure(
            name=f"{name}: most memory of a worker, in the last third ÷ the most in the first",
            unit="×",
            samples=tuple(each / early for each in found.held[-part:]),
            at_most=GROWTH_MAX,
        ),
        Figure(name=f"{name}: served", unit="records/s", samples=tuple(found.served)),
    ]
