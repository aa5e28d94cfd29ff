"""The numpy implementation against the plain one of ``tests/oracle``, bit for bit."""

import json

import numpy as np
import pytest
from tests.oracle import signals as oracle
from tests.support.windows import POINTS, byte_windows, point_windows

from fractal_lba.signals import DEFAULT_SCALES, DEFAULT_SEED, summarise_bytes, summarise_points
from fractal_lba.signals.coherence import DIRECTIONS, directions
from fractal_lba.signals.projection import coordinates, in_space, projection_signs, unit_cube
from fractal_lba.signals.shortlist import projections

POINT_WINDOWS = point_windows()
BYTE_WINDOWS = byte_windows()
OTHER_SETTINGS = [(0, [2, 1024]), (2**53 - 1, [3, 7, 15, 31]), (7, [2, 4, 8, 16, 32, 64, 128])]


def exact(members: object) -> str:
    """Return a text that differs where a bit does: ``1`` and ``1.0``, ``0.0`` and ``-0.0``."""
    return json.dumps(members, sort_keys=True)


def rows_of(window: POINTS) -> list[list[float]]:
    rows: list[list[float]] = window.reshape(len(window), -1).tolist()
    return rows


def test_at_least_thirty_windows_are_compared() -> None:
    assert len(POINT_WINDOWS) + len(BYTE_WINDOWS) >= 30
    shapes = {window.reshape(len(window), -1).shape[1] for window in POINT_WINDOWS.values()}
    assert {1, 2, 3, 4, 768} <= shapes


@pytest.mark.parametrize("name", POINT_WINDOWS)
def test_points_agree_with_the_oracle(name: str) -> None:
    window = POINT_WINDOWS[name]
    summary = summarise_points(window)
    expected = oracle.members_of_points(rows_of(window), DEFAULT_SEED, list(DEFAULT_SCALES))
    assert exact(summary.members()) == exact(expected)


@pytest.mark.parametrize("name", BYTE_WINDOWS)
def test_bytes_agree_with_the_oracle(name: str) -> None:
    data = BYTE_WINDOWS[name]
    expected = oracle.members_of_bytes(data, DEFAULT_SEED, list(DEFAULT_SCALES))
    assert exact(summarise_bytes(data).members()) == exact(expected)


@pytest.mark.parametrize(("seed", "scales"), OTHER_SETTINGS)
@pytest.mark.parametrize("name", ["sine", "ball", "gauss in 65", "duplicated rows"])
def test_other_seeds_and_scales_agree_with_the_oracle(
    name: str, seed: int, scales: list[int]
) -> None:
    window = POINT_WINDOWS[name]
    summary = summarise_points(window, seed=seed, scales=scales)
    expected = oracle.members_of_points(rows_of(window), seed, scales)
    assert exact(summary.members()) == exact(expected)
    text = BYTE_WINDOWS["prose"]
    summary = summarise_bytes(text, seed=seed, scales=scales)
    assert exact(summary.members()) == exact(oracle.members_of_bytes(text, seed, scales))


@pytest.mark.parametrize("name", POINT_WINDOWS)
def test_the_unit_cube_agrees_to_the_last_bit(name: str) -> None:
    # Counts and nine decimals hide a last bit that differs here; another window would show it.
    window = POINT_WINDOWS[name].reshape(len(POINT_WINDOWS[name]), -1)
    cube = unit_cube(in_space(coordinates(window, DEFAULT_SEED))).T
    expected = np.array(oracle.to_unit_cube(oracle.to_three_columns(rows_of(window), DEFAULT_SEED)))
    # Which zero is the smaller one is left open; adding 0.0 makes both positive.
    assert (cube + 0.0).tobytes() == (expected + 0.0).tobytes()


def test_projections_on_directions_agree_to_the_last_bit() -> None:
    cube = np.random.default_rng(6).random((200, 3))
    expected = [oracle.project(cube.tolist(), oracle.marsaglia(42, i)) for i in range(DIRECTIONS)]
    values, spare = np.empty((2, DIRECTIONS, 200))
    assert projections(cube.T, directions(42), values, spare) is values
    assert values.tobytes() == np.array(expected).tobytes()


@pytest.mark.parametrize("seed", [0, 1, 42, 2**32, 2**53 - 1])
def test_directions_agree_to_the_last_bit(seed: int) -> None:
    expected = np.array([oracle.marsaglia(seed, i) for i in range(DIRECTIONS)])
    assert directions(seed).tobytes() == expected.tobytes()


@pytest.mark.parametrize("columns", [4, 85, 86, 768, 4096])
def test_projection_signs_agree(columns: int) -> None:
    bits = oracle.projection_bits(42, 3 * columns)[: 3 * columns]
    assert projection_signs(42, columns).ravel().tolist() == [2.0 * bit - 1.0 for bit in bits]
