"""Bounds on the fullest bin: never wrong, mostly tight."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fractal_lba.signals.buffers import without_buffers
from fractal_lba.signals.coherence import bin_counts, directions
from fractal_lba.signals.projection import unit_cube
from fractal_lba.signals.shortlist import bounds, projections

POINTS = 3000
Cube = NDArray[np.float64]


def sheet(rng: np.random.Generator, normal: Cube) -> Cube:
    """Return points that hardly differ along a direction, half of them in one bin."""
    across = np.linalg.svd(normal[np.newaxis])[2][1:].T
    height = np.where(rng.random(POINTS) < 0.5, 0.525, rng.random(POINTS)) * 3e-7
    flat: Cube = across @ rng.random((2, POINTS)) + normal[:, np.newaxis] * height
    return flat


def cubes() -> dict[str, Cube]:
    """Return points in the unit cube by what is special about them."""
    rng = np.random.default_rng(20260103)
    along = directions(42)[7][:, np.newaxis]
    # Where twentieths of a span lie on the edges of its bins, seen along this direction.
    twentieths = rng.integers(0, 21, POINTS) / 20.0
    windows = {
        "gauss": rng.normal(size=(3, POINTS)),
        "uniform": rng.random((3, POINTS)),
        "lattice": rng.integers(0, 6, (3, POINTS)).astype(np.float64),
        "line": np.ones((3, 1)) * np.linspace(0.0, 1.0, POINTS),
        "edges of one direction": along * twentieths,
        "a hair beside those edges": along * (twentieths + rng.normal(0, 1e-9, POINTS)),
        "slab across one direction": rng.random((3, POINTS)) * (1.0 - np.abs(along)),
        "sheet across one direction": sheet(rng, directions(42)[7]),
        "one axis": np.stack((rng.random(POINTS), np.zeros(POINTS), np.zeros(POINTS))),
        "one outlier": np.concatenate((np.zeros((3, POINTS - 1)), np.ones((3, 1))), axis=1),
        "one point": np.ones((3, POINTS)),
        "two clusters": rng.choice([0.0, 1.0], (1, POINTS)) + rng.normal(0, 1e-7, (3, POINTS)),
    }
    return {name: unit_cube(points) for name, points in windows.items()}


CUBES = cubes()


def fullest(cube: Cube, some: Cube) -> NDArray[np.int64]:
    values, spare = np.empty((2, len(some), cube.shape[1]))
    projections(cube, some, values, spare)
    counts: NDArray[np.int64] = bin_counts(values, spare).max(axis=1)
    return counts


@pytest.mark.parametrize("name", CUBES)
@pytest.mark.parametrize("seed", [0, 42])
def test_the_fullest_bin_is_within_its_bounds(name: str, seed: int) -> None:
    cube = CUBES[name]
    exact = fullest(cube, directions(seed))
    at_least, at_most = bounds(cube, directions(seed))
    assert (at_least <= exact).all()
    assert (exact <= at_most).all()


def test_bounds_do_not_depend_on_what_is_taken_at_a_time() -> None:
    cube = np.tile(CUBES["gauss"], 12)
    at_least, at_most = bounds(cube, directions(42))
    few = [bounds(cube, directions(42)[first : first + 2]) for first in range(0, 100, 2)]
    assert at_least.tolist() == [bound for least, _ in few for bound in least.tolist()]
    assert at_most.tolist() == [bound for _, most in few for bound in most.tolist()]


@pytest.mark.parametrize("name", ["gauss", "uniform"])
def test_few_directions_of_a_cloud_remain(name: str) -> None:
    with without_buffers():
        at_least, at_most = bounds(CUBES[name], directions(42))
    assert np.count_nonzero(at_most >= at_least.max()) <= 10
    assert (at_most - at_least).max() < POINTS / 50


def test_a_direction_along_which_points_hardly_differ_stays_open() -> None:
    at_least, at_most = bounds(CUBES["one point"], directions(42))
    assert (at_least.max(), at_most.min()) == (0, POINTS)
