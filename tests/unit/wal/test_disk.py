"""What every disk must do: the real one, the one in memory, and the failing one between faults."""

import ctypes
import errno
import os
import random
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.failing_disk import FailingDisk
from tests.support.memory_disk import MemoryDisk

from fractal_lba.wal import Disk, RealDisk
from fractal_lba.wal import disk as disk_module
from fractal_lba.wal.disk import RealFile

Make = Callable[[], Disk]
"""Gives another process's way to the same disk."""

REAL = ["real", "failing"]
IN_MEMORY = ["memory", "failing in memory"]
on_the_real_one = pytest.mark.parametrize("make", REAL, indirect=True)
on_every_one = pytest.mark.parametrize("make", [*REAL, *IN_MEMORY], indirect=True)


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    memory = MemoryDisk(tmp_path, random.Random(1))  # noqa: S311 - no secret
    makes: dict[str, Make] = {
        "real": RealDisk,
        "failing": lambda: FailingDisk(RealDisk(), is_syncing=True),
        "memory": lambda: memory,
        "failing in memory": lambda: FailingDisk(memory, is_syncing=True),
    }
    return makes[request.param]


@on_every_one
def test_what_is_written_is_read_back(tmp_path: Path, make: Make) -> None:
    file = make().create(tmp_path / "f")
    file.write_at(0, b"one two")
    file.write_at(4, b"2")
    file.write_at(9, b"far")
    file.datasync()
    assert file.size() == 12
    assert file.read_at(0, 100) == b"one 2wo\0\0far"
    assert file.read_at(4, 1) == b"2"
    assert file.read_at(12, 5) == b""
    file.truncate(3)
    assert file.read_at(0, 100) == b"one"
    file.close()
    again = make().open(tmp_path / "f")
    assert again.read_at(1, 1) == b"n"
    again.close()


@on_the_real_one
def test_a_new_file_is_its_owners_alone(tmp_path: Path, make: Make) -> None:
    disk = make()
    disk.create(tmp_path / "f").close()
    disk.mkdir(tmp_path / "d")
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o700


@on_every_one
def test_a_name_is_taken_once(tmp_path: Path, make: Make) -> None:
    disk = make()
    disk.create(tmp_path / "f").close()
    with pytest.raises(FileExistsError):
        disk.create(tmp_path / "f")


@on_every_one
def test_a_file_opened_to_be_read_cannot_be_written(tmp_path: Path, make: Make) -> None:
    disk = make()
    disk.create(tmp_path / "f").close()
    file = disk.open(tmp_path / "f")
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.write_at(0, b"x")
    file.close()
    file = disk.open(tmp_path / "f", is_writable=True)
    file.write_at(0, b"x")
    file.close()


@on_every_one
def test_a_file_can_be_closed_twice(tmp_path: Path, make: Make) -> None:
    # Its number may be another file's by then.
    disk = make()
    file = disk.create(tmp_path / "f")
    file.close()
    other = disk.create(tmp_path / "g")
    file.close()
    other.write_at(0, b"still open")
    other.close()


@on_every_one
def test_names_come_sorted_and_go(tmp_path: Path, make: Make) -> None:
    disk = make()
    for name in ("b", "a", "c"):
        disk.create(tmp_path / name).close()
    disk.rename(tmp_path / "a", tmp_path / "d")
    disk.rename(tmp_path / "b", tmp_path / "c")
    assert disk.names(tmp_path) == ["c", "d"]
    disk.unlink(tmp_path / "c")
    disk.sync_dir(tmp_path)
    assert disk.names(tmp_path) == ["d"]


@on_every_one
def test_a_folder_can_be_made_again(tmp_path: Path, make: Make) -> None:
    disk = make()
    assert not disk.is_folder(tmp_path / "d")
    disk.mkdir(tmp_path / "d")
    disk.mkdir(tmp_path / "d")
    assert disk.is_folder(tmp_path / "d")
    with pytest.raises(FileNotFoundError):
        disk.mkdir(tmp_path / "x" / "y")


@on_every_one
def test_what_is_missing_is_an_error(tmp_path: Path, make: Make) -> None:
    disk = make()
    for act in (
        lambda: disk.open(tmp_path / "f"),
        lambda: disk.unlink(tmp_path / "f"),
        lambda: disk.rename(tmp_path / "f", tmp_path / "g"),
        lambda: disk.names(tmp_path / "d"),
        lambda: disk.sync_dir(tmp_path / "d"),
        lambda: disk.lock(tmp_path / "d" / "lock", b""),
    ):
        with pytest.raises(FileNotFoundError):
            act()


@on_every_one
def test_a_lock_is_held_by_one_and_says_by_whom(tmp_path: Path, make: Make) -> None:
    disk = make()
    lock = disk.lock(tmp_path / "lock", b"the first holder")
    with pytest.raises(BlockingIOError):
        make().lock(tmp_path / "lock", b"second")
    assert content(disk, tmp_path / "lock") == b"the first holder"
    lock.release()
    lock = make().lock(tmp_path / "lock", b"second")
    assert content(disk, tmp_path / "lock") == b"second"
    lock.release()


