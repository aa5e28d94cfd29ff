"""Hooks: what is told of observing, appending and sending, and what a broken one does."""

import logging
from pathlib import Path

import pytest
from tests.support.agent_inside import TellingHooks, agent_of, points
from tests.support.agent_world import MemoryServer
from tests.support.virtual_time import run_virtual

from fractal_lba.agent import Event, Observed
from fractal_lba.agent.hooks import logged


def test_observing_appending_and_sending_are_told_from_beginning_to_end(tmp_path: Path) -> None:
    told = TellingHooks()

    async def main() -> Observed:
        async with agent_of(tmp_path, MemoryServer(), hooks=told) as agent:
            return await agent.observe(points(0))

    observed = run_virtual(main())
    assert told.order == [
        "+fractal_lba.observe", "+fractal_lba.append", "-fractal_lba.append",
        "-fractal_lba.observe", "+fractal_lba.send", "-fractal_lba.send",
    ]  # fmt: skip
    assert told.found[Event.OBSERVE] == {
        "shard_id": "s",
        "source": "api:",
        "pcs_id": observed.pcs_id,
        "epoch": 0,
        "windows": 1,
        "n": 4,
        "d": 2,
    }
    assert told.found[Event.APPEND] == {
        "pcs_id": observed.pcs_id,
        "windows": 1,
        "outbox_seq": 1,
    }
    assert told.found[Event.SEND]["windows"] == 1
    assert told.found[Event.SEND]["status"] == 200


def test_what_ended_something_early_is_told_too(tmp_path: Path) -> None:
    told = TellingHooks()
    server = MemoryServer()
    server.is_down = True

    async def main() -> None:
        async with agent_of(tmp_path, server, hooks=told, grace_s=0.0) as agent:
            await agent.observe(points(0))
            await agent.flush(0.05)

    run_virtual(main())
    assert told.errors[Event.SEND] == "UnavailableError"


@pytest.mark.parametrize("broken", ["start", "end"])
def test_a_hook_that_raises_is_logged_and_nothing_else(
    tmp_path: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(TellingHooks):
        pass

    def fail(*_given: object) -> None:
        raise RuntimeError

    setattr(Broken, broken, fail)

    async def main() -> None:
        async with agent_of(tmp_path, MemoryServer(), hooks=Broken()) as agent:
            await agent.observe(points(0))
            assert (await agent.flush(60.0)).windows == 0

    with caplog.at_level(logging.WARNING, "fractal_lba.agent"):
        run_virtual(main())
    assert {record.getMessage() for record in caplog.records} == {
        f"hook {broken} of {event}: expected no exception, got RuntimeError" for event in Event
    }


def test_an_interruption_in_the_main_thread_is_the_programs() -> None:
    with pytest.raises(KeyboardInterrupt), logged("callback"):
        raise KeyboardInterrupt
