"""How well a score tells two classes apart, and how sure one can be of it.

Pure, and standard formulas only. Samples that share a *group* (texts made from one answer, answers
to one question) are not independent: an interval draws whole groups, and what is fitted or chosen
for a group never saw it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

FOLDS: Final = 5
CONFIDENCE: Final = 0.95
# Keeps the fit finite where a class can be told apart without a mistake; features have variance 1.
RIDGE: Final = 1.0
_STEPS_MAX: Final = 50
_STEP_ENOUGH: Final = 1e-10


def auroc(scores: Floats, is_positive: Bools, weights: Floats | None = None) -> float:
    """Return the chance that a positive has the higher score; a tie counts one half.

    Args:
        scores: ``(n,)``, finite.
        is_positive: ``(n,)``.
        weights: ``(n,)``, how often each sample counts; once when None.

    Returns:
        0 … 1, or NaN where one class has no weight.

    Source: Hanley and McNeil (1982), doi:10.1148/radiology.143.1.7063747 (Mann and Whitney's U).
    """
    return _auroc(
        _ranked(scores), is_positive, np.ones(len(scores)) if weights is None else weights
    )


@dataclass(frozen=True, slots=True)
class _Ranked:
    order: Ints
    starts: Ints  # where, in that order, a new value begins


def _ranked(scores: Floats) -> _Ranked:
    order = np.argsort(scores, kind="stable")
    ascending = scores[order]
    is_new = np.concatenate(([True], ascending[1:] != ascending[:-1]))
    return _Ranked(order, np.flatnonzero(is_new))


def _auroc(ranked: _Ranked, is_positive: Bools, weights: Floats) -> float:
    held = weights[ranked.order]
    positives = np.add.reduceat(np.where(is_positive[ranked.order], held, 0.0), ranked.starts)
    negatives = np.add.reduceat(np.where(is_positive[ranked.order], 0.0, held), ranked.starts)
    below = np.cumsum(negatives) - negatives
    pairs = positives.sum() * negatives.sum()
    if pairs == 0.0:
        return float("nan")
    return float((positives * (below + 0.5 * negatives)).sum() / pairs)


def group_draws(groups: Sequence[str], draws: int, seed: int) -> Floats:
    """Return how often each sample counts in each of so many draws of groups with replacement.

    Args:
        groups: ``n`` names; the samples of a name are drawn together.
        draws: Rows of the result.
        seed: The same seed gives the same draws.

    Returns:
        ``(draws, n)``, whole numbers.
    """
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(names), np.full(len(names), 1.0 / len(names)), size=draws)
    return counts.astype(np.float64)[:, index]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and the interval that 95 % of the draws lie in; NaN where it is not defined."""

    value: float
    low: float
    high: float


def auroc_estimate(scores: Floats, is_positive: Bools, drawn: Floats) -> Estimate:
    """Return the AUROC and its percentile interval over ``drawn`` (`group_draws`)."""
    ranked = _ranked(scores)
    value = _auroc(ranked, is_positive, np.ones(len(scores)))
    return _interval(value, [_auroc(ranked, is_positive, weights) for weights in drawn])


def share_estimate(holds: Bools, drawn: Floats) -> Estimate:
    """Return the share of samples that hold, and its percentile interval over ``drawn``."""
    totals = drawn.sum(axis=1)
    kept = totals > 0.0
    return _interval(float(holds.mean()), (drawn @ holds.astype(np.float64))[kept] / totals[kept])


def _interval(value: float, resampled: Sequence[float] | Floats) -> Estimate:
    defined = np.asarray(resampled, dtype=np.float64)
    defined = defined[~np.isnan(defined)]
    if not defined.size:
        return Estimate(value, float("nan"), float("nan"))
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(defined, [tail, 1.0 - tail])
    return Estimate(value, float(low), float(high))


def fold_of(group: str) -> int:
    """Return the fold of a group, 0 … 4, from its name alone: known before any text is read."""
    return hashlib.sha256(f"fold/{group}".encode()).digest()[0] % FOLDS


def threshold_at(normal_scores: Floats, rate: float) -> float:
    """Return the lowest threshold that at most ``rate`` of the normal scores lie above."""
    ascending = np.sort(normal_scores)
    allowed = int(rate * len(ascending))
    return float(ascending[len(ascending) - 1 - allowed])


@dataclass(frozen=True, slots=True)
class Logistic:
    """A fitted rule: ``score`` is its log odds, up to the share of positives it was fitted on."""

    means: Floats
    spreads: Floats
    weights: Floats  # the last one is the constant

    def score(self, features: Floats) -> Floats:
        """Return the ``(n,)`` scores of ``(n, k)`` features."""
        scaled: Floats = (features - self.means) / self.spreads
        scores: Floats = scaled @ self.weights[:-1] + self.weights[-1]
        return scores


def fit_logistic(features: Floats, is_positive: Bools) -> Logistic:
    """Return the logistic regression with a ridge on scaled features, classes weighted alike.

    Args:
        features: ``(n, k)``, finite.
        is_positive: ``(n,)``, both classes present.

    Source: Hastie, Tibshirani and Friedman (2009), section 4.4.1 (Newton's method).
    """
    means, spreads = features.mean(axis=0), features.std(axis=0)
    spreads = np.where(spreads == 0.0, 1.0, spreads)
    design = np.column_stack(((features - means) / spreads, np.ones(len(features))))
    target = is_positive.astype(np.float64)
    alike = np.where(is_positive, 0.5 / target.mean(), 0.5 / (1.0 - target.mean()))
    penalty = np.diag([RIDGE] * features.shape[1] + [0.0])
    weights = np.zeros(design.shape[1])
    for _ in range(_STEPS_MAX):
        chance = 1.0 / (1.0 + np.exp(-np.clip(design @ weights, -700.0, 700.0)))
        slope = design.T @ (alike * (chance - target)) + penalty @ weights
        curve = (design.T * (alike * chance * (1.0 - chance))) @ design + penalty
        step = np.linalg.solve(curve, slope)
        weights = weights - step
        if np.abs(step).max() < _STEP_ENOUGH:
            break
    return Logistic(means, spreads, weights)


def cross_fitted(features: Floats, is_positive: Bools, groups: Sequence[str]) -> Floats:
    """Return each sample's score from a fit on the folds that its group is not in."""
    folds = np.array([fold_of(group) for group in groups])
    scores = np.empty(len(features))
    for fold in range(FOLDS):
        held = folds == fold
        if held.any():
            scores[held] = fit_logistic(features[~held], is_positive[~held]).score(features[held])
    return scores
