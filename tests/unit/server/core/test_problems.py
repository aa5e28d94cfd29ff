import pytest

from fractal_lba.server.core.problems import PROBLEMS_NAMED_MAX, Kind, Report


def report_of(*places: str) -> Report:
    report = Report()
    for place in places:
        report.add(Kind.LEDGER_DAMAGED, place, "bytes do not verify")
    return report


def test_more_problems_than_are_named_are_counted() -> None:
    report = report_of(*map(str, range(PROBLEMS_NAMED_MAX + 5)))
    assert not report.is_sound
    assert report.problem_count == PROBLEMS_NAMED_MAX + 5
    assert [problem.where for problem in report.problems] == list(
        map(str, range(PROBLEMS_NAMED_MAX))
    )
    assert str(report.problems[0]) == "0: bytes do not verify"


def test_a_second_look_confirms_what_both_found() -> None:
    confirmed = report_of("a", "b").confirmed_by(report_of("b", "c"))
    assert [problem.where for problem in confirmed.problems] == ["b"]
    assert confirmed.problem_count == 1
    assert report_of("a").confirmed_by(Report()).is_sound


@pytest.mark.parametrize("more", [1, 7])
def test_a_second_look_that_found_more_than_is_named_counts_whole(more: int) -> None:
    second = report_of(*map(str, range(PROBLEMS_NAMED_MAX + more)))
    assert report_of("a").confirmed_by(second) is second
