"""A full disk is like a full outbox: observing waits or is refused, and shipping frees space."""

import asyncio
from pathlib import Path

import pytest
from tests.support.agent_world import (
    DirectLanes,
    MemoryServer,
    csv_stream,
    plan,
    world,
)
from tests.support.failing_disk import FailingDisk
from tests.support.full_disks import fill_up, filled, make_small_and_spare, measure, unclosed
from tests.support.outboxes import accept, contents_of, observe, opened, windows
from tests.support.quota_disk import QuotaDisk
from tests.support.virtual_time import run_virtual
from typing_extensions import override

from fractal_lba.agent import compaction, log
from fractal_lba.agent.bounds import OutboxBounds, OutboxFullError, WhenFull
from fractal_lba.agent.ports import Lane
from fractal_lba.agent.run import run_agent
from fractal_lba.agent.stop import Stop
from fractal_lba.agent.tally import Exit, Tally


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small_and_spare(monkeypatch)


def test_observing_waits_on_a_full_disk_and_goes_on_when_answers_free_it(tmp_path: Path) -> None:
    disk = QuotaDisk(60_000)

    async def main() -> int:
        async with opened(tmp_path / "d", disk=disk) as outbox:
            tending = asyncio.create_task(outbox.tend())
            kept, waiting = await filled(outbox)
            assert measure(outbox, "disk_full") == 1
            assert not outbox.is_fenced
            assert len(kept) > 20
            more = asyncio.create_task(observe(outbox, "other"))
            await asyncio.sleep(10.0)
            assert not more.done()
            assert not any(task.done() for task in waiting)
            # What was kept can be sent meanwhile, and its answers are written.
            assert (await outbox.read(kept[0])).epoch == 0
            for seq in kept[:-2]:
                await accept(outbox, seq)
            seqs = [await task for task in waiting]
            assert seqs == sorted(seqs)
            assert min(seqs) > max(kept)
            assert await more > max(seqs)
            await asyncio.sleep(1.0)
            assert measure(outbox, "disk_full") == 0
            assert measure(outbox, "compactions_total") >= 1
            epochs = [(await outbox.read(seq)).epoch for seq in [*kept[-2:], *seqs]]
            tending.cancel()
            count = len(kept) + len(seqs)
            assert epochs == list(range(count - len(epochs), count))
            return count

    count = run_virtual(main())
    assert disk.refusals
    contents = contents_of(tmp_path / "d")
    assert contents.next_epoch("s", is_live=False) == count
    assert (contents.windows, contents.lost, contents.damage) == (count + 1, 0, [])
    assert sum(contents.fates.values()) + len(contents.pending) == count + 1


def test_a_crash_on_a_full_disk_forgets_what_found_no_room_and_nothing_else(tmp_path: Path) -> None:
    disk = QuotaDisk(60_000)
    process = FailingDisk(disk)

    async def fill() -> int:
        outbox = await unclosed(tmp_path / "d", process)
        tending = asyncio.create_task(outbox.tend())
        kept, _ = await filled(outbox)
        for seq in kept[:-2]:
            await accept(outbox, seq)
            await asyncio.sleep(0.0)
        # Compactions run while windows wait; the process ends among them.
        await asyncio.sleep(0.25)
        tending.cancel()
        return len(kept)

    kept = run_virtual(fill())
    process.abandon()
    contents = contents_of(tmp_path / "d")
    # Whichever of the waiting ones found room in time: no epoch is between them and the next.
    assert contents.windows == contents.next_epoch("s", is_live=False) >= kept
    assert (contents.lost, contents.damage) == (0, [])


def test_on_a_full_disk_an_outbox_that_refuses_takes_no_epoch(tmp_path: Path) -> None:
    bounds = OutboxBounds(when_full=WhenFull.REFUSE)

    async def main() -> None:
        async with opened(tmp_path / "d", disk=QuotaDisk(40_000), bounds=bounds) as outbox:
            tending = asyncio.create_task(outbox.tend())
            kept, waiting = await filled(outbox)
            epoch = outbox.contents.next_epoch("s", is_live=False)
            with pytest.raises(OutboxFullError, match="expected room on the disk"):
                await observe(outbox)
            with pytest.raises(OutboxFullError, match="expected room on the disk"):
                async with asyncio.timeout(1.0):
                    await outbox.append_all(windows(epoch, 1))
            assert outbox.contents.next_epoch("s", is_live=False) == epoch
            # What it took before it knew is kept as soon as there is room.
            for seq in kept:
                await accept(outbox, seq)
            await asyncio.gather(*waiting)
            await observe(outbox)
            tending.cancel()

    run_virtual(main())


