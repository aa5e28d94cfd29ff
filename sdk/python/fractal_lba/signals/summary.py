"""Summaries: one window in, every computed member of its record out.

The rule: signals are computed from the window, rounded once, and only the rounded ones are used
for what follows from them (regime and budget), so that a verifier who has the record alone gets the
same.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fractal_lba.protocol.derive import Regime, budget, d_hat, regime, rounded
from fractal_lba.protocol.merkle import leaf_hash, merkle_root, merkle_root_of_hashes
from fractal_lba.protocol.strict_json import JsonValue
from fractal_lba.signals.coherence import coherence
from fractal_lba.signals.projection import (
    coordinates,
    distinct_points,
    in_space,
    occupied_cells,
    unit_cube,
)
from fractal_lba.signals.window import (
    DEFAULT_SCALES,
    DEFAULT_SEED,
    byte_leaves,
    check_bytes,
    check_scales,
    check_seed,
    joined_blocks,
    point_blocks,
    point_leaves,
)

_ZLIB_LEVEL = 6
_ZLIB_WINDOW_BITS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a record says of its window.

    Attributes:
        profile: ``points/1`` or ``bytes/1``.
        n: rows of the window as given, 3 ... 65,536.
        d: columns of the window as given, 1 ... 4,096.
        seed: chooses the signs and the directions, 0 ... 2^53-1.
        scales: cells along each axis of the unit cube, ascending.
        n_j: occupied cells at each scale.
        d_hat: the slope of log2 cells over log2 scale, a box-counting dimension.
        coh_star: the largest share of points in one of 20 slabs, 0.05 ... 1.
        v_star: the direction across that slab, a unit vector.
        r: compressed length over length, 0 ... 1.
        regime: what ``d_hat`` and ``coh_star`` say together.
        budget: the share of attention the window asks for, 0 ... 1.
        merkle_root: lower-case hex, binds the window bit for bit.
    """

    profile: str
    n: int
    d: int
    seed: int
    scales: tuple[int, ...]
    n_j: dict[int, int]
    d_hat: float
    coh_star: float
    v_star: tuple[float, float, float]
    r: float
    regime: Regime
    budget: float
    merkle_root: str

    def members(self) -> dict[str, JsonValue]:
        """Return the record's members that come from the window, under their names on the wire."""
        return {
            "profile": self.profile,
            "n": self.n,
            "d": self.d,
            "seed": self.seed,
            "scales": list(self.scales),
            "N_j": {str(scale): count for scale, count in self.n_j.items()},
            "D_hat": self.d_hat,
            "coh_star": self.coh_star,
            "r": self.r,
            "budget": self.budget,
            "v_star": list(self.v_star),
            "regime": self.regime.value,
            "merkle_root": self.merkle_root,
        }


def summarise_points(
    window: ArrayLike,
    *,
    seed: SupportsIndex = DEFAULT_SEED,
    scales: Sequence[SupportsIndex] = DEFAULT_SCALES,
) -> Summary:
    """Return the summary of a table of numbers, profile ``points/1``.

    Args:
        window: ``(n, d)``, or ``(n,)`` for one column, raw data units; bool, integer or real
            floating numbers, which convert to the nearest double.
        seed: 0 ... 2^53-1.
        scales: 2 to 10 integers of 2 to 1,024, each at least twice the one before.

    Raises:
        ContractError: The window cannot be summarised (the message names the row), or the seed or
            the scales are out of range; nothing was computed.
    """
    return _summarise_rows(point_blocks(window), check_seed(seed), check_scales(scales))


def summarise_blocks(
    blocks: Iterable[ArrayLike],
    *,
    seed: SupportsIndex = DEFAULT_SEED,
    scales: Sequence[SupportsIndex] = DEFAULT_SCALES,
) -> Summary:
    """Return the summary of a table that comes in blocks, as if they were one window.

    A block is let go once the next one is there, so that a window which is nowhere whole can be
    summarised.

    Args:
        blocks: the rows in order, each block as `summarise_points` takes a window, but of any
            number of rows.
        seed: 0 ... 2^53-1.
        scales: 2 to 10 integers of 2 to 1,024, each at least twice the one before.

    Raises:
        ContractError: As `summarise_points`, or the blocks differ in width; what was taken from
            the iterable is lost.
    """
    return _summarise_rows(joined_blocks(blocks), check_seed(seed), check_scales(scales))


