"""The verdict: every check alone, together, in order, and at its tolerance."""

import itertools
from typing import Any

import pytest
from tests.support.records import changed, valid_members

from fractal_lba.protocol import (
    CURRENT_PARAMS,
    PARAMS,
    Outcome,
    Params,
    Reason,
    Record,
    decision_body,
    judge,
    record_from_members,
)


def record(**changes: object) -> Record:
    members = valid_members()
    for path, value in changes.items():
        members = changed(members, path.replace("__", "."), value)
    return record_from_members(members)


def verdict(params: Params = CURRENT_PARAMS, **changes: object) -> Outcome:
    return judge(record(**changes), params)


def recomputed_d_hat(**changes: Any) -> float:  # noqa: ANN401 - members by name
    slope = verdict(**changes).recomputed_d_hat
    assert slope is not None
    return slope


# The changes that fail exactly one check each. A D̂ that is off moves the regime and budget
# recomputed from it, so it is small enough to move neither past its tolerance.
N_J_FALLS = {"2": 8, "4": 40, "8": 40, "16": 400, "32": 399}
ALONE: dict[Reason, dict[str, Any]] = {
    Reason.D_HAT_MISMATCH: {"D_hat": 1.660966},
    Reason.N_J_INCONSISTENT: {"N_j": N_J_FALLS, "D_hat": 0},  # D_hat is set in the test
    Reason.REGIME_MISMATCH: {"regime": "sticky"},
    Reason.BUDGET_DEVIATION: {"budget": 0.193002},
    Reason.DEGRADED: {"ft__degraded": True},
}
FAILS = {Reason.D_HAT_MISMATCH, Reason.N_J_INCONSISTENT}


def test_a_record_nothing_is_wrong_with_is_accepted() -> None:
    assert verdict() == Outcome(
        accepted=True,
        escalated=False,
        reasons=(),
        recomputed_d_hat=1.660964047,
        recomputed_budget=0.193,
        params_version="1",
    )
    assert verdict().status == 200


def combined(reasons: tuple[Reason, ...]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for reason in reasons:
        changes |= ALONE[reason]
    if Reason.N_J_INCONSISTENT in reasons:
        exact = recomputed_d_hat(N_j=N_J_FALLS)
        changes["D_hat"] = exact + 2e-6 if Reason.D_HAT_MISMATCH in reasons else exact
    return changes


@pytest.mark.parametrize(
    "reasons", [c for k in range(1, 6) for c in itertools.combinations(ALONE, k)]
)
def test_every_failed_check_is_listed_in_order(reasons: tuple[Reason, ...]) -> None:
    outcome = verdict(**combined(reasons))
    assert outcome.reasons == reasons
    assert outcome.accepted == FAILS.isdisjoint(reasons)
    assert outcome.escalated == outcome.accepted
    assert outcome.status == (202 if outcome.accepted else 422)


def test_d_hat_may_be_off_by_its_tolerance() -> None:
    exact = 1.660964047
    assert verdict(D_hat=exact + 0.99e-6).reasons == ()
    assert verdict(D_hat=exact - 0.99e-6).reasons == ()
    assert verdict(D_hat=exact + 1.01e-6).reasons == (Reason.D_HAT_MISMATCH,)
    assert verdict(D_hat=exact - 1.01e-6).reasons == (Reason.D_HAT_MISMATCH,)


def test_the_budget_may_be_off_by_its_tolerance() -> None:
    assert verdict(budget=0.193 + 0.99e-6).reasons == ()
    assert verdict(budget=0.193 - 0.99e-6).reasons == ()
    assert verdict(budget=0.193 + 1.01e-6).reasons == (Reason.BUDGET_DEVIATION,)
    assert verdict(budget=0.193 - 1.01e-6).reasons == (Reason.BUDGET_DEVIATION,)


def test_the_budget_and_the_regime_follow_from_the_record_s_own_d_hat() -> None:
    # A D̂ far off its counts is one reason, not three.
    outcome = verdict(D_hat=2.7, regime="non_sticky", budget=0.443)
    assert outcome.reasons == (Reason.D_HAT_MISMATCH,)
    assert outcome.recomputed_d_hat == 1.660964047
    assert outcome.recomputed_budget == 0.443


def test_the_recomputed_values_are_rounded() -> None:
    outcome = verdict(r=1 / 3)
    assert outcome.recomputed_budget == 0.324
    slope = recomputed_d_hat(N_j={"2": 1, "4": 2, "8": 4, "16": 7, "32": 9})
    assert slope == round(slope, 9)


def counts(**n_j: int) -> bool:
    scales = [int(name[1:]) for name in n_j]
    changes: dict[str, Any] = {
        "scales": scales,
        "N_j": {str(s): n for s, n in zip(scales, n_j.values(), strict=True)},
    }
    return Reason.N_J_INCONSISTENT not in verdict(**changes).reasons


def test_a_refined_grid_has_no_fewer_cells() -> None:
    assert counts(s2=8, s4=8)
    assert not counts(s2=8, s4=7)
    assert counts(s4=10, s8=10, s16=10)
    assert not counts(s4=10, s8=11, s16=9)


def test_grids_that_do_not_refine_each_other_are_not_compared() -> None:
    assert counts(s2=8, s5=7)  # 5 is no multiple of 2
    assert counts(s3=8, s6=7)  # 3 is no power of two: the cells' edges differ in doubles
    assert counts(s4=10, s10=9)
    assert not counts(s2=8, s5=9, s10=7)
    assert not counts(s4=10, s9=10, s20=9)


def test_a_grid_has_no_more_cells_than_it_has() -> None:
    assert counts(s2=8, s4=64)
    assert not counts(s2=9, s4=64)
    assert not counts(s2=8, s4=65)
    assert counts(s3=27, s9=729)
    assert not counts(s3=28, s9=729)


def test_other_parameters_give_another_outcome_under_another_name() -> None:
    wide = Params(version="test", tol_d=0.5, tol_budget=0.5)
    outcome = verdict(wide, D_hat=1.7, budget=0.3)
    assert outcome.reasons == ()
    assert outcome.params_version == "test"
    assert verdict(D_hat=1.7, budget=0.3).reasons == (
        Reason.D_HAT_MISMATCH,
        Reason.BUDGET_DEVIATION,
    )


def test_every_parameter_set_that_ever_judged_is_kept_as_it_was() -> None:
    assert dict(PARAMS) == {
        "1": Params(version="1", tol_d=1e-6, tol_budget=1e-6),
        "legacy/1": Params(version="legacy/1", tol_d=0.15, tol_budget=0.01),
    }
    assert CURRENT_PARAMS is PARAMS["1"]


def test_the_decision_body_is_canonical() -> None:
    body = decision_body(pcs_id="ab", record_digest="cd", outcome=verdict(budget=1, D_hat=2))
    assert body == (
        b'{"accepted":false,"escalated":false,"params_version":"1","pcs_id":"ab",'
        b'"reasons":["d_hat_mismatch","budget_deviation"],'
        b'"recomputed_D_hat":1.660964047,"recomputed_budget":0.193,"record_digest":"cd"}'
    )
