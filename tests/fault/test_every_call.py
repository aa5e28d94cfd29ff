"""A process that ends at any call, and the power with it, and the next one at calls of its own."""

from collections.abc import Callable
from typing import Final

import pytest
from tests.support.every_call import calls_of_two_lives, end_at, every_pair
from tests.support.power import KINDS

STEPS: Final = {"stream": (1, 29), "files": (1, 31), "agent": (1, 83), "server": (3, 137)}
"""Every so-manieth call of each life; the nightly run takes all of them."""


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
    first_step, step = STEPS[name]
    total, _ = calls_of_two_lives(KINDS[name])
    count = every_pair(KINDS[name], first_step=first_step, step=step)
    which = f"each of {total} calls" if first_step == 1 else f"each {first_step}rd of {total} calls"
    tell("faults", f"{name}: {which}, and in the next life others: {count} pairs")
