"""Work for callers nobody knows keeps to its share of a core."""

import pytest

from fractal_lba.server.pipeline.pace import Pace


class Thread:
    """A thread's two clocks, which only working and resting move."""

    def __init__(self) -> None:
        self.worked = 0.0
        self.passed = 0.0
        self.rests: list[float] = []

    def work(self, seconds: float, *, waiting: float = 0) -> None:
        self.worked += seconds
        self.passed += seconds + waiting

    def rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.passed += seconds

    def pace(self, share: float) -> Pace:
        return Pace(share, cpu=lambda: self.worked, now=lambda: self.passed, rest=self.rest)


def test_what_a_piece_took_is_rested_for_before_the_next() -> None:
    thread = Thread()
    pace = thread.pace(0.25)
    pace.begin()
    pace.run(lambda: thread.work(1))
    assert thread.rests == []  # its own result is not kept back
    pace.run(lambda: thread.work(2))
    pace.run(lambda: None)
    assert thread.rests == [3, 6]
    assert thread.worked / thread.passed == 0.25


def test_time_that_passed_without_work_was_rest() -> None:
    thread = Thread()
    pace = thread.pace(0.5)
    pace.begin()
    pace.run(lambda: thread.work(1, waiting=5))  # on a busy machine: the processor was another's
    thread.passed += 0.75
    pace.run(lambda: None)
    assert thread.rests == [0.25]
    pace.run(lambda: None)
    assert thread.rests == [0.25]


def test_a_piece_that_fails_is_rested_for_too() -> None:
    def fail() -> None:
        thread.work(1)
        raise ValueError

    thread = Thread()
    pace = thread.pace(0.5)
    pace.begin()
    with pytest.raises(ValueError, match=r"^$"):
        pace.run(fail)
    pace.run(lambda: None)
    assert thread.rests == [1]


def test_before_the_pace_begins_nothing_rests() -> None:
    thread = Thread()
    pace = thread.pace(0.25)
    pace.run(lambda: thread.work(1))
    pace.begin()
    pace.run(lambda: None)
    assert thread.rests == []
