"""The processes of a simulated world: they end anywhere, and nothing of them runs after."""

import asyncio
import random
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.support.failing_disk import Crash
from tests.support.memory_disk import MemoryDisk
from tests.support.sim_process import Process, run_processes
from tests.support.sim_watch import ProcessDisk


def run(main: Coroutine[Any, Any, None]) -> None:
    run_processes(main, random.Random(1))  # noqa: S311 - to be replayed


def test_a_process_that_ended_awaits_nothing_more_on_its_way_out() -> None:
    done: list[str] = []

    async def child() -> None:
        try:
            await asyncio.sleep(10.0)
        finally:
            done.append("left")
            await asyncio.sleep(0.0)
            done.append("awaited")

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(child())
            group.create_task(child())

    async def world() -> None:
        ended: list[str] = []
        process = Process("p", on_end=lambda _, why: ended.append(why))
        process.start(main())
        await asyncio.sleep(1.0)
        process.end("killed")
        process.end("again")
        await asyncio.sleep(20.0)
        assert ended == ["killed"]

    run(world())
    assert done == ["left", "left"]


@pytest.mark.parametrize("turn", [1, 2, 3, 4])
def test_a_process_does_not_live_to_see_the_turn_it_ends_at(turn: int) -> None:
    done: list[int] = []

    async def main() -> None:
        for number in range(1, 9):
            done.append(number)
            await asyncio.sleep(0.1)

    async def world() -> None:
        ended: list[str] = []
        Process("p", on_end=lambda _, why: ended.append(why), ends_at_step=turn).start(main())
        await asyncio.sleep(5.0)
        assert ended == ["at an await"]

    run(world())
    assert done == list(range(1, turn))


def test_the_disk_of_a_process_that_ended_does_nothing() -> None:
    memory = MemoryDisk(Path("/m"), random.Random(1))  # noqa: S311 - to be replayed

    async def world() -> None:
        disk = ProcessDisk(memory, (), lambda: 1)
        process = disk.process = Process("p", on_end=lambda *_: None)
        file = disk.create(Path("/m/f"))
        process.end("killed")
        with pytest.raises(Crash):
            file.write_at(0, b"late")
        with pytest.raises(Crash):
            disk.unlink(Path("/m/f"))

    run(world())
    assert memory.files(Path("/m")) == {"f": b""}


def test_work_for_a_thread_is_in_order_and_lost_with_its_process() -> None:
    done: list[int] = []
    thread = ThreadPoolExecutor(1)

    async def world() -> None:
        loop = asyncio.get_running_loop()
        process = Process("p", on_end=lambda *_: None)

        async def work() -> None:
            await asyncio.gather(
                *(loop.run_in_executor(thread, done.append, number) for number in range(5))
            )

        await process.start(work())
        assert done == [0, 1, 2, 3, 4]
        process.start(work())
        await asyncio.sleep(0.0)
        process.end("killed")
        await asyncio.sleep(1.0)

    run(world())
    assert done == [0, 1, 2, 3, 4]
