"""What is forgotten is what the ledger says, and nothing goes before its time."""

import asyncio
import shutil
from pathlib import Path

import pytest
from tests.support.forgetting import DAY_MS, HOUR_S, START_MS, Shard, key_of
from tests.support.stored_folder import (
    MAP_BYTES,
    SHARD,
    StoredFolder,
    conflicting,
    decided,
    resolved,
)

from fractal_lba.protocol.errors import FencedError
from fractal_lba.server import offline
from fractal_lba.server.config import Settings
from fractal_lba.server.core.listing import BEGIN, Query
from fractal_lba.server.storage.stored import StoredRecords


def test_a_record_is_forgotten_after_its_deadline_and_not_before(ram_path: Path) -> None:
    async def run() -> None:
        async with Shard(StoredFolder(ram_path / "data").create([])) as shard:
            await shard.decide(1, days=3)
            await shard.decide(2, days=5)
            assert await shard.forget() == 0
            await shard.pass_days(3)
            assert await shard.forget() == 0  # not an hour ago
            await shard.pass_days(0.05)
            assert await shard.forget() == 1
            assert shard.known(shard.decisions[1]) is None
            assert shard.known(shard.decisions[2]) is not None
            assert shard.store.floor_ms("acme") == START_MS
            shard.hold()

    asyncio.run(run())


def test_an_escalation_stays_until_somebody_resolved_it(ram_path: Path) -> None:
    async def run() -> None:
        async with Shard(StoredFolder(ram_path / "data").create([])) as shard:
            await shard.decide(1, is_escalated=True)
            await shard.decide(2)
            await shard.forget()
            await shard.pass_days(10)
            assert await shard.forget() == 1
            shard.hold()
            await shard.append_to(1, resolved)
            assert await shard.forget() == 1
            shard.hold()
            page = await shard.store.list_records(
                "acme", Query(is_open_escalation=True), BEGIN, records_max=9
            )
            assert page.items == ()

    asyncio.run(run())


def test_a_clock_that_jumps_ahead_forgets_no_more_than_it_may(ram_path: Path) -> None:
    async def run() -> None:
        async with Shard(StoredFolder(ram_path / "data").create([])) as shard:
            for epoch in range(1, 11):
                await shard.decide(epoch, days=100 + epoch)
            await shard.forget()  # so it is known what time it is
            shard.now_ms += 400 * DAY_MS
            for _ in range(4):
                shard.at_s += HOUR_S
                assert await shard.forget() == 0
            shard.at_s += 98 * HOUR_S
            forgotten = await shard.forget()
            assert 1 <= forgotten <= 3
            # The clock is put right: nothing more goes, what is left comes back to its time.
            shard.now_ms -= 400 * DAY_MS
            shard.at_s += 100 * HOUR_S
            assert await shard.forget() == 0
            shard.hold()

    asyncio.run(run())


def test_so_many_go_in_one_step_and_the_rest_in_the_next(ram_path: Path) -> None:
    async def run() -> None:
        async with Shard(StoredFolder(ram_path / "data").create([])) as shard:
            for epoch in range(7):
                await shard.decide(epoch)
            await shard.forget()
            await shard.pass_days(3)
            assert [await shard.forget(records_max=3) for _ in range(4)] == [3, 3, 1, 0]
            shard.hold()

    asyncio.run(run())


def test_what_signs_no_time_is_never_forgotten(ram_path: Path) -> None:
    async def run() -> None:
        async with Shard(StoredFolder(ram_path / "data").create([])) as shard:
            entry = decided("0.1", epoch=4)
            await shard.write(entry, received_ns=1)
            await shard.decide(1)
            await shard.forget()
            await shard.pass_days(5_000)
            assert await shard.forget() == 1
            assert shard.known(entry) is not None
            shard.hold()

    asyncio.run(run())


def test_evidence_that_waited_while_its_record_was_forgotten_is_not_written(
    ram_path: Path,
) -> None:
    async def run() -> None:
        async with Shard(StoredFolder(ram_path / "data").create([])) as shard:
            await shard.decide(1)
            await shard.forget()
            await shard.pass_days(3)
            assert await shard.forget() == 1
            with pytest.raises(FencedError, match="a change since"):
                await shard.write(conflicting(1), received_ns=1)
            shard.hold()

    asyncio.run(run())


def test_segments_go_a_look_later_and_floors_and_numbers_stay(ram_path: Path) -> None:
    async def run() -> None:
        folder = StoredFolder(ram_path / "data").create([])
        async with Shard(folder) as shard:
            for epoch in range(12):
                await shard.decide(epoch)
            await shard.forget()
            await shard.pass_days(3)
            await shard.decide(20, days=9)
            assert await shard.forget() == 12
            before = len(folder.segments())
            assert await shard.store.let_go() == 0
            assert await shard.store.let_go() > 0
            assert len(folder.segments()) < before
            await shard.store.let_go()
            assert await shard.store.let_go() == 0  # no segment goes for the mark of the last
            shard.hold()
            floors = dict(shard.store.index.forgot.floors)
            assert floors == {"acme": START_MS}
        shutil.rmtree(folder.index)
        async with Shard(folder, said=shard.said) as shard:
            assert shard.store.losses == ()
            assert dict(shard.store.index.forgot.floors) == floors
            shard.hold()
        # And offline, from the ledger alone.
        repaired = offline.repair(
            Settings(data=str(folder.data), shards=(SHARD,), index_map_bytes=MAP_BYTES),
            folder.data,
            accept_loss=False,
            disk=folder.disk,
        )
        assert repaired.problems == []

    asyncio.run(run())


def test_a_reader_of_the_ledger_is_given_nothing_that_is_forgotten(ram_path: Path) -> None:
    async def run() -> None:
        folder = StoredFolder(ram_path / "data").create([])
        async with Shard(folder) as shard:
            await shard.decide(1)
            await shard.decide(2, is_escalated=True)
            await shard.decide(3, days=9)
            await shard.forget()
            await shard.pass_days(3)
            assert await shard.forget() == 1
            stored = StoredRecords(disk=folder.disk, data=folder.data, shards=folder.shards)
            stored.read_appended()
            assert [item.number for item, _, _ in stored.decisions()] == [2, 3]
            shutil.rmtree(folder.index)
            report = folder.check()
            assert (report.problems, report.stored_twice) == ([], 0)

    asyncio.run(run())


def test_fsck_names_what_the_index_should_have_forgotten(ram_path: Path) -> None:
    async def run() -> None:
        folder = StoredFolder(ram_path / "data").create([])
        async with Shard(folder) as shard:
            await shard.decide(1)
            known = shard.known(shard.decisions[1])
            assert known is not None
            await shard.forget()
            await shard.pass_days(3)
            assert await shard.forget() == 1
        index = folder.opened()
        assert index.checkpoint is not None
        index.put(key_of(shard.decisions[1]), known, index.checkpoint)
        index.close()
        found = {problem.kind for problem in folder.check().problems}
        assert "index_differs" in found

    asyncio.run(run())
