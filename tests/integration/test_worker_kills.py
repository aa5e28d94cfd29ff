"""Workers killed at random under load: nothing acknowledged is lost, nothing decided twice."""

import sys
from pathlib import Path

import pytest
from tests.support.worker_kills import run


@pytest.mark.parametrize("workers", [2, 3])
def test_random_workers_killed_under_load_lose_nothing_and_decide_nothing_twice(
    tmp_path: Path, workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "s", workers=workers, kills=4, seed=workers)
    with capsys.disabled():
        sys.stdout.write(capsys.readouterr().out)
