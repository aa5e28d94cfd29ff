"""A run that nobody answers ends after the time it was given; what waits is kept."""

import asyncio
from pathlib import Path

import pytest
from tests.support.agent_world import MemoryServer, csv_stream, live, plan, run, states, world
from tests.support.virtual_time import run_virtual

from fractal_lba.agent.run import run_agent
from fractal_lba.agent.stop import Stop
from fractal_lba.agent.tally import Exit, Tally


def test_a_run_that_gets_no_answer_gives_up_and_keeps_everything(tmp_path: Path) -> None:
    server = MemoryServer()
    server.is_down = True
    stream = csv_stream(tmp_path / "x.csv", 9)
    said: list[str] = []

    async def main() -> tuple[Tally, float]:
        tally = Tally(say=said.append)
        patient = plan(tmp_path / "d", stream, live=live(), interval_s=10.0, give_up_s=60.0)
        await run_agent(patient, world(server), Stop(), tally)
        return tally, asyncio.get_running_loop().time()

    tally, ended_s = run_virtual(main())
    assert ended_s == pytest.approx(60.0, abs=1.5)
    assert (tally.exit, int(tally.exit)) == (Exit.GAVE_UP, 6)
    assert "no final answer for 60 s (--give-up-after)" in said[-1]
    assert states(tmp_path / "d") == ["pending"] * tally.pending
    server.come_up()
    again = run_virtual(run(plan(tmp_path / "d", stream, give_up_s=60.0), world(server)))
    assert (again.resumed, again.exit) == (tally.pending, Exit.DONE)


def test_a_run_that_is_answered_now_and_then_does_not_give_up(tmp_path: Path) -> None:
    server = MemoryServer()
    server.latency_s = 25.0
    stream = csv_stream(tmp_path / "x.csv", 30)
    slow = plan(tmp_path / "d", stream, in_flight=1, is_ordered=True, give_up_s=60.0)
    tally = run_virtual(run(slow, world(server)))
    assert (tally.accepted, tally.exit) == (10, Exit.DONE)


def test_where_nothing_waits_nothing_is_given_up(tmp_path: Path) -> None:
    server = MemoryServer()
    few = plan(tmp_path / "d", live=live(), interval_s=50.0, duration_s=400.0, give_up_s=60.0)
    tally = run_virtual(run(few, world(server)))
    assert (tally.accepted, tally.exit) == (tally.windows, Exit.DONE)
