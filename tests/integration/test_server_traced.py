"""Every file-system call of the real server fails by the kernel, under strace.

Some of them here; all of them in ``make nightly``.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from tests.support.server_process import Folder
from tests.support.traced import can_trace
from tests.support.traced_start import sweep_starts
from tests.support.traced_sweep import FAULTS, sweep

STEPS: Final = {"EIO": 12, "ENOSPC": 16, "SIGKILL": 10}
"""Every so-manieth call of a run; the nightly run takes all of them."""
STEPS_OF_A_START: Final = {"EIO": 29, "ENOSPC": 31, "SIGKILL": 23}


@pytest.fixture(autouse=True)
def strace() -> None:
    if not can_trace():
        pytest.skip("strace is missing or may not trace here")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_running_server_loses_nothing_whichever_call_of_its_logs_fails(
    tmp_path: Path, fault: str, tell: Callable[[str, str], None]
) -> None:
    folder = Folder(tmp_path / "server")
    sweep(folder, fault, step=STEPS[fault], say=lambda line: tell("faults", line))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_start_that_recovers_loses_nothing_whichever_call_fails(
    tmp_path: Path, fault: str, tell: Callable[[str, str], None]
) -> None:
    sweep_starts(
        tmp_path, fault, step=STEPS_OF_A_START[fault], say=lambda line: tell("faults", line)
    )
