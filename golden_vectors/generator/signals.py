"""Signals: windows with their data, and every value a record takes from them."""

import base64
import math
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from golden_vectors.generator.files import Note, VectorFile
from golden_vectors.generator.windows import (
    Rows,
    cantor,
    carpet,
    cloud,
    cubic_grid,
    fractions,
    line,
    noise,
    sponge,
    square_grid,
)

DEFAULT_SCALES: Final[tuple[int, ...]] = (2, 4, 8, 16, 32)

POINT_NOTES: Final = {
    "BoxCounting": Note(
        explanation="Sets whose box-counting dimension is known: log 2 / log 3 for the Cantor set, "
        "log 8 / log 3 for the Sierpinski carpet, log 20 / log 3 for the Menger sponge, 0, 1, 2 "
        "and 3 for a point, a line, a square and a cube. Points are the middles of the cells that "
        "are kept, and two corners, which fix the unit cube.",
        source="Falconer, Fractal Geometry, 3rd ed., chapters 2 and 9",
    ),
    "Series": Note(explanation="d = 1: delay embedding, n - 2 points."),
    "Plane": Note(explanation="d = 2: a zero is appended."),
    "Space": Note(explanation="d = 3: taken as it is."),
    "Projected": Note(explanation="d > 3: projected on three columns by signs from the seed."),
    "SeedAndScales": Note(explanation="Other seeds and scales over one window."),
    "Magnitude": Note(
        explanation="Values that are huge, tiny, denormal, cancelling, or a zero with a sign: each "
        "operation is rounded once, in the order written."
    ),
    "CellBorder": Note(
        explanation="Points exactly on the borders of cells and bins: no rounding decides."
    ),
    "Regime": Note(explanation="Windows of each regime."),
    "Refused": Note(
        explanation="A window that cannot be summarised. row and column name its first bad value, "
        "counted from 0; they are null where no value is to blame."
    ),
}
BYTE_NOTES: Final = {
    "BoxCounting": Note(
        explanation="A series that is constant is one point, of dimension 0; r is that of zlib.",
        source="Falconer, Fractal Geometry, 3rd ed., chapter 2",
    ),
    "Text": Note(explanation="Text in several scripts, as UTF-8."),
    "Leaves": Note(explanation="Lengths about the leaf of 64 bytes."),
    "Series": Note(explanation="Byte values as a series: counters, repetition, noise."),
    "SeedAndScales": Note(explanation="Another seed and other scales."),
    "Refused": POINT_NOTES["Refused"],
}
PROSE: Final = (
    b"The pump runs at forty litres a minute. When the inlet clogs, pressure falls within a second"
    b", and the controller closes the valve before the bearing is dry."
)


def signals_points_file() -> VectorFile:
    """Return the cases of ``signals_points.json``."""
    made = VectorFile(
        name="signals_points",
        algorithm="The signals of a window of points, profile points/1",
        specification="specs/pcs.md, sections 4 and 5; specs/signals.md",
        notes=POINT_NOTES,
    )
    sets: tuple[tuple[str, Rows, tuple[int, ...], str], ...] = (
        ("a line", line(33), DEFAULT_SCALES, "1"),
        ("a square", square_grid(8), (2, 4, 8), "2"),
        ("a cube", cubic_grid(4), (2, 4), "3"),
        ("a point", [[7.25, -1.0, 3.0]] * 5, DEFAULT_SCALES, "0"),
        ("the Cantor set", cantor(4), (3, 9, 27, 81), "0.630929754"),
        ("the Sierpinski carpet", carpet(2), (3, 9), "1.892789261"),
        ("the Menger sponge", sponge(2), (3, 9), "2.726833028"),
    )
    for comment, rows, scales, slope in sets:
        stated = {"text": slope, "bits": struct.pack(">d", float(slope)).hex()}
        made.valid(comment, "BoxCounting", window(rows, scales=scales), D_hat=stated)
    for comment, flag, rows in point_windows():
        made.valid(comment, flag, window(rows))
    ball = cloud("ball", 24, 3)
    wide = cloud("ball", 6, 9)
    settings: tuple[tuple[int, tuple[int, ...]], ...] = (
        (0, (2, 1024)),
        (1, DEFAULT_SCALES),
        (2**32, (3, 7, 15, 31)),
        (2**53 - 1, (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)),
        (42, (5, 10)),
    )
    for seed, scales in settings:
        for comment, rows in (("d = 3", ball), ("d = 9", wide)):
            given = window(rows, seed=seed, scales=scales)
            made.valid(f"{comment}, seed {seed}, {len(scales)} scales", "SeedAndScales", given)
    add_regimes(made)
    for comment, rows, row, column in refused_windows():
        where = {"row": row, "column": column}
        made.invalid(comment, "Refused", window(rows), code="window_refused", **where)
    nowhere = {"code": "window_refused", "row": None, "column": None}
    for seed in (-1, 2**53):
        made.invalid(f"seed {seed}", "Refused", window(ball, seed=seed), **nowhere)
    for chosen in ([2], [1, 2], [2, 3], [2, 1025], [4, 2]):
        made.invalid(f"scales {chosen}", "Refused", window(ball, scales=chosen), **nowhere)
    return made


