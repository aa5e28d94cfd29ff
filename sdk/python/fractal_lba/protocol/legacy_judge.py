"""The verdict on a record of version 0.1 whose signature holds: pure.

Most of its members are not signed. An outcome that is accepted follows from the signed ones alone;
one that an unsigned member spoils is a refusal of this copy and says nothing of the record, since
whoever carried it may have changed it.
"""

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Final

from fractal_lba.protocol.derive import budget, regime, rounded
from fractal_lba.protocol.errors import Refusal, RefusalCode
from fractal_lba.protocol.judge import Outcome, Params, Reason, is_consistent, listed
from fractal_lba.protocol.legacy_record import LegacyRecord

COH_STAR_MAX: Final = 1.05

_UNSIGNED: Final = {
    Reason.D_HAT_MISMATCH: "N_j",
    Reason.N_J_INCONSISTENT: "N_j",
    Reason.REGIME_MISMATCH: "regime",
}
"""The checks that ask an unsigned member, and which one."""

_NOT_ACCEPTED: Final = frozenset({*_UNSIGNED, Reason.COH_STAR_BOUNDS, Reason.R_BOUNDS})


def judge_legacy(record: LegacyRecord, params: Params) -> Outcome:
    """Return the verdict on a record under a parameter set; every check is run.

    Source: ``specs/pcs.md`` section 7.
    """
    signed = record.signed
    recomputed_budget = budget(signed.d_hat, signed.coh_star, signed.r)
    failed = {
        Reason.D_HAT_MISMATCH: abs(legacy_d_hat(record.n_j) - signed.d_hat) > params.tol_d,
        Reason.N_J_INCONSISTENT: not is_consistent(record.n_j),
        Reason.COH_STAR_BOUNDS: not 0 <= signed.coh_star <= COH_STAR_MAX,
        Reason.R_BOUNDS: not 0 <= signed.r <= 1,
        Reason.REGIME_MISMATCH: regime(signed.d_hat, signed.coh_star) is not record.regime,
        Reason.BUDGET_DEVIATION: abs(recomputed_budget - signed.budget) > params.tol_budget,
    }
    reasons = listed(failed)
    accepted = _NOT_ACCEPTED.isdisjoint(reasons)
    return Outcome(
        accepted=accepted,
        escalated=accepted and bool(reasons),
        reasons=reasons,
        recomputed_d_hat=None,
        recomputed_budget=recomputed_budget,
        params_version=params.version,
    )


def refuse_unsigned(outcome: Outcome) -> None:
    """Refuse a copy in which an unsigned member disagrees with the signed ones.

    Raises:
        Refusal: ``unsigned_member_mismatch``, with the first such check and the member it asked.
    """
    for reason in outcome.reasons:
        if reason in _UNSIGNED:
            member = _UNSIGNED[reason]
            message = f"{member}: expected what agrees with the signed members, got another"
            code = RefusalCode.UNSIGNED_MEMBER_MISMATCH
            raise Refusal(code, reason.value, message, member=member)


def legacy_d_hat(n_j: Mapping[int, int]) -> float:
    """Return D̂ as old agents computed it: the upper median of all pairwise slopes, rounded.

    Args:
        n_j: scale (≥ 2) to occupied cells (≥ 1); at least two scales.
    """
    points = [(math.log2(scale), math.log2(n_j[scale])) for scale in sorted(n_j)]
    slopes = sorted((yb - ya) / (xb - xa) for (xa, ya), (xb, yb) in combinations(points, 2))
    return rounded(slopes[len(slopes) // 2])
