"""A server whose clock jumps, forwards and backwards: no outcome depends on it."""

import time
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from tests.support.load import Load, check, conflict_of, record_of
from tests.support.server_process import Folder, ServerProcess

from fractal_lba.server.app import Server

HOUR_S: Final = 3_600
DAY_S: Final = 24 * HOUR_S
JUMPS: Final = (0, HOUR_S, -2 * HOUR_S, 3 * DAY_S, -40 * DAY_S, 1)
FLAGS: Final = ("--segment-age-s", "0.5", "--inbox-trim-s", "0.05", "--index-flush-records", "2")
"""So that everything that looks at the clock does so meanwhile."""


def skew(offset: Path) -> None:
    """Have a process that is going to be a server add to its clock what stands in a file."""
    assert Server.__init__.__kwdefaults__ is not None
    patch = pytest.MonkeyPatch()  # for as long as the process lives
    patch.setitem(
        Server.__init__.__kwdefaults__,
        "clock",
        lambda: time.time_ns() + int(offset.read_text()) * 1_000_000_000,
    )


def jump_to(offset: Path, seconds: int) -> None:
    """Let the clock jump; a server that looks meanwhile finds the old offset or the new one."""
    new = offset.with_suffix(".new")
    new.write_text(str(seconds))
    new.replace(offset)


def test_outcomes_stay_what_they_were_whichever_way_the_clock_jumps(folder: Folder) -> None:
    offset = folder.path / "offset"
    jump_to(offset, 0)
    load = Load()
    epoch = 0
    for is_killed in (False, True):
        with ServerProcess(folder, *FLAGS, plant=partial(skew, offset)) as server:
            for jump in JUMPS:
                jump_to(offset, jump)
                epoch += 1
                load.settle("new", epoch, server.submit(record_of(epoch)))
                load.settle("conflict", epoch, server.submit(conflict_of(epoch)))
                # Each has its first answer, and the time it was received then.
                check(server, load, load.acknowledged)
            if is_killed:
                server.kill()
            else:
                assert server.stop() == 0
    jump_to(offset, -DAY_S)
    with ServerProcess(folder, *FLAGS, plant=partial(skew, offset)) as server:
        check(server, load, load.acknowledged)
        assert server.stop() == 0
    assert not load.wrong, load.wrong
    times = [acknowledged.received_at for acknowledged in load.acknowledged.values()]
    assert times != sorted(times)
    code, report = folder.fsck()
    assert (code, report["records"], report["conflicts"]) == (0, epoch, epoch), report
