"""A torn tail at every byte of the last batch, through the real recovery."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.failing_disk import FailingDisk
from tests.support.wal_streams import (
    NAME,
    damage_of,
    labels_of,
    new_frame,
    open_stream,
    restore,
    segments_of,
    snapshot,
)

from fractal_lba.wal import Damage, RealDisk, scan_folder

LAST_BATCH = [new_frame("last-1", 20), new_frame("last-2", 1), new_frame("last-3", 33)]


def folder_of_a_dead_process(folder: Path, *, is_last_batch_marked: bool) -> dict[str, bytes]:
    """Return the files of a process that ended after its last batch."""
    disk = FailingDisk(RealDisk())
    stream = open_stream(folder, disk, segment_bytes_max=2000)
    stream.append([new_frame("first-1"), new_frame("first-2")])
    stream.append([new_frame("second-1", 300)])
    stream.mark()
    stream.append([new_frame("third-1")])
    stream.append(LAST_BATCH)
    if is_last_batch_marked:
        stream.mark()
    disk.abandon()
    return snapshot(folder)


ACKNOWLEDGED = {1: "first-1", 2: "first-2", 3: "second-1", 4: "third-1"}
LAST = {5: "last-1", 6: "last-2", 7: "last-3"}
FRAME_BYTES = [26 + len(frame.meta) + len(frame.payload) for frame in LAST_BATCH]
FRAME_ENDS = [32 + sum(FRAME_BYTES[: index + 1]) for index in range(len(FRAME_BYTES))]
BATCH_BYTES = FRAME_ENDS[-1]


def keep(data: bytes, cut: int) -> bytes:
    return data[:cut]


def zeros(data: bytes, cut: int) -> bytes:
    """What a file system leaves whose length reached the disk before the data."""
    return data[:cut] + bytes(len(data) - cut)


def noise(data: bytes, cut: int) -> bytes:
    return data[:cut] + bytes(byte ^ 0xA5 for byte in data[cut:])


def longer(data: bytes, cut: int) -> bytes:
    return data[:cut] + b"\xff" * (len(data) - cut + 5000)


@pytest.mark.parametrize("tear", [keep, zeros, noise, longer])
def test_a_tail_torn_at_any_byte_loses_nothing_acknowledged(
    ram_path: Path, tear: Callable[[bytes, int], bytes]
) -> None:
    files = folder_of_a_dead_process(ram_path / "made", is_last_batch_marked=False)
    (name,) = segments_of(files)
    start = len(files[name]) - BATCH_BYTES
    folder = ram_path / "torn"
    for cut in range(start, len(files[name])):
        torn = tear(files[name], cut)
        restore(folder, {name: torn})
        survived = sum(end <= cut - start for end in FRAME_ENDS)
        expected = ACKNOWLEDGED | dict(list(LAST.items())[:survived])
        sound_end = start + [0, *FRAME_ENDS][survived]

        reported = damage_of(scan_folder(RealDisk(), folder, NAME))
        stream = open_stream(folder)
        try:
            assert stream.recovery.torn_bytes == len(torn) - sound_end, cut
            assert stream.recovery.damage == (), cut
            # Without the last batch's header nothing tells that the one before it is durable.
            is_header_whole = torn[start : start + 32] == files[name][start : start + 32]
            assert stream.recovery.copied == (survived if is_header_whole else 1)
            assert [item.is_loss for item in reported] == [False] * (sound_end < len(torn))
            assert sum(item.length for item in reported) == len(torn) - sound_end
            if sound_end < len(torn):
                assert stream.recovery.cut_files == (f"{name}.cut",)
                assert (folder / f"{name}.cut").read_bytes() == torn[sound_end:]
            else:
                assert stream.recovery.cut_files == ()
            assert labels_of(stream) == expected, cut
            placed = stream.append([new_frame("after")])
            assert [item.seq for item in placed] == [max(expected) + 1]
        finally:
            stream.close()
        again = open_stream(folder)
        assert labels_of(again) == expected | {max(expected) + 1: "after"}, cut
        assert again.recovery.torn_bytes == 0
        again.close()


def test_a_torn_mark_loses_nothing(ram_path: Path) -> None:
    files = folder_of_a_dead_process(ram_path / "made", is_last_batch_marked=True)
    (name,) = segments_of(files)
    whole = len(files[name])
    folder = ram_path / "torn"
    for cut in range(whole - 32, whole):
        restore(folder, {name: files[name][:cut]})
        stream = open_stream(folder)
        assert labels_of(stream) == ACKNOWLEDGED | LAST
        assert stream.recovery.damage == ()
        assert stream.recovery.torn_bytes == cut - (whole - 32)
        stream.close()


def test_the_first_batch_of_a_segment_can_be_torn_too(ram_path: Path) -> None:
    disk = FailingDisk(RealDisk())
    stream = open_stream(ram_path / "made", disk)
    stream.append([new_frame("only")])
    disk.abandon()
    files = snapshot(ram_path / "made")
    (name,) = segments_of(files)
    folder = ram_path / "torn"
    for cut in range(232, len(files[name])):
        restore(folder, {name: files[name][:cut]})
        stream = open_stream(folder)
        assert labels_of(stream) == {}
        assert stream.next_seq == 1
        assert stream.recovery.torn_bytes == cut - 232
        stream.close()


def test_frames_behind_a_torn_one_are_not_kept(ram_path: Path) -> None:
    # They may be from a write that never ended; a gap would break the numbering.
    files = folder_of_a_dead_process(ram_path / "made", is_last_batch_marked=False)
    (name,) = segments_of(files)
    middle = len(files[name]) - BATCH_BYTES + FRAME_ENDS[0] + 5
    data = bytearray(files[name])
    data[middle] ^= 1
    folder = ram_path / "torn"
    restore(folder, {name: bytes(data)})
    stream = open_stream(folder)
    assert labels_of(stream) == ACKNOWLEDGED | {5: "last-1"}
    assert stream.recovery.torn_bytes == BATCH_BYTES - FRAME_ENDS[0]
    assert not any(isinstance(item, Damage) for item in stream.scan())
    stream.close()
