"""The verdict on a record whose signature holds: pure, the same everywhere and at any time.

A record is checked against itself under a parameter set. The outcome names the set's version, and
every set that ever judged stays in `PARAMS`, so that an old outcome can be checked again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import combinations
from types import MappingProxyType
from typing import Final

from fractal_lba.protocol.canonical import canonical
from fractal_lba.protocol.derive import budget, d_hat, regime
from fractal_lba.protocol.record import Record


class Reason(StrEnum):
    """The failed checks an outcome can name, in the order they are listed."""

    D_HAT_MISMATCH = "d_hat_mismatch"
    N_J_INCONSISTENT = "n_j_inconsistent"
    COH_STAR_BOUNDS = "coh_star_bounds"
    R_BOUNDS = "r_bounds"
    REGIME_MISMATCH = "regime_mismatch"
    BUDGET_DEVIATION = "budget_deviation"
    DEGRADED = "degraded"


_REASONS: Final = tuple(Reason)
_SCALES_CACHED: Final = 64
"""An agent uses one set of scales, a server meets a few."""

_NOT_ACCEPTED: Final = frozenset({Reason.D_HAT_MISMATCH, Reason.N_J_INCONSISTENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """What a verdict depends on beside the record.

    Attributes:
        version: what an outcome calls this set.
        tol_d: how far D̂ may be from the recomputed one.
        tol_budget: how far the budget may be from the recomputed one.
    """

    version: str
    tol_d: float
    tol_budget: float


CURRENT_PARAMS: Final = Params(version="1", tol_d=1e-6, tol_budget=1e-6)
LEGACY_PARAMS: Final = Params(version="legacy/1", tol_d=0.15, tol_budget=0.01)
"""What records of version 0.1 are judged by."""

PARAMS: Final[Mapping[str, Params]] = MappingProxyType(
    {params.version: params for params in (CURRENT_PARAMS, LEGACY_PARAMS)}
)
"""Every parameter set that ever judged, by version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A verdict.

    Attributes:
        accepted: no check failed that says the record contradicts itself.
        escalated: accepted, but someone should look.
        reasons: every failed check, in the order of `Reason`.
        recomputed_d_hat: none for version 0.1, whose answer must not say what is not signed.
    """

    accepted: bool
    escalated: bool
    reasons: tuple[Reason, ...]
    recomputed_d_hat: float | None
    recomputed_budget: float
    params_version: str

    @property
    def status(self) -> int:
        """The HTTP status that says the same: 200, 202 or 422."""
        if not self.accepted:
            return 422
        return 202 if self.escalated else 200


def judge(record: Record, params: Params) -> Outcome:
    """Return the verdict on a record under a parameter set; every check is run.

    Source: ``specs/pcs.md`` section 6.
    """
    recomputed_d_hat = d_hat(record.n_j)
    # The next two start from the record's own values, so that one wrong number is one reason.
    recomputed_budget = budget(record.d_hat, record.coh_star, record.r)
    failed = {
        Reason.D_HAT_MISMATCH: abs(recomputed_d_hat - record.d_hat) > params.tol_d,
        Reason.N_J_INCONSISTENT: not is_consistent(record.n_j),
        Reason.REGIME_MISMATCH: regime(record.d_hat, record.coh_star) is not record.regime,
        Reason.BUDGET_DEVIATION: abs(recomputed_budget - record.budget) > params.tol_budget,
        Reason.DEGRADED: record.ft.degraded,
    }
    reasons = listed(failed)
    accepted = _NOT_ACCEPTED.isdisjoint(reasons)
    return Outcome(
        accepted=accepted,
        escalated=accepted and bool(reasons),
        reasons=reasons,
        recomputed_d_hat=recomputed_d_hat,
        recomputed_budget=recomputed_budget,
        params_version=params.version,
    )


def listed(failed: Mapping[Reason, bool]) -> tuple[Reason, ...]:
    """Return the checks that failed, in the order an outcome lists them."""
    return tuple([reason for reason in _REASONS if failed.get(reason)])


def is_consistent(n_j: Mapping[int, int]) -> bool:
    """Return whether the counts can come from points in a cube at all.

    A grid refines another when its scale is a multiple, and then occupies no fewer cells. The rule
    holds in double arithmetic only where the coarser scale is a power of two, so it is asked only
    there.
    """
    return all(n_j[coarse] <= n_j[fine] for coarse, fine in _refined(tuple(n_j))) and all(
        cells <= scale**3 for scale, cells in n_j.items()
    )


@lru_cache(maxsize=_SCALES_CACHED)
def _refined(scales: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Return the pairs of scales of which the first is refined by the second."""
    return tuple(
        (coarse, fine)
        for coarse, fine in combinations(sorted(scales), 2)
        if coarse & (coarse - 1) == 0 and fine % coarse == 0
    )


def decision_body(*, pcs_id: str, record_digest: str, outcome: Outcome) -> bytes:
    """Return the canonical JSON an agent gets, the same in every region."""
    return canonical(
        {
            "pcs_id": pcs_id,
            "record_digest": record_digest,
            "accepted": outcome.accepted,
            "escalated": outcome.escalated,
            "reasons": [str(reason) for reason in outcome.reasons],
            "recomputed_D_hat": outcome.recomputed_d_hat,
            "recomputed_budget": outcome.recomputed_budget,
            "params_version": outcome.params_version,
        }
    )
