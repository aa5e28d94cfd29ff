"""A process that ends at any call, and the power with it, and the next one at calls of its own."""

from collections.abc import Callable
from typing import Final

import pytest
from tests.support.every_call import calls_of_two_lives, end_at, every_pair
from tests.support.power import KINDS

STEPS: Final = {"stream": 59, "outbox": 173, "files": 31, "agent": 83, "server": 137}
"""Every so-manieth call of the second life; the nightly run takes all of them."""


@pytest.mark.parametrize("name", ["stream", "files"])
def test_a_process_that_ends_at_any_call_with_a_power_cut_loses_nothing(
    name: str, tell: Callable[[str, str], None]
) -> None:
    total, _ = calls_of_two_lives(KINDS[name])
    for call in range(1, total + 1):
        end_at(KINDS[name], call)
    tell("faults", f"{name}: calls that a life ended at, with a power cut: {total} of {total}")


@pytest.mark.parametrize("name", KINDS)
def test_two_processes_that_end_at_any_calls_lose_nothing(
    name: str, tell: Callable[[str, str], None]
) -> None:
    total, _ = calls_of_two_lives(KINDS[name])
    count = every_pair(KINDS[name], step=STEPS[name])
    tell("faults", f"{name}: each of {total} calls, and in the next life others: {count} pairs")