def test_who_waits_for_room_on_a_disk_is_told_when_none_will_come(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "d", disk=QuotaDisk(40_000)) as outbox:
            _, waiting = await filled(outbox)
            outbox.wait_no_more()
            for task in waiting:
                with pytest.raises(OutboxFullError, match="expected room on the disk"):
                    await task

    run_virtual(main())


def test_a_run_on_a_small_disk_ships_everything_in_the_end(tmp_path: Path) -> None:
    server = MemoryServer()
    server.is_down = True
    disk = QuotaDisk(60_000)

    async def main() -> Tally:
        asyncio.get_running_loop().call_later(100.0, server.come_up)
        tally = Tally(say=lambda _text: None)
        stream = csv_stream(tmp_path / "x.csv", 3 * 200)
        await run_agent(plan(tmp_path / "d", stream), world(server, disk), Stop(), tally)
        return tally

    tally = run_virtual(main())
    assert disk.refusals
    assert (tally.exit, tally.windows, tally.accepted) == (Exit.DONE, 200, 200)
    assert sorted(server.windows()) == [("s", epoch) for epoch in range(200)]
    assert all(len(ids) == 1 for ids in server.windows().values())


def test_windows_that_are_held_keep_their_order_before_those_still_queued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "BATCH_RECORDS_MAX", 1)  # each window is a batch

    class Slow(DirectLanes):
        @override
        async def turn(self, lane: Lane) -> None:
            await asyncio.sleep(1.0 if lane is Lane.OUTBOX else 0.0)

    async def main() -> None:
        disk = QuotaDisk(1 << 20)
        async with opened(tmp_path / "d", disk=disk, lanes=Slow()) as outbox:
            await observe(outbox)
            fill_up(disk)
            tending = asyncio.create_task(outbox.tend())
            tasks = [asyncio.create_task(observe(outbox)) for _ in range(4)]
            await asyncio.sleep(2.5)  # the first ones found no room, the last ones are queued
            disk.capacity = 1 << 20
            seqs = [await task for task in tasks]
            assert seqs == sorted(seqs)
            tending.cancel()

    run_virtual(main())


@pytest.mark.parametrize("is_known", [True, False])
def test_a_stream_is_never_stated_ahead_of_a_window_that_found_no_room(
    tmp_path: Path,
    is_known: bool,  # noqa: FBT001 - of the parameters
) -> None:
    disk = QuotaDisk(1 << 20)
    process = FailingDisk(disk)

    async def main() -> None:
        outbox = await unclosed(tmp_path / "d", process)
        await accept(outbox, await observe(outbox, "once"))
        for _ in range(30):
            await accept(outbox, await observe(outbox))
        fill_up(disk)
        waiting = asyncio.create_task(observe(outbox, "once"))
        await asyncio.sleep(1.0 if is_known else 0.0)
        assert outbox.is_full == is_known
        await outbox.compact()
        assert outbox.is_full
        assert not waiting.done()
        waiting.cancel()

    run_virtual(main())
    process.abandon()
    contents = contents_of(tmp_path / "d")
    assert contents.next_epoch("once", is_live=False) == 1
    assert contents.windows == 31


def test_answers_that_find_no_room_are_written_when_there_is_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "FULL_DEAD_BYTES_MIN", 1 << 30)
    disk = QuotaDisk(1 << 20)

    async def main() -> None:
        async with opened(tmp_path / "d", disk=disk) as outbox:
            seqs = [await observe(outbox) for _ in range(80)]
            fill_up(disk)
            waiting = asyncio.create_task(observe(outbox))
            tending = asyncio.create_task(outbox.tend())
            await asyncio.sleep(1.0)
            for seq in seqs:  # more than the room that windows leave
                await accept(outbox, seq)
            await asyncio.sleep(1.0)
            assert len(contents_of(tmp_path / "d").pending) == 80
            disk.capacity = 1 << 20
            await waiting
            await asyncio.sleep(1.0)
            tending.cancel()

    run_virtual(main())
    assert len(contents_of(tmp_path / "d").pending) == 1
