"""Hints: the options that read a table in another way, for whoever met a cell that is no number."""

from fractal_lba.agent.sources.timed import time_ms


def hint_of(cell: object) -> str:
    """Return what to do about a cell that is no number; nothing of it is repeated."""
    if isinstance(cell, str) and time_ms(cell) is not None:
        return "; --time-column takes a time, --columns leaves it out"
    return "; --columns leaves a column out, --degraded replaces what is missing"
