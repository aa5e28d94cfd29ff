"""The failing disk fails where it says, leaves what it says, and forgets nothing."""

import errno
from pathlib import Path

import pytest
from tests.support.failing_disk import Call, Crash, Effect, FailingDisk

from fractal_lba.wal import RealDisk


def test_exactly_the_nth_call_fails(tmp_path: Path) -> None:
    for n in range(1, 6):
        disk = FailingDisk(RealDisk(), fail_at=n, error=errno.ENOSPC)
        failed = []
        for index in range(1, 6):
            try:
                disk.names(tmp_path)
            except OSError as error:
                failed.append((index, error.errno))
        assert failed == [(n, errno.ENOSPC)]
        assert disk.has_failed


def test_every_kind_of_call_is_counted_and_can_fail(tmp_path: Path) -> None:
    def work(disk: FailingDisk, folder: Path) -> None:
        disk.mkdir(folder)
        disk.is_folder(folder)
        lock = disk.lock(folder / "lock", b"")
        file = disk.create(folder / "f")
        file.write_at(0, b"data")
        file.datasync()
        disk.rename(folder / "f", folder / "g")
        disk.sync_dir(folder)
        file.read_at(0, 1)
        file.size()
        file.truncate(1)
        file.close()
        disk.open(folder / "g").close()
        disk.names(folder)
        disk.unlink(folder / "g")
        lock.release()

    disk = FailingDisk(RealDisk())
    work(disk, tmp_path / "0")
    assert [(call.name, call.path) for call in disk.calls] == [
        *[("mkdir", "0"), ("is_folder", "0"), ("lock", "lock"), ("create", "f")],
        *[("write_at", "f"), ("datasync", "f"), ("rename", "g"), ("sync_dir", "0")],
        *[("read_at", "f"), ("size", "f"), ("truncate", "f"), ("close", "f")],
        *[("open", "g"), ("close", "g"), ("names", "0"), ("unlink", "g"), ("release", "lock")],
    ]
    for n, call in enumerate(disk.calls, start=1):
        failing = FailingDisk(RealDisk(), fail_at=n)
        with pytest.raises(OSError, match="Input/output error"):
            work(failing, tmp_path / str(n))
        assert failing.calls[-1].name == call.name
        assert len(failing.calls) == n
        failing.abandon()


@pytest.mark.parametrize(
    ("effect", "left"), [(Effect.NONE, b""), (Effect.PART, b"ab"), (Effect.WHOLE, b"abcd")]
)
def test_a_failing_write_leaves_what_its_effect_says(
    tmp_path: Path, effect: Effect, left: bytes
) -> None:
    disk = FailingDisk(RealDisk(), fail_at=2, effect=effect)
    file = disk.create(tmp_path / "f")
    with pytest.raises(OSError, match="Input/output"):
        file.write_at(0, b"abcd")
    assert (tmp_path / "f").read_bytes() == left
    file.close()


@pytest.mark.parametrize(("effect", "is_done"), [(Effect.NONE, False), (Effect.WHOLE, True)])
def test_a_failing_rename_may_have_happened(
    tmp_path: Path, effect: Effect, *, is_done: bool
) -> None:
    (tmp_path / "f").write_bytes(b"")
    disk = FailingDisk(RealDisk(), fail_at=1, effect=effect)
    with pytest.raises(OSError, match="Input/output"):
        disk.rename(tmp_path / "f", tmp_path / "g")
    assert (tmp_path / "g").exists() == is_done


def test_what_a_failing_call_took_is_given_back(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    disk = FailingDisk(RealDisk(), fail_at=1, effect=Effect.WHOLE)
    with pytest.raises(OSError, match="Input/output"):
        disk.lock(tmp_path / "lock", b"")
    disk.lock(tmp_path / "lock", b"").release()


def test_a_file_is_closed_and_a_lock_free_even_when_that_fails(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk(), fail_at=3, is_sticky=True)
    file = disk.create(tmp_path / "f")
    lock = disk.lock(tmp_path / "lock", b"")
    with pytest.raises(OSError, match="Input/output"):
        file.close()
    with pytest.raises(OSError, match="Input/output"):
        lock.release()
    RealDisk().lock(tmp_path / "lock", b"").release()
    disk.heal()
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.size()


def test_a_sticky_fault_stays_until_it_is_healed(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk(), fail_at=2, is_sticky=True)
    disk.names(tmp_path)
    for _ in range(3):
        with pytest.raises(OSError, match="Input/output"):
            disk.names(tmp_path)
    disk.heal()
    disk.names(tmp_path)


def test_after_a_crash_every_call_crashes_until_the_process_is_gone(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk(), fail_at=2, error=None)
    lock = disk.lock(tmp_path / "lock", b"")
    with pytest.raises(Crash):
        disk.create(tmp_path / "f")
    with pytest.raises(Crash):
        lock.release()
    assert not (tmp_path / "f").exists()
    disk.abandon()
    disk.lock(tmp_path / "lock", b"").release()


def test_an_abandoned_process_lets_go_of_files_and_locks_without_a_call(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk(), fail_at=4)
    disk.lock(tmp_path / "lock", b"")
    file = disk.create(tmp_path / "f")
    disk.abandon()
    assert len(disk.calls) == 2
    RealDisk().lock(tmp_path / "lock", b"").release()
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.size()
    # A fault that has not struck yet waits for the next process.
    with pytest.raises(OSError, match="Input/output"):
        disk.names(tmp_path)


def test_the_next_fault_can_be_set_from_here(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk())
    disk.names(tmp_path)
    disk.fail_next(2, error=errno.EIO, effect=Effect.NONE)
    disk.names(tmp_path)
    with pytest.raises(OSError, match="Input/output"):
        disk.names(tmp_path)
    disk.names(tmp_path)
    assert disk.calls == [Call("names", tmp_path.name)] * 4
