"""The statistics behind a report: ties, groups and seeds as they are said to be."""

import math
from itertools import product

import numpy as np
import pytest
from benchmarks.discrimination import (
    FOLDS,
    auroc,
    auroc_estimate,
    cross_fitted,
    fit_logistic,
    fold_of,
    group_draws,
    share_estimate,
    threshold_at,
)
from hypothesis import given
from hypothesis import strategies as st

SAMPLES = st.lists(st.tuples(st.integers(-3, 3), st.booleans(), st.integers(0, 3)), min_size=1)


def brute_force(samples: list[tuple[int, bool]]) -> float:
    """Compare every positive with every negative."""
    pairs = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for (p, of_p), (n, of_n) in product(samples, samples)
        if of_p and not of_n
    ]
    return sum(pairs) / len(pairs) if pairs else math.nan


def columns(samples: list[tuple[int, bool, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores, is_positive, weights = zip(*samples, strict=True)
    return np.array(scores, dtype=float), np.array(is_positive), np.array(weights, dtype=float)


@given(SAMPLES)
def test_auroc_with_ties_is_the_share_of_pairs_in_order(
    samples: list[tuple[int, bool, int]],
) -> None:
    scores, is_positive, _ = columns(samples)
    expected = brute_force([(score, positive) for score, positive, _ in samples])
    assert auroc(scores, is_positive) == pytest.approx(expected, nan_ok=True, abs=1e-12)


@given(SAMPLES)
def test_a_weight_counts_a_sample_so_many_times(samples: list[tuple[int, bool, int]]) -> None:
    repeated = [(score, positive) for score, positive, times in samples for _ in range(times)]
    expected = brute_force(repeated)
    assert auroc(*columns(samples)) == pytest.approx(expected, nan_ok=True, abs=1e-12)


@given(SAMPLES)
def test_the_other_direction_has_the_other_auroc(samples: list[tuple[int, bool, int]]) -> None:
    scores, is_positive, weights = columns(samples)
    value = auroc(scores, is_positive, weights)
    assert auroc(-scores, is_positive, weights) == pytest.approx(1 - value, nan_ok=True)


GROUPS = ["a", "b", "a", "c", "c", "c", "d"]


def test_the_same_seed_draws_the_same_groups() -> None:
    assert np.array_equal(group_draws(GROUPS, 50, 7), group_draws(GROUPS, 50, 7))
    assert not np.array_equal(group_draws(GROUPS, 50, 7), group_draws(GROUPS, 50, 8))
    scores, is_positive = np.arange(7.0), np.array([False, True] * 3 + [False])
    one, again = (auroc_estimate(scores, is_positive, group_draws(GROUPS, 99, 3)) for _ in "ab")
    assert one == again


def test_a_group_is_drawn_whole_and_as_many_groups_as_there_are() -> None:
    drawn = group_draws(GROUPS, 200, 1)
    assert np.array_equal(drawn[:, 0], drawn[:, 2])
    assert np.array_equal(drawn[:, 3], drawn[:, 4])
    assert np.array_equal(drawn[:, 3], drawn[:, 5])
    assert (drawn[:, [0, 1, 3, 6]].sum(axis=1) == 4).all()
    assert (drawn == 0).any()
    assert drawn.max() >= 2
    assert drawn[:, 1].mean() == pytest.approx(1.0, abs=0.2)


def test_an_interval_widens_where_samples_share_groups() -> None:
    rng = np.random.default_rng(5)
    of_group = rng.normal(size=40)
    scores = np.repeat(of_group, 25) + rng.normal(scale=0.1, size=1000)
    is_positive = np.repeat(np.arange(40) % 2 == 0, 25)
    names = [str(index // 25) for index in range(1000)]
    apart = [str(index) for index in range(1000)]
    together, alone = (
        auroc_estimate(scores, is_positive, group_draws(each, 300, 2)) for each in (names, apart)
    )
    assert together.value == alone.value
    assert together.low < together.value < together.high
    assert together.high - together.low > 3 * (alone.high - alone.low)


def test_an_interval_of_a_chance_score_holds_one_half() -> None:
    rng = np.random.default_rng(6)
    scores, is_positive = rng.normal(size=400), rng.random(400) < 0.3
    found = auroc_estimate(scores, is_positive, group_draws([str(i) for i in range(400)], 400, 0))
    assert found.low < 0.5 < found.high
    assert 0.05 < found.high - found.low < 0.2


def test_a_share_comes_with_its_interval() -> None:
    holds = np.array([True, False, False, False] * 50)
    found = share_estimate(holds, group_draws([str(i) for i in range(200)], 500, 0))
    assert found.value == 0.25
    assert 0.17 < found.low < 0.21
    assert 0.29 < found.high < 0.33
    none = share_estimate(np.zeros(4, dtype=bool), group_draws(["a", "b", "c", "c"], 20, 0))
    assert (none.value, none.low, none.high) == (0.0, 0.0, 0.0)


def test_a_class_that_is_not_there_has_no_auroc() -> None:
    found = auroc_estimate(np.arange(3.0), np.ones(3, dtype=bool), group_draws(["a"] * 3, 5, 0))
    assert all(map(math.isnan, (found.value, found.low, found.high)))


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=300), st.sampled_from([0.0, 0.01, 0.1, 0.5])
)
def test_a_threshold_lets_at_most_its_rate_pass_and_no_lower_one_does(
    scores: list[int], rate: float
) -> None:
    normal = np.array(scores, dtype=float)
    threshold = threshold_at(normal, rate)
    assert (normal > threshold).mean() <= rate
    lower = normal[normal < threshold]
    assert not lower.size or (normal > lower.max()).mean() > rate


def test_a_fit_finds_where_its_slope_is_zero() -> None:
    rng = np.random.default_rng(9)
    features = rng.normal(size=(300, 3)) * [1.0, 50.0, 0.01] + [0.0, -7.0, 2.0]
    is_positive = features[:, 0] + 0.02 * features[:, 1] + rng.normal(size=300) > 0.3
    fit = fit_logistic(features, is_positive)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)

    def loss(weights: np.ndarray) -> float:
        odds = scaled @ weights[:3] + weights[3]
        each = np.logaddexp(0.0, np.where(is_positive, -odds, odds))
        share = is_positive.mean()
        alike = np.where(is_positive, 0.5 / share, 0.5 / (1 - share))
        return float((alike * each).sum() + 0.5 * (weights[:3] ** 2).sum())

    least = loss(fit.weights)
    for step in np.concatenate((np.eye(4), -np.eye(4))) * 1e-3:
        assert loss(fit.weights + step) > least
    assert auroc(fit.score(features), is_positive) > 0.8


def test_a_fit_stays_finite_where_nothing_overlaps_or_a_feature_is_constant() -> None:
    features = np.column_stack((np.arange(20.0), np.ones(20)))
    fit = fit_logistic(features, np.arange(20) >= 10)
    assert np.isfinite(fit.weights).all()
    assert auroc(fit.score(features), np.arange(20) >= 10) == 1.0


def test_a_score_never_comes_from_a_fit_that_saw_its_group() -> None:
    # The class is the group's alone: whoever saw the group could tell it, nobody else can.
    rng = np.random.default_rng(4)
    names = [f"g{index // 10}" for index in range(600)]
    of_group = rng.random(60) < 0.5
    is_positive = np.repeat(of_group, 10)
    features = np.repeat(np.eye(60), 10, axis=0)
    seen = fit_logistic(features, is_positive).score(features)
    assert auroc(seen, is_positive) == 1.0
    assert auroc(cross_fitted(features, is_positive, names), is_positive) < 0.6


def test_folds_follow_from_names_and_are_of_like_size() -> None:
    folds = [fold_of(f"he:{index}") for index in range(1000)]
    assert folds == [fold_of(f"he:{index}") for index in range(1000)]
    assert [150 < folds.count(fold) < 250 for fold in range(FOLDS)] == [True] * FOLDS
