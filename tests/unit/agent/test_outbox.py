"""The outbox by itself: shared syncs, order, bounds, and who may have it."""

import asyncio
import os
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from tests.support.agent_world import DirectLanes, VirtualClock
from tests.support.failing_disk import FailingDisk
from tests.support.outboxes import accept, contents_of, observe, opened, record
from tests.support.virtual_time import run_virtual
from typing_extensions import override

from fractal_lba.agent import OutboxBounds, OutboxFullError, WhenFull
from fractal_lba.agent import room as room_module
from fractal_lba.agent.frames import WindowMeta
from fractal_lba.agent.outbox import Outbox
from fractal_lba.agent.ports import Lane, SystemClock, ThreadLanes
from fractal_lba.protocol import ContractError, LockedError
from fractal_lba.wal import RealDisk


class SlowDisk(DirectLanes):
    """Lanes on which everything about the outbox's file takes a second."""

    @override
    async def turn(self, lane: Lane) -> None:
        await asyncio.sleep(1.0 if lane is Lane.OUTBOX else 0.0)


def samples(outbox: Outbox) -> dict[str, float]:
    return {
        sample.name.removeprefix("flk_agent_outbox_"): sample.value for sample in outbox.samples()
    }


def test_windows_that_come_during_a_sync_share_the_next_one(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk())

    async def main() -> tuple[int, list[int]]:
        async with opened(tmp_path / "d", disk=disk, lanes=SlowDisk()) as outbox:
            first = asyncio.create_task(observe(outbox))
            await asyncio.sleep(0.5)
            before = len(disk.calls)
            seqs = [await first]
            seqs += await asyncio.gather(*(observe(outbox) for _ in range(64)))
            return sum(call.name == "datasync" for call in disk.calls[before:]), seqs

    assert run_virtual(main()) == (2, list(range(1, 66)))


def test_threads_share_an_outbox_and_each_window_is_kept_once(tmp_path: Path) -> None:
    each, threads = 25, 8

    async def main() -> list[int]:
        lanes = ThreadLanes()
        outbox = await Outbox.open(RealDisk(), tmp_path / "d", clock=SystemClock(), lanes=lanes)
        loop = asyncio.get_running_loop()
        found: list[int] = []

        def produce(shard_id: str) -> None:
            for _ in range(each):
                kept = asyncio.run_coroutine_threadsafe(observe(outbox, shard_id), loop)
                found.append(kept.result())

        producers = [Thread(target=produce, args=(f"s{number}",)) for number in range(threads)]
        for producer in producers:
            producer.start()
        for producer in producers:
            await asyncio.to_thread(producer.join)
        await outbox.close()
        lanes.close()
        return found

    found = asyncio.run(main())
    assert sorted(found) == list(range(1, each * threads + 1))
    contents = contents_of(tmp_path / "d")
    assert list(contents.pending) == sorted(found)
    for number in range(threads):
        assert contents.next_epoch(f"s{number}", is_live=False) == each


def test_windows_of_one_stream_kept_side_by_side_have_an_epoch_each(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "d", lanes=SlowDisk()) as outbox:
            await asyncio.gather(*(observe(outbox) for _ in range(20)))
            ids = {(await outbox.read(seq)).pcs_id for seq in outbox.contents.pending}
            assert ids == {record(epoch).pcs_id for epoch in range(20)}

    run_virtual(main())


def test_an_epoch_is_not_given_again_when_who_observed_is_cancelled(tmp_path: Path) -> None:
    async def main() -> list[int]:
        async with opened(tmp_path / "d", lanes=SlowDisk()) as outbox:
            observing = asyncio.create_task(observe(outbox))
            await asyncio.sleep(0.5)
            observing.cancel()
            await observe(outbox)
            # The first one is on disk, whoever waited for it, and is sent.
            return [(await outbox.read(seq)).epoch for seq in outbox.contents.pending]

    assert run_virtual(main()) == [0, 1]


