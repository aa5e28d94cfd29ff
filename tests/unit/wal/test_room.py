"""Room is taken before a batch is written: a full disk is met before anything is in doubt."""

import errno
from pathlib import Path

import pytest
from tests.support.failing_disk import Effect, FailingDisk
from tests.support.wal_streams import (
    FRAME_BYTES_MAX,
    NAME,
    SEGMENT_BYTES_MAX,
    labels_of,
    new_frame,
    segments_of,
    snapshot,
)
from typing_extensions import override

from fractal_lba.protocol.errors import DurabilityError, FullError
from fractal_lba.wal import File, RealDisk, Stream


class Small(FailingDisk):
    """A disk with so many bytes of room for each file; ``None``: it cannot reserve."""

    room: int | None = 1 << 30

    @override
    def create(self, path: Path) -> File:
        return SmallFile(super().create(path), self)


class SmallFile:
    def __init__(self, inner: File, disk: Small) -> None:
        self._disk = disk
        self.read_at = inner.read_at
        self.write_at = inner.write_at
        self.size = inner.size
        self.truncate = inner.truncate
        self.datasync = inner.datasync
        self.close = inner.close
        self.asked: list[int] = []

    def reserve(self, offset: int, size: int) -> bool:
        self.asked.append(size)
        if self._disk.room is not None and offset + size > self._disk.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._disk.room is not None


def opened(folder: Path, disk: FailingDisk, ahead: int = 300) -> Stream:
    return Stream.open(
        disk,
        folder,
        NAME,
        segment_bytes_max=SEGMENT_BYTES_MAX,
        frame_bytes_max=FRAME_BYTES_MAX,
        reserve_bytes=ahead,
    )


def test_a_full_disk_is_met_before_a_batch_and_fences_nothing(tmp_path: Path) -> None:
    disk = Small(RealDisk())
    stream = opened(tmp_path / "s", disk)
    disk.room = 580
    stream.append([new_frame("1", 100)])
    before = snapshot(tmp_path / "s")
    for _ in range(3):
        with pytest.raises(FullError, match="expected room for 191 bytes, got a full disk"):
            stream.append([new_frame("2", 124)])
    assert snapshot(tmp_path / "s") == before
    assert not stream.is_fenced
    stream.mark()  # had its room before
    stream.append([new_frame("2", 1)])  # and what is small finds some
    disk.room = 1 << 30
    stream.append([new_frame("3", 300)])
    assert labels_of(stream) == {1: "1", 2: "2", 3: "3"}
    stream.close()
    disk.abandon()


def test_room_is_asked_for_once_in_a_while(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk())
    stream = opened(tmp_path / "s", disk)
    for label in "abcdef":
        stream.append([new_frame(label)])
    asked = [call for call in disk.calls if call.name == "reserve"]
    assert 1 <= len(asked) <= 3
    stream.close()


def test_what_was_taken_beyond_its_end_a_sealed_segment_gives_back(tmp_path: Path) -> None:
    disk = RealDisk()
    stream = Stream.open(disk, tmp_path / "s", NAME, reserve_bytes=1 << 20)
    stream.append([new_frame("1")])
    stream.close()
    name, _ = segments_of(snapshot(tmp_path / "s"))
    assert (tmp_path / "s" / name).stat().st_blocks * 512 < 1 << 16


def test_where_nothing_can_be_reserved_writing_goes_on(tmp_path: Path) -> None:
    disk = Small(RealDisk())
    disk.room = None
    stream = opened(tmp_path / "s", disk)
    for label in "abc":
        stream.append([new_frame(label)])
    assert labels_of(stream) == {1: "a", 2: "b", 3: "c"}
    stream.close()
    disk.abandon()


def test_a_disk_that_fails_to_reserve_is_a_failure(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk())
    stream = opened(tmp_path / "s", disk)
    disk.fail_next(1, error=errno.EIO, effect=Effect.NONE)
    with pytest.raises(DurabilityError) as raised:
        stream.append([new_frame("1")])
    assert not isinstance(raised.value, FullError)
    assert stream.is_fenced
    stream.reopen()
    stream.append([new_frame("2")])
    assert labels_of(stream) == {1: "2"}
    stream.close()
