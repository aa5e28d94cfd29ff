"""Room is taken before a batch is written: a full disk is met before anything is in doubt."""

import errno
import os
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


class Unwilling(FailingDisk):
    """A disk that, once it is full, fails a call besides."""

    def __init__(self, inner: RealDisk, name: str) -> None:
        super().__init__(inner)
        self.name = name
        self.is_full = False

    @override
    def create(self, path: Path) -> File:
        return UnwillingFile(super().create(path), self)


class UnwillingFile:
    def __init__(self, inner: File, disk: Unwilling) -> None:
        self._inner = inner
        self._disk = disk
        self.read_at = inner.read_at
        self.size = inner.size
        self.reserve = inner.reserve
        self.close = inner.close

    def write_at(self, offset: int, data: bytes) -> None:
        self._fail("write_at", errno.ENOSPC)
        self._inner.write_at(offset, data)

    def truncate(self, size: int) -> None:
        self._fail("truncate", errno.EIO)
        self._inner.truncate(size)

    def datasync(self) -> None:
        self._fail("datasync", errno.EIO)
        self._inner.datasync()

    def _fail(self, name: str, error: int) -> None:
        if self._disk.is_full and name in {"write_at", self._disk.name}:
            raise OSError(error, os.strerror(error))


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


NO_ROOM = pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])


@NO_ROOM
@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize("ahead", [0, 300])
def test_a_write_that_finds_no_room_is_taken_back_and_fences_nothing(
    tmp_path: Path, error: int, effect: Effect, ahead: int
) -> None:
    disk = FailingDisk(RealDisk())
    stream = opened(tmp_path / "s", disk, ahead)
    stream.append([new_frame("1", 100)])
    before = snapshot(tmp_path / "s")
    disk.fail_next(1, error=error, effect=effect)
    with pytest.raises(FullError, match=r"expected room for \d+ bytes"):
        stream.append([new_frame("2", 100)])
    assert snapshot(tmp_path / "s") == before
    assert not stream.is_fenced
    stream.append([new_frame("3", 90)])
    assert labels_of(stream) == {1: "1", 2: "3"}
    disk.abandon()
    again = opened(tmp_path / "s", FailingDisk(RealDisk()))
    assert (labels_of(again), again.recovery.torn_bytes) == ({1: "1", 2: "3"}, 0)
    again.close()


@pytest.mark.parametrize("name", ["truncate", "datasync"])
def test_a_write_that_cannot_be_taken_back_fences(tmp_path: Path, name: str) -> None:
    disk = Unwilling(RealDisk(), name)
    stream = opened(tmp_path / "s", disk, 0)
    stream.append([new_frame("1")])
    disk.is_full = True
    with pytest.raises(DurabilityError) as raised:
        stream.append([new_frame("2")])
    assert not isinstance(raised.value, FullError)
    assert stream.is_fenced
    disk.is_full = False
    stream.reopen()
    assert labels_of(stream) == {1: "1"}
    stream.close()
    disk.abandon()


@NO_ROOM
@pytest.mark.parametrize("call", range(1, 7))
def test_no_room_for_a_fresh_segment_leaves_the_stream_as_it_is(
    tmp_path: Path, error: int, call: int
) -> None:
    disk = FailingDisk(RealDisk())
    stream = opened(tmp_path / "s", disk, 0)
    stream.append([new_frame("1", 280)])
    stream.append([new_frame("2", 280)])
    disk.fail_next(call, error=error, effect=Effect.PART)
    calls = len(disk.calls)
    try:
        stream.append([new_frame("3", 280)])
    except FullError:
        assert not stream.is_fenced
        assert disk.calls[calls + call - 1].name in {"write_at", "create", "datasync"}
        stream.append([new_frame("3", 280)])
    except DurabilityError:  # a name that may or may not be there, or a sync of what counts
        assert disk.calls[calls + call - 1].name in {"datasync", "rename", "sync_dir"}
        stream.reopen()
        stream.append([new_frame("3", 280)])
    assert labels_of(stream) == {1: "1", 2: "2", 3: "3"}
    stream.close()
    assert not list((tmp_path / "s").glob("*.new"))


def test_whether_there_is_room_again_is_tried_where_it_cannot_be_reserved(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk())
    stream = opened(tmp_path / "s", disk, 0)
    stream.append([new_frame("1")])
    for _ in range(2):
        disk.fail_next(1, error=errno.ENOSPC, effect=Effect.PART)
        with pytest.raises(FullError):
            stream.append([new_frame("2")])
        before = snapshot(tmp_path / "s")
        disk.fail_next(1, error=errno.ENOSPC, effect=Effect.PART)
        assert not stream.finds_room(100, spare=100)
        assert stream.finds_room(100, spare=100)
        assert snapshot(tmp_path / "s") == before
    stream.append([new_frame("2")])
    assert labels_of(stream) == {1: "1", 2: "2"}
    stream.close()


def test_a_stream_is_closed_on_a_full_disk_and_everything_is_there(tmp_path: Path) -> None:
    for call in range(1, 4):
        folder = tmp_path / str(call)
        disk = FailingDisk(RealDisk())
        stream = opened(folder, disk, 0)
        stream.append([new_frame("1")])
        disk.fail_next(call, error=errno.ENOSPC, effect=Effect.PART)
        if call == 2:
            with pytest.raises(DurabilityError):
                stream.close()
        else:
            stream.close()
        again = opened(folder, FailingDisk(RealDisk()))
        assert labels_of(again) == {1: "1"}
        again.close()


def test_an_opening_that_finds_no_room_says_for_what_and_what_to_do(tmp_path: Path) -> None:
    stream = opened(tmp_path / "s", FailingDisk(RealDisk()))
    stream.append([new_frame("1")])
    stream.close()
    disk = FailingDisk(RealDisk())
    probe = opened(tmp_path / "s", disk)
    calls = [call.name for call in disk.calls]
    probe.close()
    for name in ("create", "write_at"):
        disk = FailingDisk(
            RealDisk(), fail_at=1 + calls.index(name), error=errno.ENOSPC, effect=Effect.NONE
        )
        with pytest.raises(
            DurabilityError,
            match=r"room for a fresh segment of \d+ bytes, got No space left on device:"
            r" opening writes one; free some room first",
        ):
            opened(tmp_path / "s", disk)
        disk.abandon()
    disk = FailingDisk(RealDisk(), fail_at=1 + calls.index("lock"), error=errno.ENOSPC)
    with pytest.raises(DurabilityError, match="No space left on device: free some room first"):
        opened(tmp_path / "s", disk)
