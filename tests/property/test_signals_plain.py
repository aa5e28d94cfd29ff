"""The fast signals against the plain loop over columns and directions, bit for bit.

Larger windows than the oracle can afford: where rows are taken in pieces, columns in groups,
directions several at a time or not at all, and equal points once.
"""

import json

import numpy as np
import pytest
from benchmarks.plain_signals import (
    plain_bytes,
    plain_coherence,
    plain_columns,
    plain_cube,
    plain_points,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fractal_lba.signals import DEFAULT_SCALES, summarise_blocks, summarise_bytes, summarise_points
from fractal_lba.signals.coherence import coherence
from fractal_lba.signals.projection import coordinates, in_space, unit_cube

SEEDS = st.integers(0, 2**53 - 1)
KINDS = ("gauss", "integers", "cancelling", "walk", "clusters", "slab")


def window(kind: str, rows: int, columns: int, made_from: int) -> np.ndarray:
    rng = np.random.default_rng(made_from)
    shape = (rows, columns)
    match kind:
        case "integers":  # ties of bins and cells
            return rng.integers(-4, 5, shape).astype(np.float64)
        case "cancelling":  # another order of additions gives another sum
            return rng.choice([1e16, -1e16, 1.0, 0.1, -0.0], shape)
        case "walk":
            return rng.normal(size=shape).cumsum(axis=0)
        case "clusters":
            return rng.choice([0.0, 5.0], (rows, 1)) + rng.normal(0, 1e-3, shape)
        case "slab":
            return rng.normal(size=shape) * np.where(np.arange(columns) == 0, 1e-9, 1.0)
        case _:
            return rng.normal(size=shape)


def exact(signals: object) -> str:
    return json.dumps(signals, sort_keys=True)


@settings(max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    rows=st.sampled_from([3, 64, 511, 512, 513, 1023, 1024, 1300, 2047, 2048, 4096]),
    columns=st.sampled_from([1, 2, 3, 4, 63, 64, 65, 130]),
    made_from=st.integers(0, 2**32 - 1),
    seed=SEEDS,
)
@example(kind="gauss", rows=4096, columns=3, made_from=0, seed=42)
@example(kind="cancelling", rows=513, columns=130, made_from=1, seed=0)
def test_points_have_the_signals_of_the_plain_loop(
    kind: str, rows: int, columns: int, made_from: int, seed: int
) -> None:
    given_window = window(kind, rows, columns, made_from)
    expected = plain_points(given_window, seed, DEFAULT_SCALES)
    members = summarise_points(given_window, seed=seed).members()
    assert exact({name: members[name] for name in expected}) == exact(expected)
    # Rounded members hide a last bit; the cube and the direction do not.
    cube = unit_cube(in_space(coordinates(given_window, seed)))
    plain = plain_cube(plain_columns(given_window, seed))
    assert (cube + 0.0).tobytes() == (plain + 0.0).tobytes()
    share, direction = coherence(cube, seed)
    plain_share, plain_direction = plain_coherence(plain, seed)
    assert (share, direction) == (plain_share, tuple(plain_direction.tolist()))


@settings(max_examples=60)
@given(
    data=st.one_of(
        st.binary(min_size=3, max_size=300),
        st.text("ab \n", min_size=3, max_size=4000).map(str.encode),
        st.integers(0, 2**32 - 1).map(
            lambda made_from: np.random.default_rng(made_from).bytes(5000)
        ),
    ),
    seed=SEEDS,
    scales=st.sampled_from([DEFAULT_SCALES, (2, 1024), (3, 7, 255)]),
)
def test_bytes_have_the_signals_of_the_plain_loop(
    data: bytes, seed: int, scales: tuple[int, ...]
) -> None:
    expected = plain_bytes(data, seed, scales)
    members = summarise_bytes(data, seed=seed, scales=scales).members()
    assert exact({name: members[name] for name in expected}) == exact(expected)


@settings(max_examples=40)
@given(
    columns=st.sampled_from([1, 2, 3, 4, 70]),
    cuts=st.lists(st.integers(0, 90), max_size=6).map(sorted),
    made_from=st.integers(0, 2**32 - 1),
)
def test_a_table_in_blocks_has_the_summary_of_the_whole(
    columns: int, cuts: list[int], made_from: int
) -> None:
    whole = window("gauss", 90, columns, made_from)
    assert summarise_blocks(np.split(whole, cuts)) == summarise_points(whole)


@pytest.mark.parametrize("rows", [3, 257])
def test_a_table_read_in_pieces_has_the_signals_of_the_plain_loop(rows: int) -> None:
    wide = np.random.default_rng(4).normal(size=(rows, 4096))
    expected = plain_points(wide, 42, DEFAULT_SCALES)
    members = summarise_points(wide).members()
    assert exact({name: members[name] for name in expected}) == exact(expected)
