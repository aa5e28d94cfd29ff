"""Segments of the outbox that are closed by their age, and how they are chosen."""

import asyncio
from pathlib import Path

import pytest
from tests.support.agent_world import VirtualClock
from tests.support.outboxes import accept, contents_of, make_small, observe, opened
from tests.support.quota_disk import QuotaDisk
from tests.support.virtual_time import run_virtual
from typing_extensions import override

from fractal_lba.agent import OutboxBounds, compaction
from fractal_lba.agent.opening import FOLDER
from fractal_lba.wal import RealDisk
from fractal_lba.wal.inspection import SegmentState, inspect_folder

AGE_S = 3_600.0
AGED = OutboxBounds(segment_age_s=AGE_S)


class TimedDisk(RealDisk):
    """A disk whose segments are made by virtual time."""

    @override
    def stamp(self) -> tuple[int, bytes]:
        return VirtualClock().now_ns(), super().stamp()[1]


def sealed(data: Path) -> int:
    """Return how many segments that hold something were closed."""
    segments = inspect_folder(RealDisk(), data / FOLDER).segments
    return sum(each.state is SegmentState.SEALED for each in segments)


def test_a_segment_is_closed_by_the_next_window_once_it_is_old(tmp_path: Path) -> None:
    async def main() -> list[int]:
        found: list[int] = []
        async with opened(tmp_path, disk=TimedDisk(), bounds=AGED) as outbox:
            for _ in range(3):
                await observe(outbox)
                await asyncio.sleep(0.6 * AGE_S)
                found.append(sealed(tmp_path))
        return found

    # Nobody tends it: the third window finds a segment of 1.2 hours.
    assert run_virtual(main()) == [0, 0, 1]


def test_a_segment_is_closed_though_nothing_comes_any_more(tmp_path: Path) -> None:
    async def main() -> list[int]:
        found: list[int] = []
        async with opened(tmp_path, disk=TimedDisk(), bounds=AGED) as outbox:
            tending = asyncio.create_task(outbox.tend())
            await observe(outbox)
            for _ in range(4):
                await asyncio.sleep(0.9 * AGE_S)
                found.append(sealed(tmp_path))
            names = sorted(path.name for path in (tmp_path / FOLDER).glob("*.seg"))
            await asyncio.sleep(10 * AGE_S)
            assert sorted(path.name for path in (tmp_path / FOLDER).glob("*.seg")) == names
            tending.cancel()
        return found

    assert run_virtual(main()) == [0, 1, 1, 1]


def test_many_small_segments_that_nothing_waits_for_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "SEGMENTS_MAX", 4)

    async def main() -> int:
        most = 0
        async with opened(tmp_path, disk=TimedDisk(), bounds=AGED) as outbox:
            tending = asyncio.create_task(outbox.tend())
            kept = await observe(outbox, "stuck")
            for _ in range(20):
                await accept(outbox, await observe(outbox))
                await asyncio.sleep(1.1 * AGE_S)
                most = max(most, len(list((tmp_path / FOLDER).glob("*.seg"))))
            assert list(outbox.contents.pending) == [kept]
            assert outbox.contents.compactions > 2
            tending.cancel()
        return most

    assert run_virtual(main()) <= 7
    assert contents_of(tmp_path).windows == 21


def test_many_small_segments_whose_windows_wait_are_left_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "SEGMENTS_MAX", 4)

    async def main() -> int:
        async with opened(tmp_path, disk=TimedDisk(), bounds=AGED) as outbox:
            tending = asyncio.create_task(outbox.tend())
            for _ in range(10):
                await observe(outbox)
                await asyncio.sleep(1.1 * AGE_S)
            tending.cancel()
            return outbox.contents.compactions

    assert run_virtual(main()) == 0


def test_segments_are_as_large_as_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small(monkeypatch)

    async def main() -> None:
        bounds = OutboxBounds(segment_bytes_max=12_000)
        async with opened(tmp_path, bounds=bounds) as outbox:
            for _ in range(30):
                await observe(outbox)

    run_virtual(main())
    sizes = [path.stat().st_size for path in (tmp_path / FOLDER).glob("*.seg")]
    assert 9_000 < max(sizes) <= 12_000


def test_as_much_of_the_disk_is_taken_ahead_as_was_asked_for(tmp_path: Path) -> None:
    async def main(reserve_bytes: int) -> int:
        disk = QuotaDisk(1 << 26)
        folder = tmp_path / str(reserve_bytes)
        bounds = OutboxBounds(reserve_bytes=reserve_bytes)
        async with opened(folder, disk=disk, bounds=bounds) as outbox:
            await observe(outbox)
            return sum(disk.taken.values())

    more, less, none = (run_virtual(main(each)) for each in (500_000, 100_000, 0))
    assert more - less == 400_000
    assert none < 10_000
