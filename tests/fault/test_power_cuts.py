"""Hundreds of seeds of processes whose power is cut: nothing acknowledged is lost, ever."""

from collections.abc import Callable
from typing import Final

import pytest
from tests.support.power import KINDS, run_seeds, summary
from tests.support.power_cut import KINDS as FAULTS

SEEDS: Final = {
    "stream": range(500),
    "outbox": range(100),
    "agent": range(150),
    "server": range(90),
    "files": range(200),
}
"""A seed of the agent takes four times one of a stream, one of the server six times."""
MET: Final = {"EIO", "ENOSPC", "EDQUOT", "power cut", "write lost", "new name forgotten"}
"""What every kind has to meet; the one with the most seeds meets all there is."""


@pytest.mark.parametrize("name", KINDS)
def test_no_cut_loses_what_was_acknowledged_or_needs_a_person(
    name: str, tell: Callable[[str, str], None]
) -> None:
    happened = run_seeds(KINDS[name], SEEDS[name])
    tell("power", summary(KINDS[name], SEEDS[name], happened))
    for fault in MET | set(FAULTS) if name == "stream" else MET:
        assert happened[fault], f"{fault} never came to anything"
    assert happened["compaction"] >= (len(SEEDS[name]) if name == "outbox" else 0)
