"""Windows of many callers in one batch: each is told of its own, and of nothing too early."""

import asyncio
import errno
from pathlib import Path

import pytest
from tests.support.agent_world import DirectLanes
from tests.support.failing_disk import Effect, FailingDisk
from tests.support.outboxes import accept, contents_of, make_small, observe, opened, windows
from tests.support.virtual_time import run_virtual
from typing_extensions import override

from fractal_lba.agent import log
from fractal_lba.agent.outbox import Outbox
from fractal_lba.agent.ports import Lane
from fractal_lba.protocol import DurabilityError
from fractal_lba.wal import RealDisk


class SlowDisk(DirectLanes):
    """Lanes on which everything about the outbox's file takes a second."""

    @override
    async def turn(self, lane: Lane) -> None:
        await asyncio.sleep(1.0 if lane is Lane.OUTBOX else 0.0)


async def append(outbox: Outbox, epoch: int, shard_id: str) -> list[int]:
    ((meta, record),) = windows(epoch, 1, shard_id)
    return [await outbox.append(meta, record)]


def test_each_caller_gets_the_numbers_of_its_own_windows(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "d") as outbox:
            callers = [
                append(outbox, 0, "a"),
                outbox.append_all(windows(0, 3, "b")),
                append(outbox, 1, "a"),
                outbox.append_all(windows(3, 2, "b")),
                append(outbox, 0, "c"),
            ]
            found = await asyncio.gather(*callers)
            assert found == [[1], [2, 3, 4], [5], [6, 7], [8]]
            kept = [(await outbox.read(seq)) for seqs in found for seq in seqs]
            assert [(each.shard_id, each.epoch) for each in kept] == [
                *[("a", 0), ("b", 0), ("b", 1), ("b", 2), ("a", 1)],
                *[("b", 3), ("b", 4), ("c", 0)],
            ]
            values = {sample.name: sample.value for sample in outbox.samples()}
            assert values["flk_agent_outbox_syncs_total"] == 1
            assert values["flk_agent_outbox_appends_total"] == 8
            assert outbox.arrivals() == [
                (seq, each.shard_id) for seq, each in enumerate(kept, start=1)
            ]
            assert not outbox.contents.damage

    run_virtual(main())
    contents = contents_of(tmp_path / "d")
    assert [shard_id for _, shard_id in contents.pending.streams()] == list("abbbabbc")


def test_what_is_noted_of_windows_that_came_together_is_what_is_read_from_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small(monkeypatch)

    async def main() -> None:
        async with opened(tmp_path / "d") as outbox:
            for _ in range(5):
                await asyncio.gather(*(observe(outbox, shard_id) for shard_id in "abcab"))
            for seq in (2, 3, 9):
                await accept(outbox, seq)
            await observe(outbox)
            read, noted = contents_of(tmp_path / "d"), outbox.contents
            assert [(seq, noted.pending[seq]) for seq in noted.pending] == [
                (seq, read.pending[seq]) for seq in read.pending
            ]
            assert noted.pending.size == read.pending.size
            assert noted.segments.size == read.segments.size
            assert noted.segments.dead() == read.segments.dead() > 0
            assert noted.segments.front(1 << 30) == read.segments.front(1 << 30) is not None
            assert noted.stated_before(24) == read.stated_before(24) == [("x", "c")]

    run_virtual(main())


def test_nobody_goes_on_before_the_sync_of_its_batch(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk())

    async def main() -> None:
        async with opened(tmp_path / "d", disk=disk, lanes=SlowDisk()) as outbox:
            seen: list[tuple[str, int]] = []

            async def produce(shard_id: str) -> None:
                for _ in range(3):
                    seq = await observe(outbox, shard_id)
                    on_disk = contents_of(tmp_path / "d")
                    assert seq in on_disk.pending
                    seen.append((disk.calls[-1].name, seq))

            await asyncio.gather(*(produce(f"s{number}") for number in range(5)))
            assert seen == [("datasync", seq) for seq in range(1, 16)]

    run_virtual(main())


def test_a_caller_that_goes_away_takes_nobody_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "d", lanes=SlowDisk()) as outbox:
            callers = [asyncio.create_task(append(outbox, 0, shard_id)) for shard_id in "abcd"]
            callers.append(asyncio.create_task(outbox.append_all(windows(0, 2, "e"))))
            callers.append(asyncio.create_task(append(outbox, 0, "f")))
            await asyncio.sleep(0.5)
            for number in (0, 2, 4):
                callers[number].cancel()
            found = await asyncio.gather(*callers, return_exceptions=True)
            assert [task.cancelled() for task in callers] == [True, False, True, False, True, False]
            assert [found[number] for number in (1, 3, 5)] == [[2], [4], [7]]

    run_virtual(main())
    # Its window is on disk all the same, and is sent.
    assert list(contents_of(tmp_path / "d").pending) == [1, 2, 3, 4, 5, 6, 7]


def test_a_sync_that_fails_is_told_to_every_caller_of_its_batch(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk())

    async def main() -> None:
        async with opened(tmp_path / "d", disk=disk, lanes=SlowDisk()) as outbox:
            await append(outbox, 0, "a")
            # The batch's write, then its sync.
            disk.fail_next(2, error=errno.EIO, effect=Effect.NONE)
            callers = [
                *(append(outbox, 0, shard_id) for shard_id in "bcd"),
                outbox.append_all(windows(0, 2, "e")),
            ]
            found = await asyncio.gather(*callers, return_exceptions=True)
            assert [type(each) for each in found] == [DurabilityError] * 4
            assert disk.calls[-1].name == "datasync"
            assert outbox.is_fenced
            assert list(outbox.contents.pending) == [1]
            assert outbox.arrivals() == [(1, "a")]
            assert outbox.room_for(16) == 16  # nothing is left of them in the queue

    run_virtual(main())


def test_an_answer_stands_between_the_windows_it_came_between(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "d") as outbox:
            await append(outbox, 0, "a")

            async def answer() -> list[int]:
                await accept(outbox, 1)
                return []

            callers = [
                append(outbox, 1, "a"),
                append(outbox, 2, "a"),
                answer(),
                append(outbox, 3, "a"),
            ]
            found = await asyncio.gather(*callers)
            assert found == [[2], [3], [], [5]]

    run_virtual(main())
    assert list(contents_of(tmp_path / "d").pending) == [2, 3, 5]


@pytest.mark.parametrize(
    ("name", "bound", "batches"), [("BATCH_BYTES_MAX", 3_000, 3), ("BATCH_RECORDS_MAX", 1, 10)]
)
def test_what_comes_together_is_cut_into_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, bound: int, batches: int
) -> None:
    monkeypatch.setattr(log, name, bound)

    async def main() -> None:
        async with opened(tmp_path / "d", lanes=SlowDisk()) as outbox:
            found = await asyncio.gather(*(observe(outbox) for _ in range(10)))
            assert found == list(range(1, 11))
            values = {sample.name: sample.value for sample in outbox.samples()}
            assert values["flk_agent_outbox_syncs_total"] == batches

    run_virtual(main())
