"""Kill agent and server together, fifty times: each window is decided once, under its epoch."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from tests.support import kill_bugs
from tests.support.kills import Bugs, kill_both

KILLS: Final = 25
SEEDS: Final = (1, 2)
KILLS_OF_A_BUG: Final = 4
FOUND: Final = r"^(?!\d+ kills)"
"""Anything but that too few kills counted: what a bug spoils depends on where it was killed."""


@pytest.mark.starts_first
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_agent_and_server_killed_together_lose_nothing_and_repeat_no_epoch(
    ram_path: Path, seed: int, tell: Callable[[str, str], None]
) -> None:
    def say(line: str) -> None:
        tell("kills of both", line)

    asyncio.run(kill_both(ram_path, kills=KILLS, seed=seed, say=say))


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "bugs",
    [Bugs(server=kill_bugs.keep_writes), Bugs(agent=kill_bugs.note_answers_early)],
    ids=["a server that keeps writes to itself", "an agent that notes answers early"],
)
def test_a_planted_bug_is_found_by_a_few_kills(ram_path: Path, bugs: Bugs) -> None:
    killing = kill_both(
        ram_path, kills=KILLS_OF_A_BUG, seed=1, say=lambda _: None, bugs=bugs, look_each=1
    )
    with pytest.raises(AssertionError, match=FOUND):
        asyncio.run(killing)
