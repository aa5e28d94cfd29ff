"""The retry budget: what fails costs a bounded number of requests, and nothing is dropped."""

import random

import pytest

from fractal_lba.agent.budget import RATE_PER_S, SAVED_MAX, SHARE, WAIT_MAX_S, Budget


def test_one_outage_takes_what_is_saved_and_waits_for_nothing() -> None:
    budget = Budget()
    assert [budget.plan(5.0) for _ in range(int(SAVED_MAX))] == [5.0] * int(SAVED_MAX)
    assert budget.plan(5.0) > 5.0


def test_what_is_over_it_waits_its_turn_up_to_a_bound() -> None:
    budget = Budget()
    times = [budget.plan(0.0) for _ in range(200)]
    assert times == sorted(times)
    assert times[21] - times[20] == 1 / RATE_PER_S
    assert times[-1] == WAIT_MAX_S


def test_new_requests_add_a_share() -> None:
    budget = Budget(saved=0.0)
    for _ in range(10):
        budget.sent_new()
    assert budget.saved == pytest.approx(10 * SHARE)


def test_what_is_answered_in_the_end_costs_nothing() -> None:
    budget = Budget()
    for _ in range(1_000):
        budget.plan(0.0)
        budget.answered_again()
    assert budget.saved == SAVED_MAX


def test_nobody_saves_more_than_the_bound() -> None:
    budget = Budget()
    for _ in range(1_000):
        budget.sent_new()
    budget.plan(1e9)
    assert budget.saved == SAVED_MAX - 1


def test_whatever_fails_and_whenever_requests_again_stay_within_the_budget() -> None:
    """Beyond the bound on waiting: never more than the share of the new, the rate and the saved."""
    for seed in range(20):
        rng = random.Random(seed)  # noqa: S311 - printed with a failure
        budget, now_s, new, again = Budget(), 0.0, 0, []
        while now_s < 600:
            now_s += rng.expovariate(0.4)
            if rng.random() < 0.5:
                new += 1
                budget.sent_new()
            again.append(budget.plan(now_s))
        allowed = SAVED_MAX + SHARE * new + RATE_PER_S * (now_s + WAIT_MAX_S)
        done = sum(at <= now_s for at in again)
        assert done <= allowed, seed
