"""Windows that one caller has at hand reach the disk together, in their order, all or none."""

import asyncio
from pathlib import Path

import pytest
from tests.support.outboxes import (
    accept,
    contents_of,
    make_small,
    opened,
    position_after,
    set_default,
    windows,
)
from tests.support.quota_disk import QuotaDisk
from tests.support.virtual_time import run_virtual

from fractal_lba.agent import log, outbox
from fractal_lba.agent.bounds import OutboxBounds, OutboxFullError, WhenFull
from fractal_lba.protocol import ContractError


def test_windows_of_one_call_share_a_sync_and_stand_in_their_order(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "d") as outbox:
            assert await outbox.append_all([]) == []
            seqs = await outbox.append_all(windows(0, 5))
            assert seqs == [1, 2, 3, 4, 5]
            assert [(await outbox.read(seq)).epoch for seq in seqs] == [0, 1, 2, 3, 4]
            assert outbox.arrivals() == [(seq, "s") for seq in seqs]
            values = {sample.name: sample.value for sample in outbox.samples()}
            assert values["flk_agent_outbox_appends_total"] == 5
            assert values["flk_agent_outbox_syncs_total"] == 1
            await accept(outbox, 2)

    run_virtual(main())
    contents = contents_of(tmp_path / "d")
    assert contents.next_epoch("s", is_live=False) == 5
    assert contents.position("x", "s") == position_after(4)
    assert sorted(contents.pending) == [1, 3, 4, 5]
    assert contents.windows == 5


def test_calls_of_several_producers_do_not_mix(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "d") as outbox:
            found = await asyncio.gather(
                *(outbox.append_all(windows(0, 4, f"s{number}")) for number in range(3))
            )
            assert found == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]

    run_virtual(main())


def test_a_call_that_is_larger_than_a_batch_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with opened(tmp_path / "d", bounds=OutboxBounds(records_max=4)) as kept:
            with pytest.raises(ContractError, match="at most 4 windows of 2097152 bytes"):
                await kept.append_all(windows(0, 5))
            monkeypatch.setattr(outbox, "CALL_BYTES_MAX", 1_000)
            with pytest.raises(ContractError, match="at most 4 windows of 1000 bytes"):
                await kept.append_all(windows(0, 2))
            assert kept.contents.next_epoch("s", is_live=False) == 0
            assert await kept.append_all(windows(0, 1)) == [1]

    run_virtual(main())


def test_a_call_waits_until_there_is_room_for_all_of_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "d", bounds=OutboxBounds(records_max=4)) as outbox:
            seqs = await outbox.append_all(windows(0, 3))
            waiting = asyncio.create_task(outbox.append_all(windows(3, 3)))
            for seq in seqs[:2]:
                await asyncio.sleep(1.0)
                assert not waiting.done()
                await accept(outbox, seq)
            assert await waiting == [6, 7, 8]

    run_virtual(main())


def test_an_outbox_that_refuses_takes_all_of_a_call_or_nothing(tmp_path: Path) -> None:
    bounds = OutboxBounds(records_max=4, when_full=WhenFull.REFUSE)

    async def main() -> None:
        async with opened(tmp_path / "d", bounds=bounds) as outbox:
            await outbox.append_all(windows(0, 3))
            with pytest.raises(OutboxFullError, match="got 3"):
                await outbox.append_all(windows(3, 2))
            assert outbox.contents.next_epoch("s", is_live=False) == 3
            assert await outbox.append_all(windows(3, 1)) == [4]

    run_virtual(main())


def test_a_call_that_finds_a_full_disk_is_held_whole_and_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small(monkeypatch)
    monkeypatch.setattr(log, "SPARE_BYTES", 1_000)
    set_default(monkeypatch, "reserve_bytes", 1)
    disk = QuotaDisk(1 << 20)

    async def main() -> None:
        async with opened(tmp_path / "d", disk=disk) as outbox:
            await outbox.append_all(windows(0, 2))
            disk.capacity = sum(disk.taken.values())
            tending = asyncio.create_task(outbox.tend())
            waiting = asyncio.create_task(outbox.append_all(windows(2, 4)))
            await asyncio.sleep(1.0)
            assert outbox.is_full
            assert contents_of(tmp_path / "d").windows == 2
            disk.capacity = 1 << 20
            seqs = await waiting
            assert [(await outbox.read(seq)).epoch for seq in seqs] == [2, 3, 4, 5]
            disk.capacity = sum(disk.taken.values())
            refused = asyncio.create_task(outbox.append_all(windows(6, 2)))
            await asyncio.sleep(1.0)
            tending.cancel()
            outbox.wait_no_more()
            with pytest.raises(OutboxFullError, match="room on the disk"):
                await refused

    run_virtual(main())
    assert contents_of(tmp_path / "d").windows == 6
