"""Windows whose signals follow from geometry, by hand."""

import hashlib
import itertools
import math
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from tests.support.windows import PROSE

from fractal_lba.signals import DEFAULT_SCALES, summarise_bytes, summarise_points
from fractal_lba.signals.coherence import bin_counts, coherence, direction, directions
from fractal_lba.signals.projection import coordinates, in_space, occupied_cells, unit_cube
from fractal_lba.signals.summary import compressed_share, quantised


def test_a_constant_window_is_one_point() -> None:
    summary = summarise_points(np.full((30, 3), 4.5))
    assert summary.n_j == dict.fromkeys(DEFAULT_SCALES, 1)
    assert summary.d_hat == 0.0
    assert summary.coh_star == 1.0
    assert summary.v_star == tuple(round(v, 9) for v in direction(42, 0))
    assert summary.regime == "sticky"


def test_a_line_has_dimension_one() -> None:
    t = np.linspace(0.0, 1.0, 4096)
    summary = summarise_points(np.stack((t, t, t), axis=1))
    assert summary.n_j == {scale: scale for scale in DEFAULT_SCALES}
    assert summary.d_hat == 1.0


def test_a_filled_plane_has_dimension_two() -> None:
    side = np.linspace(0.0, 1.0, 64)
    grid = np.array(list(itertools.product(side, side)))
    summary = summarise_points(grid)
    assert summary.n_j == {scale: scale**2 for scale in DEFAULT_SCALES}
    assert summary.d_hat == 2.0
    assert summary.regime == "mixed"


def test_a_filled_cube_has_dimension_three_and_asks_for_attention() -> None:
    grid = np.array(list(itertools.product(range(32), repeat=3)))
    summary = summarise_points(grid)
    assert summary.n_j == {scale: scale**3 for scale in DEFAULT_SCALES}
    assert summary.d_hat == 3.0
    assert summary.regime == "non_sticky"
    expected = 0.10 + 0.30 * (1 - summary.r) + 0.50 * 0.8 + 0.20 * summary.coh_star
    assert summary.budget == pytest.approx(expected, abs=1e-9)


def test_a_plane_in_many_dimensions_stays_a_plane() -> None:
    rng = np.random.default_rng(3)
    plane = rng.random((4096, 2)) @ rng.normal(size=(2, 768))
    assert 1.7 <= summarise_points(plane).d_hat <= 2.1


def test_a_loop_of_one_word_is_sticky_and_prose_is_not() -> None:
    loop = summarise_bytes(b"a" * 400)
    assert (loop.regime, loop.coh_star) == ("sticky", 1.0)
    assert summarise_bytes(PROSE).regime != "sticky"
    assert summarise_bytes(b"again " * 60).r < summarise_bytes(PROSE).r