class TestBounds:
    @pytest.mark.parametrize(
        "bounds", [OutboxBounds(records_max=3), OutboxBounds(bytes_max=2_000)], ids=str
    )
    def test_observing_waits_until_a_window_is_answered(
        self, tmp_path: Path, bounds: OutboxBounds
    ) -> None:
        async def main() -> None:
            async with opened(tmp_path / "d", bounds=bounds) as outbox:
                producers = [asyncio.create_task(observe(outbox)) for _ in range(5)]
                await asyncio.sleep(10.0)
                assert [task.done() for task in producers] == [True, True, True, False, False]
                await accept(outbox, 2)
                await asyncio.sleep(10.0)
                assert [task.done() for task in producers] == [True, True, True, True, False]
                await accept(outbox, 1)
                # In the order in which they came.
                assert [await task for task in producers] == [1, 2, 3, 5, 7]
                assert samples(outbox)["waits_total"] == 2

        run_virtual(main())

    def test_who_comes_later_does_not_pass_who_waits_for_room(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with opened(tmp_path / "d", bounds=OutboxBounds(records_max=1)) as outbox:
                await observe(outbox)
                waiting = asyncio.create_task(observe(outbox, "waiting"))
                await asyncio.sleep(1.0)
                await accept(outbox, 1)  # there is room now, and nothing else ran yet
                ended = asyncio.create_task(self.answered(outbox, waiting))
                assert await observe(outbox, "late") > await waiting
                await ended

        run_virtual(main())

    async def answered(self, outbox: Outbox, waiting: asyncio.Task[int]) -> None:
        """Accept a window once it is kept."""
        await accept(outbox, await waiting)

    def test_a_policy_is_taken_by_its_name_and_nothing_else_for_one(self) -> None:
        for policy in WhenFull:
            given: Any = policy.value
            assert OutboxBounds(when_full=given).when_full is policy
        wrong: Any = "drop"
        with pytest.raises(
            ContractError, match="when_full: expected one of block, refuse, got 'drop'"
        ):
            OutboxBounds(when_full=wrong)

    def test_what_is_refused_is_told_and_takes_no_epoch(self, tmp_path: Path) -> None:
        bounds = OutboxBounds(records_max=2, when_full=WhenFull.REFUSE)

        async def main() -> None:
            async with opened(tmp_path / "d", bounds=bounds) as outbox:
                await observe(outbox)
                await observe(outbox)
                with pytest.raises(OutboxFullError, match=r"fewer than 2 windows .* got 2 and"):
                    await observe(outbox)
                meta = WindowMeta(source="x", shard_id="s", next_epoch=3, position=None)
                with pytest.raises(OutboxFullError):
                    await outbox.append(meta, record(2))
                assert outbox.contents.next_epoch("s", is_live=False) == 2
                assert samples(outbox)["refused_total"] == 2
                await accept(outbox, 1)
                await observe(outbox)

        run_virtual(main())
        assert contents_of(tmp_path / "d").windows == 3

    def test_what_waits_for_a_sync_is_bounded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(room_module, "QUEUE_RECORDS_MAX", 4)
        batches: list[int] = []

        class Counting(SlowDisk):
            @override
            async def turn(self, lane: Lane) -> None:
                await super().turn(lane)
                batches.append(0)

        async def main() -> None:
            lanes = Counting()
            async with opened(tmp_path / "d", lanes=lanes) as outbox:
                batches.clear()
                await asyncio.gather(*(observe(outbox) for _ in range(40)))
                assert len(batches) >= 10

        run_virtual(main())

    def test_the_bounds_count_what_an_earlier_run_left(self, tmp_path: Path) -> None:
        async def main() -> None:
            async with opened(tmp_path / "d") as outbox:
                for _ in range(3):
                    await observe(outbox)
            refusing = OutboxBounds(records_max=3, when_full=WhenFull.REFUSE)
            async with opened(tmp_path / "d", bounds=refusing) as outbox:
                with pytest.raises(OutboxFullError):
                    await observe(outbox)

        run_virtual(main())


def test_depth_and_age_are_those_of_what_waits(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "d") as outbox:
            assert samples(outbox)["oldest_pending_seconds"] == 0
            await observe(outbox)
            await asyncio.sleep(100.0)
            await observe(outbox)
            await asyncio.sleep(20.0)
            first = samples(outbox)
            assert first["pending_records"] == first["appends_total"] == first["syncs_total"] == 2
            assert first["oldest_pending_seconds"] == 120
            await accept(outbox, 1)
            second = samples(outbox)
            assert (second["pending_records"], second["oldest_pending_seconds"]) == (1, 20)
            assert 0 < second["pending_bytes"] < first["pending_bytes"]

    run_virtual(main())
    assert contents_of(tmp_path / "d").pending.size > 0


def test_a_second_process_is_told_the_folder_and_the_process(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "d"):
            with pytest.raises(LockedError) as raised:
                await Outbox.open(
                    RealDisk(), tmp_path / "d", clock=VirtualClock(), lanes=DirectLanes()
                )
            assert str(raised.value) == (
                f"data folder {tmp_path / 'd'}: stream outbox: expected no other process,"
                f" got pid {os.getpid()}"
            )

    run_virtual(main())
