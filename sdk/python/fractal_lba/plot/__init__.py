"""Plots: what the signals of one window were computed from, as one picture.

The rule: a picture shows the numbers of the record and what they were counted from, and nothing
that was computed otherwise. It needs no display and touches none. Needs the extra ``plot``.
"""

from fractal_lba.plot.picture import draw, png

__all__ = ["draw", "png"]
