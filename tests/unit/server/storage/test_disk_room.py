"""The data folder is measured as the disk sees it, and what that means is told."""

import asyncio
import re
from pathlib import Path

from fractal_lba.server.core.disk_budget import Budget
from fractal_lba.server.storage.disk_room import DiskRoom
from fractal_lba.server.telemetry.metrics import Metrics


def gauge(metrics: Metrics, name: str) -> float:
    (value,) = re.findall(rf"^{name} (\S+)$", metrics.exposition().decode(), re.MULTILINE)
    return float(value)


def test_bytes_of_all_files_below_count_as_they_are_on_disk(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "one").write_bytes(bytes(100_000))
    (tmp_path / "a" / "data.mdb").write_bytes(bytes(8_192))
    (tmp_path / "a" / "b" / "two").write_bytes(b"x" * 50_000)
    with (tmp_path / "a" / "hole").open("wb") as file:
        file.truncate(1 << 30)
    metrics = Metrics()
    now = [0.0]
    room = DiskRoom(
        tmp_path,
        budget=Budget(used_max=200_000, free_min=0),
        meter=metrics,
        monotonic=lambda: now[0],
    )
    asyncio.run(room.look())
    assert room.full is None
    used = gauge(metrics, "flk_disk_used_bytes")
    assert 150_000 <= used < 200_000
    assert gauge(metrics, "flk_disk_room_bytes") == 200_000 - used
    assert gauge(metrics, "flk_disk_free_bytes") > 0
    assert 8_192 <= gauge(metrics, "flk_disk_index_bytes") < 16_384
    assert gauge(metrics, "flk_disk_full_in_seconds") == float("inf")

    (tmp_path / "three").write_bytes(b"x" * 100_000)
    now[0] = 60.0
    asyncio.run(room.look())
    told = str(room.full)
    assert told.startswith("disk: expected less than 200000 bytes in the data folder, got ")
    assert gauge(metrics, "flk_disk_room_bytes") == gauge(metrics, "flk_disk_full_in_seconds") == 0
    assert gauge(metrics, "flk_disk_growth_bytes_per_second") > 0

    (tmp_path / "three").unlink()
    asyncio.run(room.look())
    assert not room.full


def test_a_folder_that_cannot_be_measured_changes_nothing(tmp_path: Path) -> None:
    metrics = Metrics()
    budget = Budget(used_max=0, free_min=1 << 60)
    folder = tmp_path / "data"
    folder.mkdir()
    room = DiskRoom(folder, budget=budget, meter=metrics, monotonic=lambda: 0.0)
    asyncio.run(room.look())
    told = room.full
    assert told is not None
    folder.rmdir()
    asyncio.run(room.look())
    assert room.full == told
