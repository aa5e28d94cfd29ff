"""Kept windows: there before their records, whole or not at all, and bounded."""

import asyncio
import errno
import json
from pathlib import Path

import numpy as np
import pytest
from tests.support.agent_inside import agent_of, points
from tests.support.agent_world import RECIPE, DirectLanes, MemoryServer, states
from tests.support.failing_disk import Effect, FailingDisk
from tests.support.virtual_time import run_virtual
from typing_extensions import override

from fractal_lba.agent import Observed
from fractal_lba.agent.bounds import OutboxBounds, OutboxFullError, WhenFull
from fractal_lba.agent.kept import Keeping, KeptFullError, KeptWindows, WhenKept
from fractal_lba.agent.ports import Lane
from fractal_lba.agent.record import make_record
from fractal_lba.agent.window import Window
from fractal_lba.protocol import (
    DurabilityError,
    FencedError,
    LockedError,
    Record,
    merkle_root,
    parse_record,
)
from fractal_lba.wal import RealDisk


def window_and_record(number: int) -> tuple[Window, Record]:
    window = Window(data=points(number), after=None)
    at = "2026-01-01T00:00:00.000Z"
    return window, make_record(window, RECIPE, epoch=number, shard_id="s", created_at=at)


def stems(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.npy"))


def test_a_window_and_its_record_are_kept_as_they_were(tmp_path: Path) -> None:
    server = MemoryServer()
    folder = tmp_path / "kept"

    async def main() -> tuple[Observed, Observed]:
        async with agent_of(tmp_path / "d", server, kept=Keeping(folder=folder)) as agent:
            return await agent.observe(points(0)), await agent.observe(b"some text")

    of_points, of_text = run_virtual(main())
    array = np.load(folder / f"{1:012d}-{of_points.pcs_id}.npy")
    np.testing.assert_array_equal(array, points(0))
    record = parse_record((folder / f"{1:012d}-{of_points.pcs_id}.json").read_bytes())
    assert record.merkle_root == merkle_root([row.tobytes() for row in array]).hex()
    assert (folder / f"{2:012d}-{of_text.pcs_id}.bin").read_bytes() == b"some text"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_it_is_durable_before_the_record_is_in_the_outbox(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk())
    folder = tmp_path / "kept"

    async def main() -> Observed:
        kept = Keeping(folder=folder)
        async with agent_of(tmp_path / "d", MemoryServer(), disk, kept=kept) as agent:
            disk.calls.clear()
            return await agent.observe(points(0))

    pcs_id = run_virtual(main()).pcs_id
    calls = [(call.name, call.path) for call in disk.calls]
    stem = f"{1:012d}-{pcs_id}"
    order = [
        calls.index(("datasync", f"{stem}.npy.tmp")),
        calls.index(("rename", f"{stem}.npy")),
        calls.index(("datasync", f"{stem}.json.tmp")),
        calls.index(("rename", f"{stem}.json")),
        calls.index(("sync_dir", "kept")),
        next(at for at, (_, path) in enumerate(calls) if path.startswith("outbox")),
    ]
    assert order == sorted(order)


def test_windows_of_one_stream_that_are_kept_side_by_side_get_an_epoch_each(
    tmp_path: Path,
) -> None:
    async def main() -> list[Observed]:
        kept = Keeping(folder=tmp_path / "kept")
        lanes = SlowToKeep()
        async with agent_of(tmp_path / "d", MemoryServer(), kept=kept, lanes=lanes) as agent:
            return list(await asyncio.gather(*(agent.observe(points(at)) for at in range(12))))

    assert sorted(each.epoch for each in run_virtual(main())) == list(range(12))


class SlowToKeep(DirectLanes):
    @override
    async def turn(self, _lane: Lane) -> None:
        await asyncio.sleep(1.0 if _lane is Lane.KEPT else 0.0)


def epochs(folder: Path) -> list[int]:
    return sorted(json.loads(path.read_bytes())["epoch"] for path in folder.glob("*.json"))


def test_what_a_full_outbox_refuses_is_not_kept_and_uses_no_epoch(tmp_path: Path) -> None:
    server = MemoryServer()
    server.is_down = True
    bounds = OutboxBounds(records_max=2, when_full=WhenFull.REFUSE)

    async def main() -> None:
        async with agent_of(
            tmp_path / "d",
            server,
            bounds=bounds,
            kept=Keeping(folder=tmp_path / "kept"),
            lanes=SlowToKeep(),
            grace_s=60.0,
        ) as agent:
            found = await asyncio.gather(
                *(agent.observe(points(at)) for at in range(5)), return_exceptions=True
            )
            assert [type(each) for each in found] == [Observed] * 2 + [OutboxFullError] * 3
            server.come_up()
            await agent.flush(600.0)
            assert (await agent.observe(points(9))).epoch == 2

    run_virtual(main())
    assert epochs(tmp_path / "kept") == [0, 1, 2]


def test_a_window_cancelled_while_it_is_kept_is_sent_and_no_epoch_is_used_twice(
    tmp_path: Path,
) -> None:
    server = MemoryServer()

    async def main() -> None:
        kept = Keeping(folder=tmp_path / "kept")
        async with agent_of(tmp_path / "d", server, kept=kept, lanes=SlowToKeep()) as agent:
            observing = [asyncio.create_task(agent.observe(points(at))) for at in range(3)]
            await asyncio.sleep(0.5)  # the first is being kept, the others wait
            for task in observing[:2]:
                task.cancel()
            await asyncio.wait(observing)
            assert [task.cancelled() for task in observing] == [True, True, False]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await agent.observe(points(7))
            assert (await agent.observe(points(8))).epoch == 3

    run_virtual(main())
    assert epochs(tmp_path / "kept") == [0, 1, 2, 3]
    assert sorted(record["epoch"] for record in server.sent) == [0, 1, 2, 3]


def test_a_window_too_large_to_keep_uses_no_epoch(tmp_path: Path) -> None:
    server = MemoryServer()

    async def main() -> None:
        kept = Keeping(folder=tmp_path / "kept", bytes_max=8_000)
        async with agent_of(tmp_path / "d", server, kept=kept, lanes=SlowToKeep()) as agent:
            found = await asyncio.gather(
                agent.observe(np.ones((1000, 2))), agent.observe(points(1)), return_exceptions=True
            )
            assert isinstance(found[0], KeptFullError)

    run_virtual(main())
    assert [record["epoch"] for record in server.sent] == [0]


@pytest.mark.parametrize("effect", list(Effect))
def test_whatever_call_fails_nothing_torn_stays_and_the_next_agent_goes_on(
    tmp_path: Path, effect: Effect
) -> None:
    whole = FailingDisk(RealDisk())
    kept = KeptWindows.open(whole, Keeping(folder=tmp_path / "whole"))
    whole.calls.clear()
    kept.keep(*window_and_record(0))
    calls = len(whole.calls)
    kept.close()
    assert calls >= 9
    for call in range(1, calls + 1):
        keeping = Keeping(folder=tmp_path / f"{call}")
        disk = FailingDisk(RealDisk())
        kept = KeptWindows.open(disk, keeping)
        disk.fail_next(call, error=errno.EIO, effect=effect)
        with pytest.raises(DurabilityError, match="expected a working disk"):
            kept.keep(*window_and_record(0))
        with pytest.raises(FencedError):
            kept.keep(*window_and_record(1))
        kept.close()
        again = KeptWindows.open(RealDisk(), keeping)
        again.keep(*window_and_record(0))
        again.keep(*window_and_record(1))
        again.close()
        assert len(stems(keeping.folder)) == 2, call
        for path in keeping.folder.glob("*.npy"):
            assert np.load(path).shape == (4, 2)
        assert list(keeping.folder.glob("*.tmp")) == []


def test_a_window_that_is_cut_again_takes_the_same_names(tmp_path: Path) -> None:
    for _ in range(2):
        kept = KeptWindows.open(RealDisk(), Keeping(folder=tmp_path))
        kept.keep(*window_and_record(0))
        kept.keep(*window_and_record(1))
        kept.close()
    assert [stem[:12] for stem in stems(tmp_path)] == [f"{1:012d}", f"{2:012d}"]


def size_of_one(tmp_path: Path) -> int:
    kept = KeptWindows.open(RealDisk(), Keeping(folder=tmp_path / "one"))
    kept.keep(*window_and_record(0))
    kept.close()
    return sum(path.stat().st_size for path in (tmp_path / "one").glob("0*"))


def test_the_oldest_make_room_also_after_a_restart(tmp_path: Path) -> None:
    bytes_max = 3 * size_of_one(tmp_path) + 50
    keeping = Keeping(folder=tmp_path / "kept", bytes_max=bytes_max)
    for numbers in (range(4), range(4, 7)):
        kept = KeptWindows.open(RealDisk(), keeping)
        for number in numbers:
            kept.keep(*window_and_record(number))
            assert sum(path.stat().st_size for path in keeping.folder.glob("0*")) <= bytes_max
        kept.close()
    assert [int(stem[:12]) for stem in stems(keeping.folder)] == [5, 6, 7]
    assert len(list(keeping.folder.glob("*.json"))) == 3


def test_files_that_are_not_its_own_are_neither_counted_nor_removed(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    foreign = {
        "202611211200-report.pdf",
        "notes.tmp",
        f"{9:012d}-{'a' * 64}.txt",
        f"{9:012d}-{'A' * 64}.npy",
        f"{'٩' * 12}-{'a' * 64}.npy",
    }
    for name in foreign:
        (folder / name).write_bytes(bytes(1000))
    (folder / f"{9:012d}-{'a' * 64}.npy.tmp").write_bytes(b"its own, and not finished")
    for start in (0, 2):
        keeping = Keeping(folder=folder, bytes_max=size_of_one(tmp_path) + 50)
        kept = KeptWindows.open(RealDisk(), keeping)
        for number in (start, start + 1):
            kept.keep(*window_and_record(number))
        kept.close()
    left = {path.name for path in folder.iterdir()} - {".lock"}
    assert left >= foreign
    pcs_id = window_and_record(3)[1].pcs_id
    assert left - foreign == {f"{4:012d}-{pcs_id}{ending}" for ending in (".npy", ".json")}


def test_a_full_folder_that_must_not_forget_stops_whoever_observes(tmp_path: Path) -> None:
    kept = Keeping(
        folder=tmp_path / "kept",
        bytes_max=2 * size_of_one(tmp_path) + 50,
        when_full=WhenKept.STOP,
    )

    async def main() -> None:
        async with agent_of(tmp_path / "d", MemoryServer(), kept=kept) as agent:
            for number in range(2):
                await agent.observe(points(number))
            with pytest.raises(KeptFullError, match="bytes of kept windows"):
                await agent.observe(points(2))

    run_virtual(main())
    assert len(stems(kept.folder)) == 2
    assert states(tmp_path / "d") == ["acknowledged"] * 2


def test_a_window_larger_than_the_bound_is_refused_and_nothing_removed(tmp_path: Path) -> None:
    keeping = Keeping(folder=tmp_path / "kept", bytes_max=size_of_one(tmp_path) + 50)
    kept = KeptWindows.open(RealDisk(), keeping)
    kept.keep(*window_and_record(0))
    window = Window(data=np.zeros((1000, 3)), after=None)
    with pytest.raises(KeptFullError):
        kept.keep(window, window_and_record(1)[1])
    kept.close()
    assert len(stems(keeping.folder)) == 1


def test_two_agents_on_one_folder_are_refused_by_name(tmp_path: Path) -> None:
    kept = KeptWindows.open(RealDisk(), Keeping(folder=tmp_path / "kept"))
    with pytest.raises(LockedError, match=r"kept windows .*: expected no other process"):
        KeptWindows.open(RealDisk(), Keeping(folder=tmp_path / "kept"))
    kept.close()
