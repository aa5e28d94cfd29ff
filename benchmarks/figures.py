"""Figures: what was measured, against which target, and how a table of them reads.

A figure holds every sample it was taken from; the table shows median, smallest and largest. A
figure without a target is printed all the same, with a dash where a verdict would stand.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

SAMPLES_MIN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table.

    ``at_most`` or ``at_least`` is the target, in ``unit``; ``None`` where there is none.
    """

    name: str
    unit: str
    samples: tuple[float, ...]
    at_most: float | None = None
    at_least: float | None = None

    def __post_init__(self) -> None:
        """Refuse a figure that stands on too few samples: that is a bug of its benchmark."""
        assert len(self.samples) >= SAMPLES_MIN, self.name  # noqa: S101
        assert self.at_most is None or self.at_least is None, self.name  # noqa: S101

    @property
    def verdict(self) -> str:
        """``PASS`` or ``FAIL`` by the median, a dash where there is no target."""
        middle = statistics.median(self.samples)
        if self.at_most is not None:
            return "PASS" if middle <= self.at_most else "FAIL"
        if self.at_least is not None:
            return "PASS" if middle >= self.at_least else "FAIL"
        return "–"

    @property
    def target(self) -> str:
        """The target as the table shows it, a dash where there is none."""
        if self.at_most is not None:
            return f"≤ {number(self.at_most)} {self.unit}"
        return "–" if self.at_least is None else f"≥ {number(self.at_least)} {self.unit}"


def number(value: float) -> str:
    """Return a number with three significant digits, thousands parted."""
    if value >= 1000:  # noqa: PLR2004 - above it the digits before the point are enough
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        "| figure | target | measured: median (min … max) | verdict |",
        "|---|---|---|---|",
    ]
    for figure in figures:
        low, high = min(figure.samples), max(figure.samples)
        measured = (
            f"{number(statistics.median(figure.samples))} {figure.unit} "
            f"({number(low)} … {number(high)}, n = {len(figure.samples)})"
        )
        lines.append(f"| {figure.name} | {figure.target} | {measured} | {figure.verdict} |")
    return "\n".join(lines)


def in_turn(
    rounds: int, first: Callable[[int], float], second: Callable[[int], float]
) -> tuple[list[float], list[float]]:
    """Measure two sides A B A B, so that whatever else the machine does meets both.

    Each is called with the number of the round, and once before (round −1) to warm up, uncounted.
    """
    first(-1)
    second(-1)
    a, b = [], []
    for index in range(rounds):
        a.append(first(index))
        b.append(second(index))
    return a, b


def ratios(over: Sequence[float], under: Sequence[float]) -> tuple[float, ...]:
    """Return the ratio of each pair of samples taken in the same round."""
    return tuple(x / y for x, y in zip(over, under, strict=True))
