"""Small windows of any numbers: the two implementations agree in every bit."""

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.oracle import signals as oracle

from fractal_lba.signals import summarise_bytes, summarise_points

SEEDS = st.integers(0, 2**53 - 1)
SCALES = st.sampled_from([[2, 4], [2, 4, 8, 16, 32], [3, 7, 1000], [2, 1024]])
VALUES = st.one_of(
    st.floats(-1e300, 1e300),
    st.floats(-1.0, 1.0, width=16),
    st.integers(-3, 3).map(float),
    st.floats(-1e-300, 1e-300),
)
SHAPES = st.tuples(st.integers(3, 12), st.sampled_from([1, 2, 3, 4, 5, 9]))
WINDOWS = SHAPES.flatmap(lambda shape: hnp.arrays(np.float64, shape, elements=VALUES))


@settings(max_examples=300, deadline=None)
@given(window=WINDOWS, seed=SEEDS, scales=SCALES)
def test_points_agree_with_the_oracle(window: np.ndarray, seed: int, scales: list[int]) -> None:
    members = summarise_points(window, seed=seed, scales=scales).members()
    expected = oracle.members_of_points(window.tolist(), seed, scales)
    assert json.dumps(members, sort_keys=True) == json.dumps(expected, sort_keys=True)


@settings(max_examples=100, deadline=None)
@given(data=st.binary(min_size=3, max_size=150), seed=SEEDS, scales=SCALES)
def test_bytes_agree_with_the_oracle(data: bytes, seed: int, scales: list[int]) -> None:
    members = summarise_bytes(data, seed=seed, scales=scales).members()
    expected = oracle.members_of_bytes(data, seed, scales)
    assert json.dumps(members, sort_keys=True) == json.dumps(expected, sort_keys=True)
