"""The circuit breaker against its rules, whatever happens to it."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fractal_lba.agent.breaker import Breaker, BreakerRule, Permit, State

RULE = BreakerRule()


def ended(breaker: Breaker, now_s: float, *, is_failed: bool, took_s: float = 0.1) -> None:
    """Make one call that ends at once."""
    permit = breaker.permit(now_s)
    assert permit is not None
    breaker.settle(permit, is_failed=is_failed, took_s=took_s, now_s=now_s, chance=0.0)


def opened(now_s: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(RULE.calls_min):
        ended(breaker, now_s, is_failed=True)
    assert breaker.state is State.OPEN
    return breaker


def test_fewer_calls_than_the_minimum_open_nothing() -> None:
    breaker = Breaker()
    for _ in range(RULE.calls_min - 1):
        ended(breaker, 0.0, is_failed=True)
    assert breaker.state is State.CLOSED


def test_half_of_the_calls_failing_opens_it_and_less_does_not() -> None:
    less, half = Breaker(), Breaker()
    for breaker, answered in ((less, 11), (half, 10)):
        for _ in range(answered):
            ended(breaker, 0.0, is_failed=False)
        for _ in range(10):
            ended(breaker, 0.0, is_failed=True)
    assert less.state is State.CLOSED
    assert half.state is State.OPEN


def test_slow_answers_open_it_and_fast_ones_between_them_do_not() -> None:
    breaker, mixed = Breaker(), Breaker()
    for number in range(10):
        if breaker.state is State.CLOSED:
            ended(breaker, 0.0, is_failed=False, took_s=RULE.slow_s)
        ended(mixed, 0.0, is_failed=False, took_s=RULE.slow_s if number % 2 else 0.1)
    assert breaker.state is State.OPEN
    assert mixed.state is State.CLOSED


def test_what_failed_long_ago_counts_no_more() -> None:
    breaker = Breaker()
    for number in range(4 * RULE.calls_min):
        ended(breaker, number * RULE.window_s, is_failed=True)
    assert breaker.state is State.CLOSED


def test_no_call_goes_out_while_it_is_open() -> None:
    breaker = opened()
    assert breaker.until_s == RULE.open_first_s
    assert breaker.permit(breaker.until_s - 0.001) is None
    assert breaker.permit(breaker.until_s) is not None


def test_one_answer_closes_it_and_forgets_the_failures() -> None:
    breaker = opened()
    ended(breaker, breaker.until_s, is_failed=False)
    assert (breaker.state, breaker.openings) == (State.CLOSED, 0)
    ended(breaker, breaker.until_s, is_failed=True)
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize(("is_failed", "took_s"), [(True, 0.1), (False, RULE.slow_s)])
def test_a_probe_that_fails_or_is_slow_opens_it_for_twice_as_long_up_to_a_bound(
    is_failed: bool,  # noqa: FBT001 - a parameter of the test
    took_s: float,
) -> None:
    breaker = opened()
    waits = []
    for _ in range(8):
        now_s = breaker.until_s
        ended(breaker, now_s, is_failed=is_failed, took_s=took_s)
        waits.append(breaker.until_s - now_s)
    assert waits == [2.0, 4.0, 8.0, 16.0, 16.0, 16.0, 16.0, 16.0]


def test_a_wait_is_no_shorter_than_the_endpoint_asked() -> None:
    breaker = opened()
    permit = breaker.permit(1.0)
    assert permit is not None
    breaker.settle(permit, is_failed=True, took_s=0.1, now_s=1.0, chance=0.5, asked_s=100.0)
    assert breaker.until_s == 1.0 + 100.0 + 0.5 * 2.0


def test_a_call_that_was_not_made_leaves_the_probe_to_the_next() -> None:
    breaker = opened()
    permit = breaker.permit(5.0)
    assert permit is not None
    assert breaker.permit(5.0) is None
    breaker.release(permit, 6.0)
    assert breaker.permit(6.0) is not None


def test_what_was_sent_before_it_opened_says_nothing_any_more() -> None:
    breaker = Breaker()
    late = [breaker.permit(0.0) for _ in range(4 * RULE.calls_min)]
    assert None not in late

    def come(count: int, *, is_failed: bool, now_s: float) -> None:
        for _ in range(count):
            permit = late.pop()
            assert permit is not None
            breaker.settle(permit, is_failed=is_failed, took_s=0.1, now_s=now_s, chance=0.0)

    come(RULE.calls_min, is_failed=True, now_s=0.5)
    until_s = breaker.until_s
    come(RULE.calls_min, is_failed=True, now_s=1.0)
    assert (breaker.state, breaker.until_s, breaker.openings) == (State.OPEN, until_s, 1)
    probe = breaker.permit(until_s)
    assert probe is not None
    come(1, is_failed=False, now_s=until_s)
    assert breaker.permit(until_s) is None
    breaker.settle(probe, is_failed=False, took_s=0.1, now_s=until_s, chance=0.0)
    come(RULE.calls_min, is_failed=True, now_s=until_s)
    assert breaker.permit(until_s) is not None


class Machine(RuleBasedStateMachine):
    """Calls that begin, end, and come late, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.now_s = 0.0
        self.under_way: list[tuple[Permit, float]] = []
        self.probes = 0

    @rule(seconds=st.floats(0.0, 40.0))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def a_call_begins(self) -> None:
        before = self.breaker.state
        permit = self.breaker.permit(self.now_s)
        if before is State.CLOSED:
            assert permit is not None
            assert not permit.is_probe
        elif before is State.OPEN:
            assert (permit is not None) == (self.now_s >= self.breaker.until_s)
        else:
            assert permit is None
        if permit is not None:
            self.under_way.append((permit, self.now_s))

    @rule(data=st.data(), is_failed=st.booleans(), chance=st.floats(0.0, 1.0))
    def a_call_ends(self, data: st.DataObject, is_failed: bool, chance: float) -> None:  # noqa: FBT001
        if not self.under_way:
            return
        at = data.draw(st.integers(0, len(self.under_way) - 1))
        permit, sent_s = self.under_way.pop(at)
        before, until_s = self.breaker.state, self.breaker.until_s
        is_slow = self.now_s - sent_s >= RULE.slow_s
        self.breaker.settle(
            permit,
            is_failed=is_failed,
            took_s=self.now_s - sent_s,
            now_s=self.now_s,
            chance=chance,
        )
        after = self.breaker.state
        if permit.is_probe:
            assert before is State.HALF_OPEN
            assert after is (State.OPEN if is_failed or is_slow else State.CLOSED)
        elif before is not State.CLOSED:
            assert (after, self.breaker.until_s) == (before, until_s)
        elif not is_failed and not is_slow:
            assert after is State.CLOSED
        if before is not after is State.OPEN:
            wait_s = self.breaker.until_s - self.now_s
            assert RULE.open_first_s <= wait_s <= 2 * RULE.open_max_s

    @invariant()
    def a_probe_is_under_way_exactly_when_it_is_half_open(self) -> None:
        probes = sum(permit.is_probe for permit, _ in self.under_way)
        assert probes == (self.breaker.state is State.HALF_OPEN)


TestMachine = Machine.TestCase
