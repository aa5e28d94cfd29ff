"""A run that nobody answers ends after the time it was given; what waits is kept."""

import asyncio
import math
from pathlib import Path

import pytest
from tests.support.agent_inside import agent_of, points
from tests.support.agent_world import MemoryServer, csv_stream, live, plan, run, states, world
from tests.support.virtual_time import run_virtual

from fractal_lba.agent import GaveUpError
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
    assert "no final answer for 60 s (--give-up-after" in said[-1]
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


def test_an_agent_in_a_program_gives_up_and_its_successor_sends_what_it_kept(
    tmp_path: Path,
) -> None:
    server = MemoryServer()
    server.is_down = True

    async def main() -> tuple[float, int]:
        async with agent_of(tmp_path, server, give_up_s=60.0) as agent:
            await agent.observe(points(1))
            rows = agent.stream(window=3)
            for _ in range(5):
                assert await rows.add([1.0]) is None
            flushed = await agent.flush(math.inf)  # does not wait for what will not come
            ended_s = asyncio.get_running_loop().time()
            assert flushed.windows == 1
            assert (await agent.flush(math.inf)).windows == 1
            with pytest.raises(GaveUpError, match="give_up_s"):
                await agent.observe(points(2))
            with pytest.raises(GaveUpError):
                agent.stream()
            with pytest.raises(GaveUpError):
                await rows.add([2.0])
            left = await agent.close()  # what the stream had taken is kept
            assert (left.windows, left.rows_left) == (2, 0)
        server.come_up()
        async with agent_of(tmp_path, server) as later:
            assert (await later.flush(60.0)).windows == 0
        return ended_s, len(server.decided)

    ended_s, decided = run_virtual(main())
    assert ended_s == pytest.approx(60.0, abs=1.5)
    assert decided == 2
