"""Dead letters that are put back count as the windows they were."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.agent_world import MemoryServer, csv_stream, plan, run, world
from tests.support.virtual_time import run_virtual

from fractal_lba.agent.deadletters import FILE
from fractal_lba.agent.letters import Choice, send_again
from fractal_lba.agent.measures import Meter
from fractal_lba.agent.opening import FOLDER
from fractal_lba.agent.run import run_agent
from fractal_lba.agent.status import read_status
from fractal_lba.agent.stop import Stop
from fractal_lba.agent.tally import Exit, Tally
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


def test_a_damaged_letter_with_sound_ones_behind_it_is_said_and_measured_and_ends_no_run(
    data: Path,
) -> None:
    path = data / FILE
    first, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first.replace(b'"status":', b'"stat\x00s":') + b"".join(others))
    said: list[str] = []
    tally = Tally(say=said.append)
    meter = Meter()
    measured: dict[str, float] = {}

    async def main() -> None:
        await run_agent(plan(data), replace(world(MemoryServer()), meter=meter), Stop(), tally)
        measured.update({sample.name: sample.value for sample in meter.samples()})

    run_virtual(main())
    assert tally.exit is Exit.DONE
    (line,) = [each for each in said if FILE in each]
    assert line.startswith(f"{path}: 1 lines among the letters cannot be read: kept")
    assert "dead-letters drop --damaged" in line
    assert measured["flk_agent_dead_letters"] == 4
    assert measured["flk_agent_dead_letters_unreadable"] == 1
    status = read_status(RealDisk(), data, has_ids=False)
    assert (status.unreadable_letters, status.is_damaged) == (1, True)
