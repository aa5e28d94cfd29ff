"""A full disk met late: no room could be set aside, or none is left for a fresh segment."""

import asyncio
import errno
import os
import random
from pathlib import Path

import pytest
from tests.support.agent_world import (
    DirectLanes,
    MemoryServer,
    VirtualClock,
    csv_stream,
    plan,
    world,
)
from tests.support.failing_disk import Effect, FailingDisk
from tests.support.full_disks import fill_up, filled, make_small_and_spare, measure, unclosed
from tests.support.memory_disk import MemoryDisk
from tests.support.outboxes import accept, contents_of, observe, opened
from tests.support.quota_disk import QuotaDisk
from tests.support.virtual_time import run_virtual
from typing_extensions import override

from fractal_lba.agent.contents import Contents
from fractal_lba.agent.opening import FOLDER, STREAM
from fractal_lba.agent.outbox import Outbox
from fractal_lba.agent.run import run_agent
from fractal_lba.agent.stop import Stop
from fractal_lba.agent.tally import Exit, Tally
from fractal_lba.protocol import DurabilityError
from fractal_lba.wal import File, scan_folder


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small_and_spare(monkeypatch)


def memory_disk(data: Path, capacity: int) -> MemoryDisk:
    """A disk that says in the middle of a write that it is full: it cannot set room aside."""
    disk = MemoryDisk(data, random.Random(1))  # noqa: S311 - to be replayed
    disk.can_reserve = False
    disk.capacity = capacity
    return disk


def test_where_room_cannot_be_set_aside_windows_wait_for_it_too(tmp_path: Path) -> None:
    disk = memory_disk(tmp_path, 30_000)
    said: list[str] = []

    async def main() -> int:
        outbox = await Outbox.open(
            disk, tmp_path, clock=VirtualClock(), lanes=DirectLanes(), say=said.append
        )
        tending = asyncio.create_task(outbox.tend())
        kept, waiting = await filled(outbox)
        assert disk.happened["no room"]
        await asyncio.sleep(10.0)
        assert not any(task.done() for task in waiting)
        assert not outbox.is_fenced
        assert measure(outbox, "disk_full") == 1
        for seq in kept:
            await accept(outbox, seq)
        await asyncio.sleep(10.0)
        disk.capacity = 1 << 20
        seqs = [await task for task in waiting]
        assert seqs == sorted(seqs)
        assert min(seqs) > max(kept)
        await asyncio.sleep(1.0)
        assert measure(outbox, "disk_full") == 0
        tending.cancel()
        await outbox.close()
        return len(kept) + len(seqs)

    count = run_virtual(main())
    assert len(said) == 1
    contents = Contents.read(scan_folder(disk, tmp_path / FOLDER, STREAM))
    assert (contents.windows, contents.lost, contents.damage) == (count, 0, [])
    assert contents.next_epoch("s", is_live=False) == count


@pytest.mark.parametrize("can_reserve", [True, False])
def test_a_run_lives_through_a_disk_that_is_full_for_a_while(
    tmp_path: Path,
    can_reserve: bool,  # noqa: FBT001 - of the parameters
) -> None:
    server = MemoryServer()
    data = tmp_path / "d"
    disk = memory_disk(tmp_path, 20_000)
    disk.can_reserve = can_reserve

    async def main() -> Tally:
        def grow() -> None:
            disk.capacity = 1 << 20

        asyncio.get_running_loop().call_later(100.0, grow)
        tally = Tally(say=lambda _text: None)
        stream = csv_stream(tmp_path / "x.csv", 3 * 100)
        server.is_down = True
        asyncio.get_running_loop().call_later(50.0, server.come_up)
        await run_agent(plan(data, stream), world(server, disk), Stop(), tally)
        return tally

    tally = run_virtual(main())
    assert disk.happened["no room"]
    assert (tally.exit, tally.windows, tally.accepted) == (Exit.DONE, 100, 100)


class Stuffed(QuotaDisk):
    """A disk on which no file can be made for a while."""

    is_stuffed = False

    @override
    def create(self, path: Path) -> File:
        if self.is_stuffed:
            self.refusals += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return super().create(path)


def test_a_segment_that_cannot_be_left_for_want_of_room_is_waited_for(tmp_path: Path) -> None:
    disk = Stuffed(1 << 20)

    async def main() -> None:
        async with opened(tmp_path / "d", disk=disk) as outbox:
            tending = asyncio.create_task(outbox.tend())
            disk.is_stuffed = True
            kept, waiting = await filled(outbox)
            assert disk.refusals
            assert not outbox.is_fenced
            assert not tending.done()
            for seq in kept:
                await accept(outbox, seq)
            await asyncio.sleep(5.0)
            disk.is_stuffed = False
            seqs = [await task for task in waiting]
            assert min(seqs) > max(kept)
            await asyncio.sleep(1.0)
            tending.cancel()

    run_virtual(main())
    contents = contents_of(tmp_path / "d")
    assert (contents.lost, contents.damage) == (0, [])
    assert len(contents.pending) == contents.windows - sum(contents.fates.values())


def test_an_outbox_is_closed_on_a_full_disk_with_all_that_was_kept(tmp_path: Path) -> None:
    disk = Stuffed(1 << 20)

    async def main() -> int:
        async with opened(tmp_path / "d", disk=disk) as outbox:
            count = len([await observe(outbox) for _ in range(3)])
            disk.is_stuffed = True
        return count

    assert run_virtual(main()) == contents_of(tmp_path / "d").windows


def test_who_waits_for_room_is_told_when_the_outbox_is_fenced(tmp_path: Path) -> None:
    disk = QuotaDisk(1 << 20)
    failing = FailingDisk(disk)

    async def main() -> None:
        outbox = await unclosed(tmp_path / "d", failing)
        seq = await observe(outbox)
        fill_up(disk)
        waiting = asyncio.create_task(observe(outbox))
        await asyncio.sleep(1.0)
        assert outbox.is_full
        failing.fail_next(1, error=errno.EIO, effect=Effect.NONE)
        await accept(outbox, seq)
        with pytest.raises(DurabilityError):
            await outbox.close()
        with pytest.raises(DurabilityError, match="Input/output error"):
            await waiting

    run_virtual(main())
    failing.abandon()