def content(disk: Disk, path: Path) -> bytes:
    file = disk.open(path)
    try:
        return file.read_at(0, file.size())
    finally:
        file.close()


@on_every_one
def test_a_file_that_was_renamed_or_removed_goes_on_for_who_has_it_open(
    tmp_path: Path, make: Make
) -> None:
    disk = make()
    file = disk.create(tmp_path / "f.new")
    file.write_at(0, b"one")
    disk.rename(tmp_path / "f.new", tmp_path / "f")
    file.write_at(3, b" two")
    assert content(disk, tmp_path / "f") == b"one two"
    disk.create(tmp_path / "g.new").close()
    disk.rename(tmp_path / "g.new", tmp_path / "f")
    file.write_at(7, b" three")
    assert file.read_at(0, 100) == b"one two three"
    assert content(disk, tmp_path / "f") == b""
    disk.unlink(tmp_path / "f")
    assert file.size() == 13
    file.close()


@on_every_one
def test_a_longer_length_is_zeros(tmp_path: Path, make: Make) -> None:
    file = make().create(tmp_path / "f")
    file.write_at(0, b"one")
    file.truncate(5)
    assert file.read_at(0, 100) == b"one\0\0"
    file.write_at(9, b"")
    assert file.size() == 5
    file.close()


@on_every_one
def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path: Path, make: Make) -> None:
    disk = make()
    disk.mkdir(tmp_path / "d")
    disk.create(tmp_path / "f").close()
    assert not disk.is_folder(tmp_path / "f")
    for act in (
        lambda: disk.open(tmp_path / "d", is_writable=True),
        lambda: disk.names(tmp_path / "f"),
        lambda: disk.create(tmp_path / "f" / "g"),
        lambda: disk.unlink(tmp_path / "d"),
    ):
        with pytest.raises((IsADirectoryError, NotADirectoryError)):
            act()


@on_every_one
def test_stamps_differ(make: Make) -> None:
    (at, one), (later, other) = make().stamp(), make().stamp()
    assert len(one) == len(other) == 16
    assert one != other
    assert 0 < at <= later


@on_the_real_one
def test_short_reads_and_writes_are_continued(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, read = os.pwrite, os.pread
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: write(fd, data[:3], offset))
    monkeypatch.setattr(os, "pread", lambda fd, size, offset: read(fd, min(size, 2), offset))
    file = make().create(tmp_path / "f")
    file.write_at(1, b"0123456789")
    assert file.read_at(1, 7) == b"0123456"
    assert file.read_at(4, 100) == b"3456789"
    file.close()


@on_the_real_one
def test_syncs_reach_the_operating_system(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fdatasync", lambda _: synced.append("file"))
    monkeypatch.setattr(os, "fsync", lambda _: synced.append("folder"))
    disk = make()
    file = disk.create(tmp_path / "f")
    file.datasync()
    assert synced == ["file"]
    disk.sync_dir(tmp_path)
    assert synced == ["file", "folder"]
    file.close()


@on_the_real_one
def test_a_failed_lock_note_leaves_the_lock_free(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space left"):
            make().lock(tmp_path / "lock", b"note")
    make().lock(tmp_path / "lock", b"note").release()


@on_the_real_one
def test_a_real_file_is_behind_both(tmp_path: Path, make: Make) -> None:
    file = make().create(tmp_path / "f")
    assert isinstance(getattr(file, "_inner", file), RealFile)
    file.close()


def test_room_is_taken_and_neither_length_nor_bytes_change(tmp_path: Path) -> None:
    path = tmp_path / "file"
    file = RealDisk().create(path)
    file.write_at(0, b"bytes")
    before = path.stat()
    can_reserve = file.reserve(5, 1 << 20)
    after = path.stat()
    assert (after.st_size, path.read_bytes()) == (before.st_size, b"bytes")
    assert (after.st_blocks > before.st_blocks) == can_reserve
    file.truncate(5)
    file.close()
    assert path.stat().st_blocks <= before.st_blocks + 8
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.reserve(0, 1)


@pytest.mark.parametrize("says", [errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
def test_a_file_system_that_cannot_take_room_is_told_from_one_that_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: int
) -> None:
    answers = [says, errno.ENOSPC]

    def fallocate(*_: int) -> int:
        ctypes.set_errno(answers.pop(0))
        return -1

    monkeypatch.setattr(disk_module, "_FALLOCATE", fallocate)
    file = RealDisk().create(tmp_path / "file")
    assert not file.reserve(0, 1)
    with pytest.raises(OSError, match="No space left"):
        file.reserve(0, 1)
    monkeypatch.setattr(disk_module, "_FALLOCATE", None)
    assert not file.reserve(0, 1)
    file.close()