def summarise_bytes(
    data: bytes | bytearray | memoryview,
    *,
    seed: SupportsIndex = DEFAULT_SEED,
    scales: Sequence[SupportsIndex] = DEFAULT_SCALES,
) -> Summary:
    """Return the summary of a byte string (text, a log, a file), profile ``bytes/1``.

    Args:
        data: 3 ... 65,536 bytes; their values form a series of one column.
        seed: 0 ... 2^53-1.
        scales: 2 to 10 integers of 2 to 1,024, each at least twice the one before.

    Raises:
        ContractError: Too short or too long, or the seed or the scales are out of range; nothing
            was computed.
    """
    checked_seed, checked_scales = check_seed(seed), check_scales(scales)
    held = check_bytes(data)
    points, counts = distinct_points(held)
    return _summary(
        _Window(
            profile="bytes/1",
            shape=(len(held), 1),
            root=merkle_root(byte_leaves(held)),
            cube=unit_cube(points),
            counts=counts,
            to_pack=held,
        ),
        checked_seed,
        checked_scales,
    )


def cube_of_points(window: ArrayLike, *, seed: SupportsIndex = DEFAULT_SEED) -> NDArray[np.float64]:
    """Return the ``(3, P)`` points of a table in the unit cube, which its signals are counted from.

    Raises:
        ContractError: The window cannot be summarised, or the seed is out of range.
    """
    checked_seed = check_seed(seed)
    parts = [coordinates(rows, checked_seed) for rows in point_blocks(window)]
    return unit_cube(in_space(np.concatenate(parts, axis=1)))


def cube_of_bytes(
    data: bytes | bytearray | memoryview, *, seed: SupportsIndex = DEFAULT_SEED
) -> NDArray[np.float64]:
    """Return the ``(3, P)`` points of a byte string in the unit cube, P = n - 2.

    Raises:
        ContractError: Too short or too long, or the seed is out of range.
    """
    check_seed(seed)
    series = np.frombuffer(check_bytes(data), dtype=np.uint8).astype(np.float64)
    return unit_cube(in_space(series[np.newaxis]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """A window as far as its summary needs it.

    Attributes:
        profile: ``points/1`` or ``bytes/1``.
        shape: rows and columns as given.
        root: the Merkle root over its leaves.
        cube: ``(3, P)``, its points in the unit cube.
        counts: ``(P,)``, how often each of them is there; once each when None.
        to_pack: the bytes that are compressed for ``r``.
    """

    profile: str
    shape: tuple[int, int]
    root: bytes
    cube: NDArray[np.float64]
    counts: NDArray[np.int64] | None
    to_pack: bytes


def _summarise_rows(
    blocks: Iterable[NDArray[np.float64]], seed: int, scales: tuple[int, ...]
) -> Summary:
    parts: list[NDArray[np.float64]] = []
    hashes: list[bytes] = []
    columns = 0
    for rows in blocks:
        columns = rows.shape[1]
        parts.append(coordinates(rows, seed))
        hashes += [leaf_hash(leaf) for leaf in point_leaves(rows)]
    cube = unit_cube(in_space(np.concatenate(parts, axis=1)))
    return _summary(
        _Window(
            profile="points/1",
            shape=(len(hashes), columns),
            root=merkle_root_of_hashes(hashes),
            cube=cube,
            counts=None,
            to_pack=quantised(cube),
        ),
        seed,
        scales,
    )


def _summary(window: _Window, seed: int, scales: tuple[int, ...]) -> Summary:
    n, d = window.shape
    n_j = {scale: occupied_cells(window.cube, scale) for scale in scales}
    share, (v0, v1, v2) = coherence(window.cube, seed, window.counts)
    slope = d_hat(n_j)
    coh_star = rounded(share)
    r = rounded(compressed_share(window.to_pack))
    return Summary(
        profile=window.profile,
        n=n,
        d=d,
        seed=seed,
        scales=scales,
        n_j=n_j,
        d_hat=slope,
        coh_star=coh_star,
        v_star=(rounded(v0), rounded(v1), rounded(v2)),
        r=r,
        regime=regime(slope, coh_star),
        budget=budget(slope, coh_star, r),
        merkle_root=window.root.hex(),
    )


def quantised(cube: NDArray[np.float64]) -> bytes:
    """Return the ``(3, P)`` coordinates point by point, each as the byte ``floor(255 x + 0.5)``."""
    # Truncation is the floor: no coordinate is negative.
    return (cube.T * 255.0 + 0.5).astype(np.uint8).tobytes()


def compressed_share(data: bytes) -> float:
    """Return compressed length over length, at most 1; header and checksum are counted.

    One call at level 6, window bits 15, memory level 8 and the default strategy (the last two are
    what ``zlib.compress`` uses). Other implementations of deflate differ by a little.
    """
    packed = zlib.compress(data, level=_ZLIB_LEVEL, wbits=_ZLIB_WINDOW_BITS)
    return min(1.0, len(packed) / len(data))
