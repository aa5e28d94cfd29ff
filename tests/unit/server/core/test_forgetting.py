"""How long a record is kept, how fast forgetting may go, and what marks say together."""

from hypothesis import given
from hypothesis import strategies as st

from fractal_lba.server.core.forgetting import (
    CATCH_UP,
    LATE_MS,
    NOTHING_YET,
    Due,
    Forgotten,
    Kept,
    Mark,
    as_of,
    is_forgotten,
    kept,
    with_mark,
)

DAY_MS = 86_400_000
NOW_MS = 1_793_534_400_000


def test_a_record_is_kept_from_the_later_of_its_making_and_its_receipt() -> None:
    for created_ms, received_ms, from_ms in (
        (NOW_MS - DAY_MS, NOW_MS, NOW_MS),
        (NOW_MS + DAY_MS, NOW_MS, NOW_MS + DAY_MS),
    ):
        found = kept(created_ms=created_ms, received_ns=received_ms * 1_000_000, horizon_days=30)
        assert found == Kept(from_ms, from_ms + 30 * DAY_MS)


def test_what_signs_no_time_is_kept_for_ever() -> None:
    assert kept(created_ms=None, received_ns=1, horizon_days=1) is None


def test_a_deadline_fits_where_it_is_stored_whatever_the_horizon() -> None:
    found = kept(created_ms=253_402_300_799_999, received_ns=1, horizon_days=10**15)
    assert found is not None
    assert found.until_ms < 2**63


def test_forgetting_follows_the_clock_and_never_runs_ahead_of_it() -> None:
    at_ms = NOW_MS - LATE_MS
    now_ns = NOW_MS * 1_000_000
    assert as_of(at_ms - 600_000, now_ns=now_ns, elapsed_s=600, first_due_ms=0) == at_ms
    # Set back: it goes back with it, and forgets nothing by that.
    assert as_of(at_ms + DAY_MS, now_ns=now_ns, elapsed_s=600, first_due_ms=0) == at_ms


def test_a_clock_that_jumps_ahead_is_followed_at_a_bounded_rate() -> None:
    jumped_ns = (NOW_MS + 400 * DAY_MS) * 1_000_000
    after_an_hour = as_of(NOW_MS, now_ns=jumped_ns, elapsed_s=3_600, first_due_ms=0)
    assert after_an_hour == NOW_MS + CATCH_UP * 3_600_000


def test_forgetting_begins_at_the_first_deadline_and_not_behind_it() -> None:
    assert as_of(None, now_ns=NOW_MS * 1_000_000, elapsed_s=0, first_due_ms=7) == 7
    begun = as_of(None, now_ns=NOW_MS * 1_000_000, elapsed_s=0, first_due_ms=NOW_MS)
    assert begun == NOW_MS - LATE_MS


MARKS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=8)


@given(MARKS, st.integers(1, 9), st.integers(0, 9))
def test_the_marks_that_are_held_say_what_all_of_them_said(
    places: list[tuple[int, int]], seq: int, until_ms: int
) -> None:
    every = [Mark(2 * number, *place) for number, place in enumerate(places, 1)]
    held: tuple[Mark, ...] = ()
    for mark in every:
        held = with_mark(held, mark)
    due = Due(until_ms, seq)
    for settled_seq in (None, seq, seq + 3):
        assert is_forgotten(held, due, settled_seq=settled_seq) == is_forgotten(
            every, due, settled_seq=settled_seq
        )
    assert [each.seq for each in held] == sorted(each.seq for each in held)


def test_marks_in_order_of_deadlines_are_held_as_one() -> None:
    held: tuple[Mark, ...] = ()
    for number in range(1, 100):
        held = with_mark(held, Mark(number, number, number))
    assert held == (Mark(99, 99, 99),)


def test_floors_only_rise_and_a_mark_without_records_says_nothing_else() -> None:
    forgot = NOTHING_YET.after(Forgotten(as_of_ms=5, until_ms=4, until_seq=1, count=1), 2, {"a": 3})
    forgot = forgot.after(Forgotten(as_of_ms=9), 3, {"a": 1, "b": 7})
    assert forgot.floors == {"a": 3, "b": 7}
    assert forgot.marks == (Mark(2, 4, 1),)
    assert forgot.as_of_ms == 9