def test_cells_are_closed_at_the_upper_edge() -> None:
    cube = np.array([[0.0, 0.5, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert occupied_cells(cube, 2) == 2  # 0.5 opens the second cell, and 1.0 is in it
    assert occupied_cells(cube, 4) == 3


def test_cells_on_different_axes_are_different_cells() -> None:
    corners = np.array(list(itertools.product([0.0, 1.0], repeat=3))).T
    assert [occupied_cells(corners, scale) for scale in (2, 3, 1024)] == [8, 8, 8]


def test_the_columns_keep_their_proportion_in_the_cube() -> None:
    cube = unit_cube(np.array([[0.0, 4.0], [10.0, 11.0], [3.0, 3.0]]))
    assert cube.tolist() == [[0.0, 1.0], [0.0, 0.25], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("extent", "corner"), [(9.999e-301, 0.0), (1e-300, 1.0), (1.001e-300, 1.0)]
)
def test_a_range_below_1e_300_is_one_point(extent: float, corner: float) -> None:
    cube = unit_cube(np.array([[0.0, extent], [0.0, 0.0], [0.0, 0.0]]))
    assert cube[0].tolist() == [0.0, corner]


def test_a_series_is_embedded_with_a_delay_of_one() -> None:
    points = in_space(np.array([[1.0, 2.0, 3.0, 4.0]]))
    assert points.T.tolist() == [[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]]


def test_two_columns_get_a_zero() -> None:
    points = in_space(np.array([[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]]))
    assert points.T.tolist() == [[1.0, 2.0, 0.0], [3.0, 4.0, 0.0], [5.0, 6.0, 0.0]]


def test_a_projection_adds_column_by_column() -> None:
    # (1 + 1e16) - 1e16 is 0 in this order of operations, 1 in most others.
    first = hashlib.sha256(b"fractal-lba/projection/1" + struct.pack(">QI", 42, 0)).digest()
    bits = "".join(f"{byte:08b}" for byte in first)
    for k in range(3):
        signs = [1.0 if bits[3 * j + k] == "1" else -1.0 for j in range(4)]
        row = [signs[0], signs[1] * 1e16, signs[2] * -1e16, 0.0]
        points = coordinates(np.array([row, row, row]), 42)
        assert points[k].tolist() == [0.0, 0.0, 0.0]


def pair_across(v: tuple[float, float, float], along: float) -> np.ndarray:
    """Return six rows at two points whose difference has the given length along ``v``."""
    across = np.array([-v[1], v[0], 0.0])
    far = across / np.abs(across).max() + np.array(v) * along
    return np.array([[0.0, 0.0, 0.0], far] * 3)


def test_a_projection_narrower_than_1e_9_is_one_bin() -> None:
    v = direction(42, 17)
    summary = summarise_points(pair_across(v, 0.0))
    assert summary.coh_star == 1.0
    assert summary.v_star == pytest.approx(v, abs=1e-9)
    assert summarise_points(pair_across(v, 1e-10)).coh_star == 1.0


def test_a_projection_wider_than_1e_9_is_binned() -> None:
    assert summarise_points(pair_across(direction(42, 17), 1e-8)).coh_star == 0.5


def test_the_first_of_equal_directions_wins() -> None:
    # Two points halve in every direction that tells them apart.
    summary = summarise_points(np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]] * 3))
    assert summary.coh_star == 0.5
    assert summary.v_star == tuple(round(v, 9) for v in direction(42, 0))


def test_bins_are_closed_at_the_upper_edge() -> None:
    # 21 points at equal steps along a direction: the last one shares the bin of the one before.
    v = np.array(direction(42, 0))
    cube = np.abs(v)[:, np.newaxis] * np.linspace(0.0, 1.0, 21)
    share, _ = coherence(cube, 42)
    assert share >= 2 / 21


@pytest.mark.parametrize("times", [1, 60])
def test_a_value_on_a_bins_edge_is_in_the_bin_it_opens(times: int) -> None:
    # Times the reciprocal of the span is no division: 85 · 20 · (1 / (85 · 20)) is less than 1.
    for width in range(1, 300):
        edges = width * np.tile(np.arange(21.0), times)[np.newaxis]
        counts = bin_counts(edges, np.empty_like(edges))[0]
        assert counts.tolist() == [times] * 19 + [2 * times], width


def test_directions_are_unit_vectors_and_cover_the_sphere() -> None:
    vectors = directions(42)
    assert vectors.shape == (100, 3)
    assert np.abs((vectors**2).sum(axis=1) - 1.0).max() < 1e-15
    octants = {tuple(sign) for sign in np.sign(vectors).tolist()}
    assert len(octants) == 8


def test_cached_directions_cannot_be_changed_by_a_caller() -> None:
    with pytest.raises(ValueError, match="read-only"):
        directions(42)[0, 0] = 0.0


def test_a_summary_does_not_depend_on_what_was_summarised_before() -> None:
    window = np.random.default_rng(5).normal(size=(40, 5))
    before = summarise_points(window, seed=9)
    summarise_points(window, seed=10)
    assert summarise_points(window, seed=9) == before
    assert summarise_points(window, seed=10) != before


