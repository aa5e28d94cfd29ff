"""Rows one by one: into windows by count and by time, from iterators and queues."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
from tests.support.agent_inside import agent_of
from tests.support.agent_world import DirectLanes, MemoryServer, states
from tests.support.virtual_time import run_virtual
from typing_extensions import override

from fractal_lba.agent import Observed
from fractal_lba.agent.bounds import OutboxBounds, OutboxFullError, WhenFull
from fractal_lba.agent.ports import Lane
from fractal_lba.protocol import ContractError

REFUSING = OutboxBounds(records_max=1, when_full=WhenFull.REFUSE)


class SlowLanes(DirectLanes):
    """Summarising takes ten seconds."""

    @override
    async def turn(self, _lane: Lane) -> None:
        await asyncio.sleep(10.0 if _lane is Lane.COMPUTE else 0.0)


def sizes(server: MemoryServer) -> list[tuple[int, int]]:
    return sorted((record["epoch"], record["n"]) for record in server.sent)


def test_a_row_that_completes_a_window_returns_it_on_disk(tmp_path: Path) -> None:
    async def main() -> list[Observed | None]:
        async with agent_of(tmp_path, MemoryServer()) as agent, agent.stream(window=4) as rows:
            found = [await rows.add([at, at]) for at in range(9)]
            assert len(states(tmp_path)) == 1
            return found

    found = run_virtual(main())
    assert [each.epoch if each else None for each in found] == [None] * 6 + [0] + [None] * 2
    assert len(states(tmp_path)) == 2  # the rest, when it was closed


def test_fewer_than_three_rows_at_the_end_are_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with agent_of(tmp_path, MemoryServer()) as agent:
            rows = agent.stream("few")
            await rows.add([1.0])
            await rows.add([2.0])
            with pytest.raises(
                ContractError, match=r"stream few: expected 3 rows or more .* got 2"
            ):
                await rows.close()

    run_virtual(main())


def test_a_row_unlike_the_others_is_refused_and_not_taken(tmp_path: Path) -> None:
    server = MemoryServer()

    async def main() -> None:
        async with agent_of(tmp_path, server) as agent, agent.stream() as rows:
            await rows.add([1, 2])
            with pytest.raises(ContractError, match="row 2: expected 2 values, got 1"):
                await rows.add([1])
            with pytest.raises(ContractError, match="row 2, column 1: expected a finite number"):
                await rows.add([1, float("nan")])
            await rows.add([3, 4])
            await rows.add([5, 6])
        with pytest.raises(ContractError, match="window: expected 3 … 65536, got 2"):
            agent.stream(window=2)
        with pytest.raises(ContractError, match="seconds, got 0"):
            agent.stream(period_s=0)

    run_virtual(main())
    assert sizes(server) == [(0, 3)]


@pytest.mark.parametrize(
    "row", [["x", 1.0], [None, 1.0], [10**400, 1.0], 1.0, [], [0.0] * 4097], ids=range(6)
)
def test_what_is_no_row_is_refused_and_not_taken(tmp_path: Path, row: Sequence[float]) -> None:
    server = MemoryServer()

    async def main() -> None:
        async with agent_of(tmp_path, server) as agent, agent.stream() as rows:
            with pytest.raises(
                ContractError, match=r"stream s: row 1: expected (1 … 4096|numbers)"
            ):
                await rows.add(row)
            for at in range(3):
                await rows.add([at, at])

    run_virtual(main())
    assert sizes(server) == [(0, 3)]


def test_windows_of_time_end_without_another_row(tmp_path: Path) -> None:
    server = MemoryServer()

    async def main() -> None:
        async with (
            agent_of(tmp_path, server) as agent,
            agent.stream(period_s=10.0) as rows,
        ):
            for at_s in (1.0, 2.0, 3.0, 14.0, 15.0):
                await asyncio.sleep(at_s - asyncio.get_running_loop().time())
                assert len(server.sent) == (at_s > 10.0)
                await rows.add([at_s])
            await asyncio.sleep(20.0)
            await rows.add([35.0])  # 2 were too few for a window of their own
            await asyncio.sleep(10.0)
            assert len(server.sent) == 2

    run_virtual(main())
    assert sizes(server) == [(0, 3), (1, 3)]


def test_many_tasks_may_add_to_one_stream(tmp_path: Path) -> None:
    server = MemoryServer()

    async def main() -> None:
        async with agent_of(tmp_path, server) as agent, agent.stream(window=5) as rows:
            await asyncio.gather(*(rows.add([at]) for at in range(23)))

    run_virtual(main())
    assert sizes(server) == [(0, 5), (1, 5), (2, 5), (3, 5), (4, 3)]


def test_an_async_iterator_and_a_queue_are_watched_to_their_ends(tmp_path: Path) -> None:
    server = MemoryServer()

    async def numbers() -> AsyncIterator[list[float]]:
        for at in range(7):
            await asyncio.sleep(1.0)
            yield [at]

    async def main() -> None:
        queue: asyncio.Queue[Sequence[float] | None] = asyncio.Queue()
        for at in range(4):
            queue.put_nowait([at, at])
        queue.put_nowait(None)
        async with agent_of(tmp_path, server) as agent:
            await agent.watch(numbers(), "iterator", window=4)
            await agent.watch(queue, "queue")

    run_virtual(main())
    assert sizes(server) == [(0, 4), (0, 4), (1, 3)]


def test_what_a_cancelled_watch_took_is_kept(tmp_path: Path) -> None:
    server = MemoryServer()

    async def main() -> None:
        queue: asyncio.Queue[Sequence[float] | None] = asyncio.Queue()
        for at in range(5):
            queue.put_nowait([at])
        async with agent_of(tmp_path, server) as agent:
            watching = asyncio.create_task(agent.watch(queue))
            await asyncio.sleep(1.0)
            watching.cancel()
            with pytest.raises(asyncio.CancelledError):
                await watching

    run_virtual(main())
    assert sizes(server) == [(0, 5)]


def test_closing_in_the_middle_of_a_window_of_time_keeps_it(tmp_path: Path) -> None:
    server = MemoryServer()

    async def main() -> None:
        async with agent_of(tmp_path, server, lanes=SlowLanes(), grace_s=60.0) as agent:
            rows = agent.stream(period_s=10.0)
            await rows.__aenter__()
            for at in range(5):
                await rows.add([at])
            await asyncio.sleep(15.0)  # the timer is keeping the window
            await rows.close()

    run_virtual(main())
    assert sizes(server) == [(0, 5)]


def test_a_watch_cancelled_in_the_middle_of_a_window_keeps_every_row_once(tmp_path: Path) -> None:
    server = MemoryServer()

    async def main() -> None:
        queue: asyncio.Queue[Sequence[float] | None] = asyncio.Queue()
        for at in range(9):
            queue.put_nowait([at])
        async with agent_of(tmp_path, server, lanes=SlowLanes(), grace_s=60.0) as agent:
            watching = asyncio.create_task(agent.watch(queue, window=4))
            await asyncio.sleep(5.0)
            assert queue.qsize() == 2  # the seventh row waits for the window of the first four
            watching.cancel()
            with pytest.raises(asyncio.CancelledError):
                await watching

    run_virtual(main())
    assert sizes(server) == [(0, 4), (1, 3)]


def test_a_watch_cancelled_before_its_row_was_taken_keeps_the_row(tmp_path: Path) -> None:
    server = MemoryServer()

    async def main() -> None:
        queue: asyncio.Queue[Sequence[float] | None] = asyncio.Queue()
        async with (
            agent_of(tmp_path, server, lanes=SlowLanes(), grace_s=60.0) as agent,
            agent.stream(window=4) as rows,
        ):
            adding = asyncio.gather(*(rows.add([at]) for at in range(7)))
            watching = asyncio.create_task(rows.watch(queue))
            await asyncio.sleep(5.0)
            queue.put_nowait([7.0])
            await asyncio.sleep(1.0)
            assert queue.empty()  # its row waits for the turn
            watching.cancel()
            await adding

    run_virtual(main())
    assert sizes(server) == [(0, 4), (1, 4)]


def test_a_row_refused_by_a_full_outbox_was_not_taken_and_loses_none(tmp_path: Path) -> None:
    server = MemoryServer()
    server.is_down = True

    async def main() -> None:
        async with (
            agent_of(tmp_path, server, bounds=REFUSING, grace_s=60.0) as agent,
            agent.stream(window=4) as rows,
        ):
            for at in range(10):
                await rows.add([at])
            for _ in range(2):
                with pytest.raises(OutboxFullError):
                    await rows.add([10])
            server.come_up()
            await agent.flush(600.0)
            await rows.add([10])
            await agent.flush(600.0)

    run_virtual(main())
    assert sorted({(record["epoch"], record["n"]) for record in server.sent}) == [
        (0, 4),
        (1, 4),
        (2, 3),
    ]


def test_a_window_of_time_refused_by_a_full_outbox_waits_and_is_told(tmp_path: Path) -> None:
    server = MemoryServer()
    server.is_down = True

    async def main() -> None:
        async with agent_of(tmp_path, server, bounds=REFUSING, grace_s=60.0) as agent:
            rows = agent.stream(period_s=10.0)
            await rows.__aenter__()
            await agent.observe([[1.0], [2.0], [4.0]])
            for at in range(5):
                await rows.add([at])
            await asyncio.sleep(15.0)
            with pytest.raises(OutboxFullError):
                await rows.add([5])
            with pytest.raises(OutboxFullError):
                await rows.close()
            server.come_up()
            await agent.flush(600.0)
            await rows.close()

    run_virtual(main())
    assert sizes(server)[-1] == (1, 5)


def test_an_iterator_may_block_without_stopping_the_loop(tmp_path: Path) -> None:
    server = MemoryServer()

    def numbers() -> Iterator[list[float]]:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()  # another thread
        yield from ([float(at)] for at in range(8))

    async def main() -> None:
        async with agent_of(tmp_path, server) as agent:
            await agent.watch(numbers(), window=5)

    asyncio.run(main())
    assert sizes(server) == [(0, 5), (1, 3)]


def test_a_cancelled_watch_of_an_iterator_keeps_what_was_read_and_reads_no_more(
    tmp_path: Path,
) -> None:
    server = MemoryServer()
    go_on = threading.Event()
    asked: list[int] = []

    async def main() -> None:
        loop, is_blocked = asyncio.get_running_loop(), asyncio.Event()

        def numbers() -> Iterator[list[float]]:
            for at in range(1000):
                asked.append(at)
                if at == 190:
                    loop.call_soon_threadsafe(is_blocked.set)
                    go_on.wait(60.0)
                yield [float(at)]

        async with agent_of(tmp_path, server) as agent:
            watching = asyncio.create_task(agent.watch(numbers()))
            await is_blocked.wait()
            watching.cancel()
            with pytest.raises(asyncio.CancelledError):
                await watching
            go_on.set()

    asyncio.run(main())
    for thread in threading.enumerate():
        if thread.name == "fractal-agent-rows":
            thread.join(60.0)
    assert sizes(server) == [(0, 190)]
    assert len(asked) == 191


def test_windows_of_time_end_while_an_iterator_blocks(tmp_path: Path) -> None:
    came = threading.Event()
    server = MemoryServer(before=lambda _body: came.set())
    found: list[bool] = []

    def numbers() -> Iterator[list[float]]:
        yield from ([float(at)] for at in range(5))
        found.append(came.wait(30.0))

    async def main() -> None:
        async with agent_of(tmp_path, server) as agent:
            with contextlib.suppress(ContractError):  # the period ended among them: 2 were left
                await agent.watch(numbers(), period_s=0.2)

    asyncio.run(main())
    assert found == [True]


def test_what_an_iterator_raises_comes_behind_its_rows(tmp_path: Path) -> None:
    server = MemoryServer()

    def numbers() -> Iterator[list[float]]:
        yield from ([float(at)] for at in range(20))
        raise LookupError("gone")

    async def main() -> None:
        async with agent_of(tmp_path, server) as agent:
            with pytest.raises(LookupError, match="gone"):
                await agent.watch(numbers(), window=5)

    asyncio.run(main())
    assert sizes(server) == [(0, 5), (1, 5), (2, 5), (3, 5)]
