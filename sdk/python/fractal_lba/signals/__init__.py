"""Signals: what a window of data looks like, in a few numbers that every language agrees on.

The rule: IEEE-754 double, one correctly rounded operation at a time, in the order in which
``specs/signals.md`` writes them. numpy is used elementwise only: no sums, dot products or matrix
products, whose order of additions depends on the machine. Needs the extra ``signals``; does no I/O
and reads no clock.
"""

from fractal_lba.signals.summary import Summary, summarise_blocks, summarise_bytes, summarise_points
from fractal_lba.signals.window import DEFAULT_SCALES, DEFAULT_SEED

__all__ = [
    "DEFAULT_SCALES",
    "DEFAULT_SEED",
    "Summary",
    "summarise_blocks",
    "summarise_bytes",
    "summarise_points",
]
