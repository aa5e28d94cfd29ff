"""How figures are taken and shown: in turn, with a verdict only where there is a target."""

import pytest
from benchmarks.figures import Figure, in_turn, ratios, table


def figure(*samples: float, at_most: float | None = None, at_least: float | None = None) -> Figure:
    return Figure(name="a figure", unit="ms", samples=samples, at_most=at_most, at_least=at_least)


def test_the_verdict_is_the_medians() -> None:
    assert figure(1, 1, 2, 9, 9, at_most=2.0).verdict == "PASS"
    assert figure(1, 1, 2.1, 2.2, 2.3, at_most=2.0).verdict == "FAIL"


def test_a_target_may_be_the_least() -> None:
    assert figure(1, 2, 2, 9, 9, at_least=2.0).verdict == "PASS"
    assert figure(1, 1.9, 1.9, 9, 9, at_least=2.0).verdict == "FAIL"
    assert " | ≥ 2 ms | " in table([figure(1, 1, 3, 3, 3, at_least=2.0)])
    with pytest.raises(AssertionError, match="a figure"):
        figure(1, 1, 1, 1, 1, at_most=2.0, at_least=1.0)


def test_a_figure_without_a_target_is_shown_without_a_verdict() -> None:
    assert table([figure(1, 2, 3, 4, 1234.5)]).splitlines()[-1] == (
        "| a figure | – | 3 ms (1 … 1,234, n = 5) | – |"
    )


def test_a_failed_target_stands_in_the_table() -> None:
    line = table([figure(3, 3, 3, 3, 3, at_most=2.5)]).splitlines()[-1]
    assert line == "| a figure | ≤ 2.5 ms | 3 ms (3 … 3, n = 5) | FAIL |"


def test_fewer_than_five_samples_are_no_figure() -> None:
    with pytest.raises(AssertionError, match="a figure"):
        figure(1, 2, 3, 4)


def test_the_two_sides_are_measured_in_turn_after_a_warm_up() -> None:
    called: list[tuple[str, int]] = []

    def side(name: str, index: int) -> float:
        called.append((name, index))
        return float(len(called))

    a, b = in_turn(2, lambda index: side("a", index), lambda index: side("b", index))
    assert called == [("a", -1), ("b", -1), ("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert ratios(a, b) == (3 / 4, 5 / 6)
