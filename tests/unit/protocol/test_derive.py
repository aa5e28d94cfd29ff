"""What follows from a record's own numbers, at its edges."""

import math

import pytest

from fractal_lba.protocol import ContractError, Regime, budget, d_hat, regime, rounded
from fractal_lba.protocol import theil_sen_slope as slope

ROUNDED = {
    0.0: 0.0,
    4.9e-10: 0.0,
    -4.9e-10: 0.0,
    5e-10: 1e-9,
    -5e-10: -1e-9,
    0.1234567894: 0.123456789,
    0.1234567896: 0.12345679,
    -0.1234567896: -0.12345679,
    2.5: 2.5,
    1.0: 1.0,
    16.0: 16.0,
}


@pytest.mark.parametrize("x", ROUNDED)
def test_rounding_is_half_away_from_zero_to_nine_decimals(x: float) -> None:
    assert rounded(x) == ROUNDED[x]
    assert math.copysign(1, rounded(x)) == math.copysign(1, ROUNDED[x])
    assert rounded(rounded(x)) == rounded(x)


def test_rounding_never_gives_minus_zero() -> None:
    assert math.copysign(1, rounded(-0.0)) == 1


def test_a_line_a_plane_and_a_cube_have_their_dimension() -> None:
    for dimension in (0, 1, 2, 3):
        assert slope({s: s**dimension for s in (2, 4, 8, 16, 32)}) == dimension


def test_an_odd_number_of_slopes_gives_the_middle_one() -> None:
    # Slopes: 2→4: 1, 2→8: 0.5, 4→8: 0.
    assert slope({2: 1, 4: 2, 8: 2}) == 0.5


def test_an_even_number_of_slopes_gives_the_mean_of_the_middle_two() -> None:
    # Slopes: 1, 1, 1, 1, 1 and 0 would be six; with log2 N = 0, 1, 2, 2 they are
    # 1, 1, 2/3, 1, 1/2, 0, whose middle two are 2/3 and 1.
    assert slope({2: 1, 4: 2, 8: 4, 16: 4}) == (2 / 3 + 1) / 2


def test_scales_are_taken_in_order_whatever_the_mapping_says() -> None:
    assert slope({8: 64, 2: 4, 4: 16}) == 2


def test_a_falling_count_has_a_negative_slope() -> None:
    assert slope({2: 8, 4: 4}) == -1


def test_d_hat_is_the_rounded_slope() -> None:
    assert d_hat({2: 3, 4: 8}) == 1.415037499
    assert slope({2: 3, 4: 8}) == pytest.approx(math.log2(8 / 3), abs=1e-15)


@pytest.mark.parametrize("n_j", [{}, {2: 1}])
def test_a_slope_needs_two_scales(n_j: dict[int, int]) -> None:
    with pytest.raises(ContractError):
        slope(n_j)


REGIMES = [
    (1.5, 0.7, "sticky"),
    (1.500000001, 0.7, "mixed"),
    (1.5, 0.699999999, "mixed"),
    (-16.0, 1.0, "sticky"),
    (2.6, 1.0, "non_sticky"),
    (2.6, 0.05, "non_sticky"),
    (2.599999999, 0.05, "mixed"),
    (2.599999999, 1.0, "mixed"),
]


@pytest.mark.parametrize(("d", "coh", "name"), REGIMES)
def test_the_regime_changes_at_its_borders(d: float, coh: float, name: str) -> None:
    assert regime(d, coh) is Regime(name)


BUDGETS = [
    (0.0, 0.05, 1.0, 0.11),
    (2.2, 0.05, 1.0, 0.11),
    (3.0, 0.1, 0.5, 0.67),
    (2.2, 1.0, 0.0, 0.6),
    (3.0, 1.0, 0.0, 1.0),
    (16.0, 1.0, 0.0, 1.0),
    (-16.0, 0.05, 1.0, 0.11),
]


@pytest.mark.parametrize(("d", "coh", "r", "expected"), BUDGETS)
def test_the_budget_follows_its_formula_and_stays_in_its_range(
    d: float, coh: float, r: float, expected: float
) -> None:
    assert budget(d, coh, r) == expected
