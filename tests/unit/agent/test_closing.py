"""An agent that is closed while rows are on their way: each is in a window, or counted."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest
from tests.support.agent_inside import agent_of
from tests.support.agent_world import DirectLanes, MemoryServer
from tests.support.virtual_time import run_virtual
from typing_extensions import override

from fractal_lba.agent import Agent, Pending
from fractal_lba.agent.bounds import OutboxBounds
from fractal_lba.agent.feeding import Rows
from fractal_lba.agent.ports import Lane
from fractal_lba.protocol import ContractError

CLOSED = "stream s: expected an agent that is open until its rows end, got one that is closed"


class SlowLanes(DirectLanes):
    """Summarising takes ten seconds."""

    @override
    async def turn(self, _lane: Lane) -> None:
        await asyncio.sleep(10.0 if _lane is Lane.COMPUTE else 0.0)


def sizes(server: MemoryServer) -> list[tuple[int, int]]:
    return sorted((record["epoch"], record["n"]) for record in server.sent)


async def without_end(count: int) -> AsyncIterator[list[float]]:
    for at in range(count):
        yield [float(at)]
    await asyncio.Event().wait()


def queue_of(count: int) -> asyncio.Queue[Sequence[float] | None]:
    queue: asyncio.Queue[Sequence[float] | None] = asyncio.Queue()
    for at in range(count):
        queue.put_nowait([float(at)])
    return queue


@pytest.mark.parametrize("make", [without_end, queue_of])
def test_the_rows_a_watch_took_before_its_agent_was_closed_are_kept(
    tmp_path: Path, make: Callable[[int], Rows]
) -> None:
    server = MemoryServer()

    async def main() -> Pending:
        agent = agent_of(tmp_path, server)
        await agent.open()
        watching = asyncio.create_task(agent.watch(make(9), window=4))
        await asyncio.sleep(1.0)
        left = await agent.close()
        with pytest.raises(ContractError, match=CLOSED):
            await watching
        return left

    left = run_virtual(main())
    assert (left.windows, left.rows_left) == (0, 0)
    assert sizes(server) == [(0, 4), (1, 5)]


def test_the_rows_an_iterator_handed_over_before_its_agent_was_closed_are_kept(
    tmp_path: Path,
) -> None:
    server = MemoryServer()
    go_on = threading.Event()

    async def main() -> Pending:
        loop, is_blocked = asyncio.get_running_loop(), asyncio.Event()

        def numbers() -> Iterator[list[float]]:
            yield from ([float(at)] for at in range(10))
            loop.call_soon_threadsafe(is_blocked.set)
            go_on.wait(60.0)

        agent = agent_of(tmp_path, server)
        await agent.open()
        watching = asyncio.create_task(agent.watch(numbers(), window=4))
        await is_blocked.wait()
        try:
            left = await agent.close()
            with pytest.raises(ContractError, match=CLOSED):
                await watching
        finally:
            go_on.set()
        return left

    left = asyncio.run(main())
    assert (left.windows, left.rows_left) == (0, 0)
    assert sum(n for _, n in sizes(server)) == 10


def test_a_window_on_its_way_and_a_row_that_waits_for_its_turn_are_kept(tmp_path: Path) -> None:
    server = MemoryServer()

    async def main() -> Pending:
        agent = agent_of(tmp_path, server, lanes=SlowLanes(), grace_s=60.0)
        await agent.open()
        watching = asyncio.create_task(agent.watch(queue_of(7), window=4))
        await asyncio.sleep(5.0)  # the seventh waits for the window of the first four
        left = await agent.close()
        with pytest.raises(ContractError, match=CLOSED):
            await watching
        return left

    assert run_virtual(main()).rows_left == 0
    assert sizes(server) == [(0, 4), (1, 3)]


def test_a_stream_that_nobody_closed_is_kept_too_and_takes_nothing_more(tmp_path: Path) -> None:
    server = MemoryServer()

    async def main() -> Pending:
        agent = agent_of(tmp_path, server)
        await agent.open()
        rows = agent.stream()
        for at in range(5):
            await rows.add([at])
        left = await agent.close()
        with pytest.raises(ContractError, match=CLOSED):
            await rows.add([5])
        with pytest.raises(ContractError, match=CLOSED):
            await rows.watch(queue_of(1))
        with pytest.raises(ContractError, match="got one that is closed"):
            agent.stream()
        await rows.close()
        return left

    assert run_virtual(main()).rows_left == 0
    assert sizes(server) == [(0, 5)]


def test_rows_that_no_window_can_hold_are_counted_and_told(tmp_path: Path) -> None:
    server = MemoryServer()
    said: list[str] = []

    async def main() -> Pending:
        agent = agent_of(tmp_path, server, say=said.append)
        await agent.open()
        watching = asyncio.create_task(agent.watch(queue_of(2)))
        await asyncio.sleep(1.0)
        left = await agent.close()
        with pytest.raises(ContractError, match=CLOSED) as refused:
            await watching
        few = "stream s: expected 3 rows or more at its end, got 2, which were not observed"
        assert refused.value.__notes__ == [few]
        assert said == [f"2 rows of a stream are in no window: {few}"]
        return left

    assert run_virtual(main()).rows_left == 2
    assert server.sent == []


def test_rows_that_found_no_room_within_the_grace_period_are_counted(tmp_path: Path) -> None:
    server = MemoryServer()
    server.is_down = True

    async def main() -> tuple[Pending, float]:
        agent = agent_of(tmp_path, server, bounds=OutboxBounds(records_max=1), grace_s=3.0)
        await agent.open()
        await agent.observe([[1.0], [2.0], [4.0]])
        rows = agent.stream()
        for at in range(5):
            await rows.add([at])
        return await agent.close(), asyncio.get_running_loop().time()

    left, ended_s = run_virtual(main())
    assert (left.windows, left.rows_left) == (1, 5)
    assert ended_s == pytest.approx(3.0, abs=0.1)


def test_a_bad_row_that_was_read_ahead_does_not_lose_those_before_it(tmp_path: Path) -> None:
    server = MemoryServer()

    async def main() -> Pending:
        agent = agent_of(tmp_path, server, lanes=SlowLanes(), grace_s=60.0)
        await agent.open()
        rows = agent.stream(window=4)
        adding = asyncio.gather(*(rows.add([at]) for at in range(7)))
        queue = queue_of(0)
        watching = asyncio.create_task(rows.watch(queue))
        await asyncio.sleep(5.0)
        queue.put_nowait([1.0, 2.0])  # waits for its turn, and has a column too many
        await asyncio.sleep(1.0)
        left = await agent.close()
        await adding
        with pytest.raises(ContractError):
            await watching
        return left

    assert run_virtual(main()).rows_left == 1
    assert sizes(server) == [(0, 4), (1, 3)]


@pytest.mark.parametrize("count", [2, 5])
def test_what_the_body_of_a_stream_raises_comes_out(tmp_path: Path, count: int) -> None:
    server = MemoryServer()

    async def use(agent: Agent) -> None:
        async with agent.stream("few") as rows:
            for at in range(count):
                await rows.add([at])
            raise LookupError("mine")

    async def main() -> list[str]:
        async with agent_of(tmp_path, server) as agent:
            with pytest.raises(LookupError, match="mine") as raised:
                await use(agent)
            return getattr(raised.value, "__notes__", [])

    notes = run_virtual(main())
    if count < 3:
        (note,) = notes
        assert note.startswith("stream few: expected 3 rows or more at its end, got 2")
    else:
        assert (notes, sizes(server)) == ([], [(0, 5)])


def test_a_time_out_of_the_rows_themselves_is_not_taken_for_closing(tmp_path: Path) -> None:
    async def late() -> AsyncIterator[list[float]]:
        for at in range(3):
            yield [float(at)]
        raise TimeoutError("theirs")

    async def main() -> None:
        async with agent_of(tmp_path, MemoryServer()) as agent:
            with pytest.raises(TimeoutError, match="theirs"):
                await agent.watch(late())

    run_virtual(main())
