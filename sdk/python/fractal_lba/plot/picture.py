"""One window in three panels: cells against scales, the best direction, the cloud.

The colours are Okabe and Ito's, told apart by colour-blind readers, and whatever matters differs in
shape or hatching too. Fonts are those that come with matplotlib.
"""

import io
import math
from collections.abc import Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from fractal_lba.signals import Summary
from fractal_lba.signals.coherence import SPAN_MIN, bin_counts, coherence
from fractal_lba.signals.shortlist import BINS, projections
from fractal_lba.signals.window import ROWS_MAX

WIDTH_PIXELS, HEIGHT_PIXELS = 1920, 720

_DOTS_PER_INCH = 120
_BLUE, _VERMILION, _GREY = "#0072B2", "#D55E00", "#595959"
# Whatever matplotlibrc says: a picture is the same everywhere.
_STYLE: Final[dict[Any, Any]] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "text.usetex": False,
}
# Distinct points at most, and how they are drawn: few large, many small and pale, so that their
# density shows.
_DOTS = ((50, 40.0, 0.8), (500, 14.0, 0.7), (5_000, 6.0, 0.5), (ROWS_MAX, 2.0, 0.35))


def draw(summary: Summary, cube: NDArray[np.float64]) -> Figure:
    """Return the picture of a window.

    Args:
        summary: what is said of the window.
        cube: ``(3, P)``, the window's points in the unit cube (``cube_of_points``,
            ``cube_of_bytes``) under the summary's seed.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(
            figsize=(WIDTH_PIXELS / _DOTS_PER_INCH, HEIGHT_PIXELS / _DOTS_PER_INCH),
            dpi=_DOTS_PER_INCH,
        )
        FigureCanvasAgg(figure)  # draws in memory, whatever the display or MPLBACKEND
        figure.suptitle(_title(summary), fontsize=12, y=0.97)
        left, middle = (
            figure.add_axes((x, 0.13, 0.25, 0.63), label=name)
            for x, name in ((0.05, "cells"), (0.37, "direction"))
        )
        # Its axes are drawn far inside its rectangle.
        right = figure.add_axes((0.66, 0.02, 0.31, 0.82), label="cloud", projection="3d")
        _cells(left, summary, points=cube.shape[1])
        _direction(middle, summary, cube)
        _cloud(right, cube)
    return figure


def png(figure: Figure) -> bytes:
    """Return the picture as a PNG file of 1,920 by 720 pixels."""
    file = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(file, format="png", metadata={"Software": "fractal-lba"})
    return file.getvalue()


def _title(summary: Summary) -> str:
    unit = "bytes" if summary.profile == "bytes/1" else "rows"
    columns = "column" if summary.d == 1 else "columns"
    return (
        f"{summary.profile}    n = {summary.n:,} {unit}    d = {summary.d:,} {columns}\n"
        f"D_hat = {summary.d_hat:.4f}    coh_star = {summary.coh_star:.4f}    "
        f"r = {summary.r:.4f}    regime = {summary.regime}"
    )


def _cells(axes: Axes, summary: Summary, *, points: int) -> None:
    """Draw log2 of occupied cells over log2 of cells along an axis, and the fitted slope."""
    x = np.array([math.log2(scale) for scale in summary.n_j])
    y = np.array([math.log2(count) for count in summary.n_j.values()])
    # Sen's line: the median of all slopes, through the median of what it leaves.
    intercept = float(np.median(y - summary.d_hat * x))
    bound = axes.axhline(
        math.log2(points), color=_GREY, linestyle=":", label=f"all {points:,} points apart"
    )
    (fit,) = axes.plot(
        x,
        summary.d_hat * x + intercept,
        color=_VERMILION,
        linestyle="--",
        label=f"Theil–Sen slope D_hat = {summary.d_hat:.4f}",
        gid="fit",
    )
    (cells,) = axes.plot(
        x, y, color=_BLUE, marker="o", markersize=7, linestyle="none", label="counted", gid="cells"
    )
    axes.set_title("Occupied cells at each scale", pad=40)
    axes.set_xlabel("log2 of the scale s (cells along each axis)")
    axes.set_ylabel("log2 of N_j (occupied cells)")
    axes.set_ylim(-0.4, max(math.log2(points), float(y.max())) + 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.grid(visible=True, color="#E0E0E0", linewidth=0.6)
    axes.set_axisbelow(True)
    _legend(axes, [bound, fit, cells])


def _direction(axes: Axes, summary: Summary, cube: NDArray[np.float64]) -> None:
    """Draw the share of points in each of the 20 bins along the best direction."""
    _, best = coherence(cube, summary.seed)
    values, spare = np.empty((2, 1, cube.shape[1]))
    projections(cube, np.array([best]), values, spare)
    width = float(values.max() - values.min()) / BINS
    counts = bin_counts(values, spare)[0]
    shares = counts / cube.shape[1]
    numbers = np.arange(1, BINS + 1)
    fullest = int(counts.argmax())
    bars = axes.bar(numbers, shares, width=0.9, color=_BLUE, edgecolor="white")
    bars.patches[fullest].set(facecolor=_VERMILION, hatch="//")
    line = axes.axhline(
        summary.coh_star,
        color=_VERMILION,
        linestyle="--",
        label=f"coh_star = {summary.coh_star:.4f}",
        gid="coh_star",
    )
    v_star = ", ".join(f"{part:.2f}" for part in summary.v_star)
    axes.set_title("Along the best direction v_star", pad=40)
    wide = (
        "narrower than rounding" if width * BINS < SPAN_MIN else f"each {width:.3g} cube sides wide"
    )
    axes.set_xlabel(f"bin along v_star = ({v_star}), {wide}")
    axes.set_ylabel("share of the points, %")
    axes.set_xticks([1, 5, 10, 15, 20])
    axes.set_xlim(0.2, BINS + 0.8)
    axes.set_ylim(0.0, 1.08 * summary.coh_star)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1.0, symbol=""))
    _legend(
        axes,
        [
            line,
            Patch(facecolor=_VERMILION, edgecolor="white", hatch="//", label="fullest bin"),
            Patch(facecolor=_BLUE, label="the others"),
        ],
    )


def _cloud(axes: Any, cube: NDArray[np.float64]) -> None:  # noqa: ANN401 - it has no types
    """Draw the points as they lie in the unit cube."""
    total = cube.shape[1]
    distinct = np.unique(cube, axis=1).shape[1]
    size, alpha = next(drawn for limit, *drawn in _DOTS if distinct <= limit)
    axes.scatter(
        *cube, s=size, alpha=alpha, color=_BLUE, linewidths=0, depthshade=False, gid="cloud"
    )
    axes.set_title(f"{total:,} points in the unit cube, {distinct:,} distinct", y=1.09)
    for number, limit, label, ticks in (
        (1, axes.set_xlim, axes.set_xlabel, axes.set_xticks),
        (2, axes.set_ylim, axes.set_ylabel, axes.set_yticks),
        (3, axes.set_zlim, axes.set_zlabel, axes.set_zticks),
    ):
        limit(0.0, 1.0)
        label(f"column {number}, cube sides")
        ticks([0.0, 0.5, 1.0], labels=["0", "0.5", "1"])


def _legend(axes: Axes, handles: Sequence[Artist]) -> None:
    """Put the legend above the panel, where it can cover nothing that is drawn."""
    axes.legend(
        handles=list(handles),
        loc="lower left",
        bbox_to_anchor=(-0.04, 1.0),
        ncols=len(handles) - 1,
        frameon=False,
        fontsize=8.5,
    )
