"""A retention that ends anywhere, or fails anywhere, gives up nothing that was still needed."""

import errno
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.support.failing_disk import Crash, Effect, FailingDisk
from tests.support.wal_streams import (
    NAME,
    damage_of,
    flipped,
    folder_labels,
    labels_of,
    new_frame,
    open_stream,
    segments_of,
    snapshot,
)

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.wal import RealDisk, Stream, scan_folder

LABELS = {seq: f"{seq}" for seq in range(1, 8)}
NEEDED = {seq: label for seq, label in LABELS.items() if seq >= 6}


def work(disk: FailingDisk, folder: Path) -> tuple[int, Stream]:
    """Fill a stream, damage its second segment, then retain what is needed.

    Returns:
        The calls before the retention, and the stream.
    """
    stream = open_stream(folder, disk)
    for label in LABELS.values():
        stream.append([new_frame(label, 300)])
    second = folder / segments_of(snapshot(folder))[1]
    second.write_bytes(flipped(second.read_bytes(), 400))
    assert len(damage_of(stream.scan())) == 1
    before = len(disk.calls)
    stream.retain_from(6, cursor_seq=7)
    return before, stream


def check(stream: Stream) -> None:
    """Hold a stream after recovery against what is needed; the rest may be there or not."""
    found = labels_of(stream)
    assert NEEDED.items() <= found.items() <= LABELS.items()
    assert stream.first_seq in {1, 5}
    lost = [each for each in damage_of(stream.scan()) if each.is_loss]
    # The planted damage is seen until its segment is gone; the front that is gone never is.
    assert len(lost) == (stream.first_seq == 1)
    if stream.first_seq == 5:
        assert sorted(found) == [5, 6, 7]


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize("error", [None, errno.EIO, errno.ENOSPC], ids=["crash", "EIO", "ENOSPC"])
def test_a_retention_that_ends_or_fails_anywhere_keeps_what_is_needed(
    ram_path: Path, tell: Callable[[str, str], None], error: int | None, effect: Effect
) -> None:
    disk = FailingDisk(RealDisk())
    before, stream = work(disk, ram_path / "0")
    total = len(disk.calls)
    assert stream.first_seq == 5
    disk.abandon()
    reached = 0
    for n in range(before + 1, total + 1):
        folder = ram_path / str(n)
        disk = FailingDisk(RealDisk(), fail_at=n, error=error, effect=effect)
        with suppress(Crash, DurabilityError):
            work(disk, folder)
        assert disk.has_failed
        reached += 1
        disk.abandon()
        assert NEEDED.items() <= folder_labels(folder).items()
        lost = [each for each in damage_of(scan_folder(RealDisk(), folder, NAME)) if each.is_loss]
        assert len(lost) <= 1
        stream = open_stream(folder)
        check(stream)
        # The next retention ends what this one began, and leaves nothing behind.
        stream.retain_from(6, cursor_seq=7)
        assert sorted(labels_of(stream)) == [5, 6, 7]
        stream.close()
        assert len(segments_of(snapshot(folder))) <= 5
    assert reached == total - before
    tell("faults", f"calls of one retention that failed: {reached}")