def test_deflate_is_called_with_the_stated_settings() -> None:
    assert zlib.DEF_MEM_LEVEL == 8
    rng = np.random.default_rng(2)
    few = rng.integers(0, 4, 30_000, dtype=np.uint8).tobytes()
    many = rng.integers(0, 200, 20_000, dtype=np.uint8).tobytes()
    data = few + many + many  # long chains, a match far back, a change of statistics

    def packed_length(level: int, window_bits: int, memory_level: int) -> int:
        deflater = zlib.compressobj(level, zlib.DEFLATED, window_bits, memory_level)
        return len(deflater.compress(data) + deflater.flush())

    stated = packed_length(6, 15, 8)
    others = [(5, 15, 8), (7, 15, 8), (9, 15, 8), (6, 14, 8), (6, -15, 8), (6, 15, 9)]
    assert stated not in [packed_length(*other) for other in others]
    assert compressed_share(data) == stated / len(data)


def test_r_is_at_most_one_where_compression_grows_the_input() -> None:
    assert summarise_bytes(b"abc").r == 1.0


def test_coordinates_are_quantised_to_the_nearest_byte_point_by_point() -> None:
    cube = np.array([[0.0, 1.0], [0.5, 0.001], [1 / 255, 0.002]])
    assert quantised(cube) == bytes([0, 128, 1, 255, 0, 1])


def test_points_compress_the_cube_and_bytes_the_text() -> None:
    text = PROSE
    points = summarise_points(np.frombuffer(text, dtype=np.uint8))
    of_bytes = summarise_bytes(text)
    assert (points.n_j, points.coh_star) == (of_bytes.n_j, of_bytes.coh_star)
    assert of_bytes.r == pytest.approx(len(zlib.compress(text, 6)) / len(text), abs=1e-9)
    assert points.r != of_bytes.r
    assert points.merkle_root != of_bytes.merkle_root


def test_the_root_of_three_rows_is_the_tree_of_their_bytes() -> None:
    def node(left: bytes, right: bytes) -> bytes:
        return hashlib.sha256(b"\x01" + left + right).digest()

    rows = [(1.0, -0.0), (2.5, 3.0), (-7.0, 1e300)]
    a, b, c = (hashlib.sha256(b"\x00" + struct.pack("<2d", *row)).digest() for row in rows)
    assert summarise_points(np.array(rows)).merkle_root == node(node(a, b), c).hex()


def test_the_root_of_bytes_is_over_chunks_of_64() -> None:
    data = bytes(range(65))
    a, b = (hashlib.sha256(b"\x00" + part).digest() for part in (data[:64], data[64:]))
    assert summarise_bytes(data).merkle_root == hashlib.sha256(b"\x01" + a + b).hexdigest()


def test_the_root_sees_the_sign_of_zero_and_the_signals_do_not() -> None:
    plus = summarise_points(np.array([0.0, 1.0, 2.0, 0.0]))
    minus = summarise_points(np.array([0.0, 1.0, 2.0, -0.0]))
    assert plus.merkle_root != minus.merkle_root
    different = {k for k, v in plus.members().items() if v != minus.members()[k]}
    assert different == {"merkle_root"}


def test_no_member_is_a_negative_zero() -> None:
    for seed in range(40):
        window = np.random.default_rng(seed).normal(size=(5, 2))
        members = summarise_points(window, seed=seed).members()
        numbers = [members["D_hat"], members["coh_star"], members["r"], members["budget"]]
        vector = members["v_star"]
        assert isinstance(vector, list)
        for number in [*numbers, *vector]:
            assert isinstance(number, float)
            assert number != 0.0 or math.copysign(1.0, number) == 1.0


def test_the_widest_window_needs_bounded_memory() -> None:
    cube = np.random.default_rng(1).random((3, 65_536))
    tracemalloc.start()
    try:
        coherence(cube, 42)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20  # all 100 projections at once would be 50 MiB