def window(
    rows: Rows, *, seed: int = 42, scales: Sequence[int] = DEFAULT_SCALES
) -> dict[str, object]:
    """Return a case's input: each value as text, and its bits row by row."""
    return {
        "seed": seed,
        "scales": list(scales),
        "rows": [[literal(value) for value in row] for row in rows],
        "rows_bits": ["".join(struct.pack(">d", value).hex() for value in row) for row in rows],
    }


def literal(value: float) -> str:
    """Return a text that every language reads back to the same double."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value).removesuffix(".0")


def point_windows() -> Iterator[tuple[str, str, Rows]]:
    """Yield a comment, a flag and the window."""
    yield "three values", "Series", [[3.0], [1.0], [2.0]]
    yield "a ramp", "Series", [[float(t)] for t in range(40)]
    yield "two values in turn", "Series", [[float(t % 2)] for t in range(40)]
    yield "constant", "Series", [[7.25]] * 20
    yield "noise of 53 bits", "Series", [[x] for x in fractions("series", 60)]
    yield "a walk far from zero", "Series", [[1e12 + x] for x in noise("walk", 50)]
    yield "three rows", "Plane", [[0.0, 1.0], [1.0, 0.0], [0.25, 0.25]]
    yield "a cloud", "Plane", cloud("plane", 40, 2)
    yield "a tilted line", "Plane", [[t / 32, 2 * t / 32 - 1] for t in range(33)]
    yield "noise of 53 bits", "Plane", [fractions(f"plane {t}", 2) for t in range(30)]
    yield "three rows", "Space", [[0.0, 0.0, 0.0], [1.0, 0.5, 0.25], [0.5, 1.0, 0.75]]
    yield "a cloud", "Space", cloud("space", 60, 3)
    yield "rows that repeat", "Space", cloud("repeated", 5, 3) * 6
    yield "one far point", "Space", [*cloud("near", 20, 3), [1e6, 1e6, 1e6]]
    yield "noise of 53 bits", "Space", [fractions(f"space {t}", 3) for t in range(40)]
    yield "d = 4", "Projected", cloud("four", 30, 4)
    yield "d = 4, noise of 53 bits", "Projected", [fractions(f"four {t}", 4) for t in range(30)]
    yield (
        "d = 5, a line",
        "Projected",
        [[t, -2 * t, 3 * t, -4 * t, 5 * t] for t in fractions("t", 30)],
    )
    yield "d = 85, one block of signs", "Projected", cloud("85", 5, 85)
    yield "d = 86, two blocks of signs", "Projected", cloud("86", 5, 86)
    yield "d = 768, three rows", "Projected", cloud("768", 3, 768)
    yield "d = 768, eight rows", "Projected", cloud("768 more", 8, 768)
    yield "d = 768, noise of 53 bits", "Projected", [fractions(f"768 {t}", 768) for t in range(3)]
    yield "all zeros", "Magnitude", [[0.0] * 4] * 5
    yield (
        "1e300 and -1e300",
        "Magnitude",
        [[1e300, -1e300, 0.0], [-1e300, 1e300, 1.0], [0.0, 0.0, 0.0]],
    )
    yield (
        "1e300, projected",
        "Magnitude",
        [[1e300] * 5, [-1e300] * 5, [1e300, -1e300, 1e300, 0.0, 1.0]],
    )
    yield "denormals", "Magnitude", [[k * 5e-324, 0.0] for k in range(9)]
    yield "the smallest range that counts", "Magnitude", [[k * 1e-301] for k in range(12)]
    yield "a range below 1e-300", "Magnitude", [[k * 1e-302] for k in range(12)]
    yield "the last bit", "Magnitude", [[1.0 + k * 2.0**-52, 1.0] for k in range(9)]
    yield "cancelling", "Magnitude", [[1e16, 1.0, -1e16, 0.1 * k, 1.0] for k in range(9)]
    yield "signed zeros", "Magnitude", [[0.0, -0.0], [-0.0, 0.0], [1.0, -0.0], [-0.0, -0.0]]
    yield (
        "counters beyond 2^53",
        "Magnitude",
        [[2.0**53 + 2 * k] for k in (0, 3, 1, 4, 1, 5, 9, 2, 6)],
    )
    yield "cells of 1/32", "CellBorder", [[k / 32, k / 64, k / 16 % 1] for k in range(33)]
    yield "bins of 1/20", "CellBorder", [[k / 20, 0.0, 0.0] for k in range(21)]
    yield "thirds", "CellBorder", [[k / 3, k / 9, k / 27] for k in range(28)]


def add_regimes(made: VectorFile) -> None:
    """Add a window of each regime, the regime being stated."""
    repeated = [[0.0, 0.0, 0.0]] * 30 + [[1.0, 1.0, 1.0]]
    made.valid("sticky: one place, one outlier", "Regime", window(repeated), regime="sticky")
    made.valid("mixed: a square", "Regime", window(square_grid(7)), regime="mixed")
    dense = window(cubic_grid(5), scales=(2, 4))
    made.valid("non_sticky: a cube", "Regime", dense, regime="non_sticky")


def refused_windows() -> Iterator[tuple[str, Rows, int | None, int | None]]:
    """Yield a comment, the window, and the row and column of its first bad value."""
    sound = [[float(3 * row + column) for column in range(3)] for row in range(4)]

    def bad(*places: tuple[int, int, float]) -> Rows:
        rows = [list(row) for row in sound]
        for row, column, value in places:
            rows[row][column] = value
        return rows

    yield "NaN", bad((1, 2, math.nan)), 1, 2
    yield "Infinity", bad((0, 0, math.inf)), 0, 0
    yield "-Infinity", bad((3, 1, -math.inf)), 3, 1
    yield "just above 1e300", bad((2, 0, math.nextafter(1e300, math.inf))), 2, 0
    yield "just below -1e300", bad((2, 2, -math.nextafter(1e300, math.inf))), 2, 2
    yield "two in one row", bad((1, 2, math.nan), (1, 1, math.inf)), 1, 1
    yield "an infinity before a NaN", bad((3, 0, math.nan), (2, 2, math.inf)), 2, 2
    yield "two rows", sound[:2], None, None
    yield "one row", sound[:1], None, None
    yield "two rows, one of them NaN", bad((1, 0, math.nan))[:2], None, None


def signals_bytes_file() -> VectorFile:
    """Return the cases of ``signals_bytes.json``."""
    made = VectorFile(
        name="signals_bytes",
        algorithm="The signals of a byte string, profile bytes/1",
        specification="specs/pcs.md, sections 4 and 5; specs/signals.md",
        notes=BYTE_NOTES,
    )

    def given(
        data: bytes, seed: int = 42, scales: Sequence[int] = DEFAULT_SCALES
    ) -> dict[str, object]:
        encoded = base64.b64encode(data).decode()
        return {"seed": seed, "scales": list(scales), "data": encoded}

    zero = {"text": "0", "bits": "0" * 16}
    made.valid("500 equal bytes", "BoxCounting", given(b"\xff" * 500), D_hat=zero)
    scripts = "Der Zähler läuft, \u6cf5\u5728\u8fd0\u8f6c, \u043d\u0430\u0441\u043e\u0441. " * 3
    drawn = bytes(int(x * 256) for x in fractions("bytes", 300))
    for comment, flag, data in (
        ("prose", "Text", PROSE),
        ("prose three times", "Text", PROSE * 3),
        ("one word", "Text", b"again " * 40),
        ("several scripts", "Text", scripts.encode()),
        ("three bytes", "Leaves", b"abc"),
        ("63 bytes", "Leaves", PROSE[:63]),
        ("64 bytes", "Leaves", PROSE[:64]),
        ("65 bytes", "Leaves", PROSE[:65]),
        ("every value", "Series", bytes(range(256))),
        ("three zeros", "Series", bytes(3)),
        ("0 and 255 in turn", "Series", b"\x00\xff" * 50),
        ("noise", "Series", drawn),
    ):
        made.valid(comment, flag, given(data))
    made.valid("seed 7, four scales", "SeedAndScales", given(PROSE, 7, (2, 4, 8, 16)))
    made.valid("seed 2^53-1, up to 1,024", "SeedAndScales", given(drawn, 2**53 - 1, (4, 1024)))
    nowhere = {"code": "window_refused", "row": None, "column": None}
    for comment, data in (("nothing", b""), ("two bytes", b"ab")):
        made.invalid(comment, "Refused", given(data), **nowhere)
    made.invalid("no scales", "Refused", given(PROSE, 42, ()), **nowhere)
    return made
