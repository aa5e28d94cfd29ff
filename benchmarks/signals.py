"""Signals of a window against the plain numpy loop, and the memory of the largest window.

Both sides compute the same signals of the same window, in turn. The Merkle root, which is the bare
cost of SHA-256, is on neither side of a ratio; the whole summary, root and all, stands beside it.
Seconds are those of this process (``process_time``), because nothing here waits.
"""

import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from benchmarks.figures import Figure, in_turn, ratios
from benchmarks.plain_signals import plain_bytes, plain_points

from fractal_lba.signals import DEFAULT_SCALES, DEFAULT_SEED, summarise_bytes, summarise_points
from fractal_lba.signals.coherence import coherence
from fractal_lba.signals.projection import distinct_points, occupied_cells, unit_cube
from fractal_lba.signals.summary import compressed_share, cube_of_points, quantised

MIB: Final = 1 << 20
ROUNDS: Final = 7
REPEATS: Final = 30
OF_PLAIN_MAX: Final = 0.5
SHAPES: Final = ((64, 768), (256, 768), (512, 768), (4096, 3))
TEXT_BYTES: Final = 16_384
LARGEST: Final = (65_536, 4_096)
LARGEST_RUNS: Final = 5
# specs/signals.md, "Cost and bounds".
ANONYMOUS_MIB_MAX: Final = 64.0


def text() -> bytes:
    """Return a text that every machine with this Python has."""
    return (Path(sysconfig.get_path("stdlib")) / "argparse.py").read_bytes()[:TEXT_BYTES]


def signals_of_points(window: np.ndarray) -> None:
    """Do what `summarise_points` does but for the root."""
    cube = cube_of_points(window)
    for scale in DEFAULT_SCALES:
        occupied_cells(cube, scale)
    coherence(cube, DEFAULT_SEED)
    compressed_share(quantised(cube))


def signals_of_bytes(data: bytes) -> None:
    """Do what `summarise_bytes` does but for the root."""
    points, counts = distinct_points(data)
    cube = unit_cube(points)
    for scale in DEFAULT_SCALES:
        occupied_cells(cube, scale)
    coherence(cube, DEFAULT_SEED, counts)
    compressed_share(data)


def seconds(work: Callable[[], object]) -> float:
    """Return the processor's seconds for one call, by the mean over a round."""
    started = time.process_time()
    for _ in range(REPEATS):
        work()
    return (time.process_time() - started) / REPEATS


def compared(
    name: str,
    ours: Callable[[], object],
    plain: Callable[[], object],
    whole: Callable[[], object],
) -> list[Figure]:
    """Return the figures of one window."""
    a, b = in_turn(ROUNDS, lambda _: seconds(ours), lambda _: seconds(plain))
    return [
        Figure(
            name=f"signals of {name} ÷ the plain per-direction numpy loop",
            unit="×",
            samples=ratios(a, b),
            at_most=OF_PLAIN_MAX,
        ),
        Figure(
            name=f"whole summary of {name}, Merkle root included, one core",
            unit="ms",
            samples=tuple(seconds(whole) * 1e3 for _ in range(ROUNDS)),
        ),
    ]


def largest(folder: Path) -> Figure:
    """Return the memory it takes to summarise the largest window there is, mapped from a file."""
    path = folder / "largest.npy"
    rows, columns = LARGEST
    window = np.lib.format.open_memmap(path, mode="w+", dtype=np.float64, shape=LARGEST)
    window[:: max(1, rows // 64)] = np.random.default_rng(0).standard_normal(columns)
    window.flush()
    del window
    try:
        return Figure(
            name=f"anonymous memory to summarise {rows:,} × {columns:,} doubles "
            f"({path.stat().st_size / MIB:,.0f} MiB) mapped from a file",
            unit="MiB",
            samples=tuple(peak_mib(path) for _ in range(LARGEST_RUNS)),
            at_most=ANONYMOUS_MIB_MAX,
        )
    finally:
        path.unlink()


def peak_mib(path: Path) -> float:
    """Return the anonymous memory that a process takes for a window, at its highest."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.mapped_window", str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def measure(folder: Path) -> list[Figure]:
    """Return the figures of this module."""
    rng = np.random.default_rng(1)
    figures = []
    for rows, columns in SHAPES:
        window = rng.standard_normal((rows, columns))
        figures += compared(
            f"{rows:,} × {columns:,} doubles",
            partial(signals_of_points, window),
            partial(plain_points, window, DEFAULT_SEED, DEFAULT_SCALES),
            partial(summarise_points, window),
        )
    data = text()
    figures += compared(
        f"{len(data):,} bytes of text",
        partial(signals_of_bytes, data),
        partial(plain_bytes, data, DEFAULT_SEED, DEFAULT_SCALES),
        partial(summarise_bytes, data),
    )
    return [*figures, largest(folder)]
