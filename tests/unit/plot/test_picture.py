"""The picture of a window: what is drawn is what the record says, and it can be read."""

import functools
import itertools
import math
import struct
import zlib
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from tests.support.windows import byte_windows, point_windows

from fractal_lba.plot import draw, png
from fractal_lba.plot.picture import HEIGHT_PIXELS, WIDTH_PIXELS
from fractal_lba.signals import Summary, summarise_bytes, summarise_points
from fractal_lba.signals.summary import cube_of_bytes, cube_of_points

if TYPE_CHECKING:
    from matplotlib.patches import Rectangle

RNG = np.random.default_rng(11)
DRAWN = ("line in space", "plane in space", "gauss in 64", "constant table", "huge range")
NOISE = "noise, seed 7"
TEXTS = ("one word repeated", "prose", "three bytes")


@functools.cache
def cases() -> dict[str, tuple[Summary, NDArray[np.float64]]]:
    points, texts = point_windows(), byte_windows()
    noise = RNG.random((65_536, 3))
    scales = [2**power for power in range(1, 11)]
    return {
        **{name: (summarise_points(points[name]), cube_of_points(points[name])) for name in DRAWN},
        **{name: (summarise_bytes(texts[name]), cube_of_bytes(texts[name])) for name in TEXTS},
        NOISE: (
            summarise_points(noise, seed=7, scales=scales),
            cube_of_points(noise, seed=7),
        ),
    }


each_case = pytest.mark.parametrize("name", [*DRAWN, *TEXTS, NOISE])


def drawn(name: str) -> Figure:
    return draw(*cases()[name])


def line(figure: Figure, panel: int, gid: str) -> NDArray[np.float64]:
    """Return the ``(2, k)`` data of the line of that name."""
    (found,) = (each for each in figure.axes[panel].lines if each.get_gid() == gid)
    return np.asarray(found.get_data(orig=True), dtype=np.float64)


@each_case
def test_the_cells_are_those_of_the_record_under_its_slope(name: str) -> None:
    summary, _ = cases()[name]
    figure = drawn(name)
    scales, counts = line(figure, 0, "cells")
    expected = [(math.log2(scale), math.log2(count)) for scale, count in summary.n_j.items()]
    assert list(zip(scales, counts, strict=True)) == expected
    x, y = line(figure, 0, "fit")
    assert (y[-1] - y[0]) / (x[-1] - x[0]) == pytest.approx(summary.d_hat, abs=1e-9)
    # It leaves as much above itself as below.
    assert np.median(counts - y) == pytest.approx(0.0, abs=1e-12)


@each_case
def test_the_fullest_of_twenty_bins_is_coh_star(name: str) -> None:
    summary, _ = cases()[name]
    panel = drawn(name).axes[1]
    heights = [cast("Rectangle", bar).get_height() for bar in panel.patches]
    assert len(heights) == 20
    assert sum(heights) == pytest.approx(1.0)
    assert max(heights) == pytest.approx(summary.coh_star, abs=1e-9)
    (level,) = (each for each in panel.lines if each.get_gid() == "coh_star")
    assert list(cast("list[float]", level.get_ydata())) == [summary.coh_star] * 2
    # It is marked in another colour and by hatching, and no other bar is.
    hatched = [index for index, bar in enumerate(panel.patches) if bar.get_hatch()]
    assert hatched == [heights.index(max(heights))]


@each_case
def test_the_cloud_is_the_window_in_the_unit_cube(name: str) -> None:
    _, cube = cases()[name]
    (cloud,) = drawn(name).axes[2].collections
    held = cloud._offsets3d  # type: ignore[attr-defined]  # a three-dimensional one has them
    assert sorted(zip(*held, strict=True)) == sorted(zip(*cube, strict=True))


@each_case
def test_the_title_says_what_the_record_says(name: str) -> None:
    summary, _ = cases()[name]
    title = drawn(name).get_suptitle()
    assert summary.profile in title
    assert f"n = {summary.n:,} " in title
    assert f"d = {summary.d:,} " in title
    assert f"D_hat = {summary.d_hat:.4f}" in title
    assert f"coh_star = {summary.coh_star:.4f}" in title
    assert f"r = {summary.r:.4f}" in title
    assert f"regime = {summary.regime}" in title


def boxes(figure: Figure) -> dict[str, Bbox]:
    """Return where each text is, but for the numbers of the axes."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]  # matplotlib's
    texts = list(figure.texts)  # the title of the whole is among them
    for panel in figure.axes:
        texts += [panel.title, panel.xaxis.label, panel.yaxis.label]
        legend = panel.get_legend()
        texts += [] if legend is None else legend.get_texts()
    return {text.get_text(): text.get_window_extent(renderer) for text in texts if text.get_text()}


@each_case
def test_no_text_covers_another_or_leaves_the_picture(name: str) -> None:
    figure = drawn(name)
    png(figure)
    found = boxes(figure)
    whole = figure.bbox
    for text, box in found.items():
        assert whole.x0 <= box.x0 < box.x1 <= whole.x1, text
        assert whole.y0 <= box.y0 < box.y1 <= whole.y1, text
    overlapping = [
        (one, other)
        for (one, box), (other, another) in itertools.combinations(found.items(), 2)
        if box.overlaps(another)
    ]
    assert overlapping == []


def test_every_axis_is_labelled_with_its_unit() -> None:
    for panel in drawn("prose").axes:
        assert panel.get_xlabel()
        assert panel.get_ylabel()
    assert "log2" in drawn("prose").axes[0].get_xlabel()
    assert "%" in drawn("prose").axes[1].get_ylabel()


def test_the_file_is_a_png_of_its_size() -> None:
    data = png(drawn("prose"))
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    position, kinds, pixels = 8, [], b""
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        kind = data[position + 4 : position + 8]
        body = data[position + 8 : position + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, position + 8 + length)
        assert zlib.crc32(kind + body) == checksum
        kinds.append(kind)
        if kind == b"IHDR":
            assert struct.unpack_from(">II", body) == (WIDTH_PIXELS, HEIGHT_PIXELS)
        if kind == b"IDAT":
            pixels += body
        position += 12 + length
    assert (kinds[0], kinds[-1]) == (b"IHDR", b"IEND")
    # Four bytes a pixel and one for each row's filter.
    assert len(zlib.decompress(pixels)) == HEIGHT_PIXELS * (4 * WIDTH_PIXELS + 1)


def test_the_same_window_gives_the_same_bytes() -> None:
    assert png(drawn("prose")) == png(drawn("prose"))


def test_a_line_is_told_by_its_shape_too() -> None:
    panel = drawn("prose").axes[0]
    styles = {(each.get_linestyle(), each.get_marker()) for each in panel.lines}
    assert len(styles) == len(panel.lines)
    assert all(isinstance(each, Line2D) for each in panel.lines)
