"""Dead letters that are put back count as the windows they were."""

import shutil
from pathlib import Path

import pytest
from tests.support.agent_world import MemoryServer, csv_stream, plan, run, world
from tests.support.virtual_time import run_virtual

from fractal_lba.agent.letters import Choice, send_again
from fractal_lba.agent.opening import FOLDER
from fractal_lba.agent.status import read_status
from fractal_lba.wal import RealDisk

NOW_NS = 1_767_225_700_000_000_000
FEW = Choice(statuses=frozenset({401}))
REFUSED = {1: 401, 3: 409, 4: 401, 6: 401}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder of eight windows, four of them not accepted."""
    server = MemoryServer(status=lambda record: REFUSED.get(record["epoch"], 200))
    stream = csv_stream(tmp_path / "x.csv", 24)
    run_virtual(run(plan(tmp_path / "data", stream), world(server)))
    return tmp_path / "data"


def test_a_letter_put_back_is_no_new_window_and_is_dead_no_more(data: Path) -> None:
    def counts() -> tuple[object, ...]:
        members = read_status(RealDisk(), data, has_ids=False).members()
        return tuple(members[name] for name in ("windows", "acknowledged", "dead", "pending"))

    assert counts() == (8, 4, 4, 0)
    send_again(RealDisk(), data, FEW, now_ns=NOW_NS)
    assert counts() == (8, 4, 1, 3)
    run_virtual(run(plan(data), world(MemoryServer())))
    assert counts() == (8, 7, 1, 0)


def test_a_letter_of_an_outbox_that_was_removed_counts_as_a_window(data: Path) -> None:
    shutil.rmtree(data / FOLDER)
    run_virtual(run(plan(data), world(MemoryServer())))
    send_again(RealDisk(), data, Choice(), now_ns=NOW_NS)
    status = read_status(RealDisk(), data, has_ids=False)
    assert (status.contents.windows, len(status.contents.pending)) == (4, 4)
