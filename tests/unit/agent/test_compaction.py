"""When old segments are given up, and what that costs those who append meanwhile."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest
from tests.support.agent_world import DirectLanes
from tests.support.failing_disk import FailingDisk
from tests.support.outboxes import (
    SMALL_SEGMENT_BYTES,
    accept,
    contents_of,
    make_small,
    observe,
    opened,
)
from tests.support.virtual_time import run_virtual
from typing_extensions import override

from fractal_lba.agent.opening import FOLDER
from fractal_lba.agent.outbox import Outbox
from fractal_lba.agent.ports import Lane
from fractal_lba.wal import RealDisk

P = ParamSpec("P")
T = TypeVar("T")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)


def on_disk(data: Path) -> int:
    return sum(path.stat().st_size for path in (data / FOLDER).glob("*.seg*"))


def test_the_disk_is_bounded_by_what_waits_though_an_old_window_waits_for_ever(
    tmp_path: Path,
) -> None:
    async def main() -> list[int]:
        most = 0
        async with opened(tmp_path, disk=FailingDisk(RealDisk())) as outbox:
            tending = asyncio.create_task(outbox.tend())
            oldest = await observe(outbox, "stuck")
            for _ in range(60):
                seqs = [await observe(outbox) for _ in range(10)]
                for seq in seqs:
                    await accept(outbox, seq)
                await asyncio.sleep(1.0)  # tending has had its turn
                most = max(most, on_disk(tmp_path))
            assert (await outbox.read(oldest)).shard_id == "stuck"
            tending.cancel()
            return [most, outbox.contents.compactions, *outbox.contents.pending]

    most, compactions, *pending = run_virtual(main())
    assert pending == [1]
    assert most < 4 * SMALL_SEGMENT_BYTES  # of 70 that were written
    assert compactions > 10
    assert contents_of(tmp_path).next_epoch("stuck", is_live=False) == 1


def test_producers_go_on_while_a_compaction_copies(tmp_path: Path) -> None:
    class Slow(DirectLanes):
        @override
        async def turn(self, lane: Lane) -> None:
            await asyncio.sleep(1.0 if lane is Lane.OUTBOX else 0.0)

    async def main() -> float:
        async with opened(tmp_path, disk=FailingDisk(RealDisk())) as outbox:
            await asyncio.gather(*(observe(outbox) for _ in range(8)))
            await fill(outbox)
        loop = asyncio.get_running_loop()
        async with opened(tmp_path, disk=FailingDisk(RealDisk()), lanes=Slow()) as outbox:
            compacting = asyncio.create_task(outbox.compact())
            longest = 0.0
            while not compacting.done():
                begun_s = loop.time()
                await observe(outbox)
                longest = max(longest, loop.time() - begun_s)
            await compacting
            return longest

    # The piece that is on its way, a batch of its own, and a retention between them.
    assert run_virtual(main()) <= 4.0


async def fill(outbox: Outbox) -> None:
    """Leave two segments behind in which nothing waits."""
    for _ in range(30):
        await accept(outbox, await observe(outbox))


def test_a_window_is_read_though_a_compaction_moves_it_meanwhile(tmp_path: Path) -> None:
    class SlowReader(DirectLanes):
        is_slow = False

        @override
        async def run(
            self, lane: Lane, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
        ) -> T:
            if lane is Lane.READ and self.is_slow:
                self.is_slow = False
                await asyncio.sleep(100.0)
            return await super().run(lane, work, *args, **kwargs)

    async def main() -> None:
        lanes = SlowReader()
        async with opened(tmp_path, disk=FailingDisk(RealDisk()), lanes=lanes) as outbox:
            seq = await observe(outbox, "moved")
            await fill(outbox)
            lanes.is_slow = True
            reading = asyncio.create_task(outbox.read(seq))
            await asyncio.sleep(1.0)
            before = outbox.contents.pending[seq].position
            await outbox.compact()
            assert outbox.contents.pending[seq].position != before
            assert not reading.done()
            assert (await reading).shard_id == "moved"

    run_virtual(main())


@pytest.mark.parametrize("lane", [Lane.READ, Lane.OUTBOX])
def test_what_is_answered_while_it_is_copied_stays_answered(tmp_path: Path, lane: Lane) -> None:
    class Slow(DirectLanes):
        is_slow = False

        @override
        async def turn(self, lane_: Lane) -> None:
            await asyncio.sleep(1.0 if self.is_slow and lane_ is lane else 0.0)

    async def main() -> None:
        lanes = Slow()
        async with opened(tmp_path, disk=FailingDisk(RealDisk()), lanes=lanes) as outbox:
            seq = await observe(outbox, "copied")
            await fill(outbox)
            lanes.is_slow = True
            compacting = asyncio.create_task(outbox.compact())
            await asyncio.sleep(0.5)  # it is being read, or written
            await accept(outbox, seq)
            await observe(outbox)  # takes the acknowledgement with it
            await compacting
            assert outbox.contents.compactions == 1
            assert seq not in outbox.contents.pending

    run_virtual(main())
    contents = contents_of(tmp_path)
    assert len(contents.pending) == 1
    assert sum(contents.fates.values()) == 31


def test_a_stream_that_never_goes_on_keeps_its_epoch(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, disk=FailingDisk(RealDisk())) as outbox:
            for shard in ("one", "two", "three"):
                await accept(outbox, await observe(outbox, shard))
            for _ in range(3):
                await fill(outbox)
                while outbox.is_compaction_due:
                    await outbox.compact()
            assert outbox.contents.compactions >= 3

    run_virtual(main())
    contents = contents_of(tmp_path)
    assert [contents.next_epoch(each, is_live=False) for each in ("one", "two", "three")] == [1] * 3
    assert all(contents.position("x", each) for each in ("one", "two", "three"))


def test_an_outbox_in_which_everything_waits_is_left_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, disk=FailingDisk(RealDisk())) as outbox:
            for _ in range(60):
                await observe(outbox)
            assert not outbox.is_compaction_due

    run_virtual(main())


def test_a_damaged_window_that_waits_ends_compaction_and_stays_where_it_is(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path, disk=FailingDisk(RealDisk())) as outbox:
            await observe(outbox, "damaged")
            await fill(outbox)
            (first, *_) = sorted((tmp_path / FOLDER).glob("*.seg"))
            data = bytearray(first.read_bytes())
            data[data.index(b'"shard_id":"damaged","sig"')] ^= 1
            first.write_bytes(data)
            due = [outbox.is_compaction_due]
            await outbox.compact()
            assert [*due, outbox.is_compaction_due] == [True, False]
            assert first.exists()
            assert not outbox.is_fenced

    run_virtual(main())
    assert contents_of(tmp_path).lost == 1
