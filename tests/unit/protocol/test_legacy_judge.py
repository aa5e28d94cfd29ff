"""The verdict on version 0.1: each check alone and together, and whose fault a failed one is."""

import itertools
from typing import Any

import pytest
from tests.support.legacy import N_J, body, members, signed

from fractal_lba.protocol import (
    CURRENT_PARAMS,
    IN_FORCE,
    LEGACY_PARAMS,
    Outcome,
    Reason,
    Refusal,
    decision_body,
    is_remembered,
    judge_any,
    judge_legacy,
    legacy_d_hat,
    parse_legacy_record,
)

# D̂ of N_J is 1.152003093; its tolerance reaches to ±0.15.
SLOPE = members()["D_hat"]
FALLING = {"2": 4, "4": 9, "8": 20, "16": 19}


def verdict(**changes: Any) -> Outcome:  # noqa: ANN401 - members by name
    record = parse_legacy_record(body(signed(**changes)))
    return judge_legacy(record, LEGACY_PARAMS)


ALONE: dict[Reason, dict[str, Any]] = {
    Reason.D_HAT_MISMATCH: {"D_hat": SLOPE + 0.16},
    Reason.N_J_INCONSISTENT: {"N_j": FALLING},
    Reason.COH_STAR_BOUNDS: {"coh_star": -0.01},
    Reason.R_BOUNDS: {"r": 1.01},
    Reason.REGIME_MISMATCH: {"regime": "sticky"},
    Reason.BUDGET_DEVIATION: {"budget": 0.5},
}
COMBINATIONS = [c for k in range(7) for c in itertools.combinations(ALONE, k)]
UNSIGNED = {Reason.D_HAT_MISMATCH, Reason.N_J_INCONSISTENT, Reason.REGIME_MISMATCH}
SIGNED = {Reason.COH_STAR_BOUNDS, Reason.R_BOUNDS}


def combined(reasons: tuple[Reason, ...]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for reason in reasons:
        changes |= ALONE[reason]
    if Reason.N_J_INCONSISTENT in reasons:
        exact = legacy_d_hat({int(scale): cells for scale, cells in FALLING.items()})
        changes["D_hat"] = exact + (0.16 if Reason.D_HAT_MISMATCH in reasons else 0)
    return changes


def test_a_record_nothing_is_wrong_with_is_accepted() -> None:
    assert verdict() == Outcome(
        accepted=True,
        escalated=False,
        reasons=(),
        recomputed_d_hat=None,
        recomputed_budget=0.3,
        params_version="legacy/1",
    )


@pytest.mark.parametrize(
    "reasons", [c for k in range(1, 7) for c in itertools.combinations(ALONE, k)]
)
def test_every_failed_check_is_listed_in_order(reasons: tuple[Reason, ...]) -> None:
    outcome = verdict(**combined(reasons))
    assert outcome.reasons == reasons
    accepted = set(reasons) == {Reason.BUDGET_DEVIATION}
    assert (outcome.accepted, outcome.escalated) == (accepted, accepted)
    assert outcome.status == (202 if accepted else 422)


@pytest.mark.parametrize("reasons", COMBINATIONS)
def test_only_what_accepts_is_remembered_and_an_unsigned_fault_is_the_copy_s(
    reasons: tuple[Reason, ...],
) -> None:
    record = parse_legacy_record(body(signed(**combined(reasons))))
    outcome = judge_any(record, IN_FORCE)
    unsigned = [reason for reason in reasons if reason in UNSIGNED]
    if unsigned:
        with pytest.raises(Refusal) as caught:
            is_remembered(record, outcome)
        member = "regime" if unsigned[0] is Reason.REGIME_MISMATCH else "N_j"
        assert caught.value.code == "unsigned_member_mismatch"
        assert (caught.value.reason, caught.value.member) == (unsigned[0].value, member)
    else:
        assert is_remembered(record, outcome) == SIGNED.isdisjoint(reasons)


def test_the_tolerances_are_those_of_old_agents() -> None:
    assert verdict(D_hat=SLOPE + 0.149).reasons == ()
    assert verdict(D_hat=SLOPE - 0.149).reasons == ()
    assert verdict(D_hat=SLOPE - 0.151).reasons == (Reason.D_HAT_MISMATCH,)
    assert verdict(budget=0.3 + 0.0099).reasons == ()
    assert verdict(budget=0.3 - 0.0101).reasons == (Reason.BUDGET_DEVIATION,)


def test_the_bounds_are_inclusive_and_of_the_rounded_number() -> None:
    for coh_star in (0, 1.05, 1.0500000004, -4e-10):
        regime = "sticky" if coh_star > 0.7 else "mixed"
        assert verdict(coh_star=coh_star, regime=regime).reasons == ()
    assert verdict(coh_star=1.050000001).reasons == (Reason.COH_STAR_BOUNDS,)
    for r in (0, 1, 1.0000000004):
        assert verdict(r=r).reasons == ()
    assert verdict(r=-1e-9).reasons == (Reason.R_BOUNDS,)


def test_a_fault_in_ft_is_nobody_s_business() -> None:
    assert verdict(ft={"degraded": True}).reasons == ()


@pytest.mark.parametrize(
    ("n_j", "d_hat"),
    [
        ({2: 4, 4: 9, 8: 20, 16: 31}, 1.152003093),
        ({2: 5, 4: 10, 8: 13, 16: 15}, 0.528320834),  # the mean of the middle two is 0.453416228
        ({2: 2, 4: 8}, 2.0),
        ({2: 7, 4: 7, 8: 7}, 0.0),
        ({3: 9, 27: 9, 5: 3}, 0.0),
    ],
)
def test_d_hat_is_the_upper_median(n_j: dict[int, int], d_hat: float) -> None:
    assert legacy_d_hat(n_j) == d_hat


def test_the_answer_says_nothing_of_what_is_not_signed() -> None:
    def answer(**changes: Any) -> bytes:  # noqa: ANN401 - members by name
        return decision_body(pcs_id="p", record_digest="d", outcome=verdict(**changes))

    assert b'"recomputed_D_hat":null' in answer()
    other = {**N_J, "16": 34}
    carried = answer(N_j=other, attempt=3, seed=7, v_star=[0, 1], ft=None, sent_at="", new=1)
    assert carried == answer()


def test_each_version_has_its_own_parameters() -> None:
    assert IN_FORCE == {"1.0": CURRENT_PARAMS, "0.1": LEGACY_PARAMS}
