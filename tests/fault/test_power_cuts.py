"""Hundreds of seeds of processes whose power is cut: nothing acknowledged is lost, ever."""

from collections.abc import Callable
from typing import Final

import pytest
from tests.support.power import KINDS, run_seeds, summary
from tests.support.power_cut import KINDS as FAULTS

SEEDS: Final = {"stream": range(500), "agent": range(150), "server": range(120)}
"""A seed of the agent takes five times one of a stream, one of the server seven times."""


@pytest.mark.parametrize("name", KINDS)
def test_no_cut_loses_what_was_acknowledged_or_needs_a_person(
    name: str, tell: Callable[[str, str], None]
) -> None:
    happened = run_seeds(KINDS[name], SEEDS[name])
    tell("power", summary(KINDS[name], SEEDS[name], happened))
    for fault in (*FAULTS, "EIO", "ENOSPC", "EDQUOT", "power cut", "process ended, power stayed"):
        assert happened[fault], f"{fault} never came to anything"
