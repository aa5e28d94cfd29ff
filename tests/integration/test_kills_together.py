"""Kill agent and server together, fifty times: each window is decided once, under its epoch."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.support.kills import kill_both
from tests.support.wal_streams import memory_folder

KILLS: Final = 25
SEEDS: Final = (1, 2)


@pytest.fixture
def memory() -> Iterator[Path]:
    """Give a folder in memory where there is one: a kill loses nothing that was written."""
    path = Path(tempfile.mkdtemp(prefix="kills-", dir=memory_folder()))
    yield path
    shutil.rmtree(path)


@pytest.mark.starts_first
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_agent_and_server_killed_together_lose_nothing_and_repeat_no_epoch(
    memory: Path, seed: int, tell: Callable[[str, str], None]
) -> None:
    def say(line: str) -> None:
        tell("kills of both", line)

    asyncio.run(kill_both(memory, kills=KILLS, seed=seed, say=say))
