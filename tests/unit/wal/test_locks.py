import errno
import os
from pathlib import Path

import pytest
from tests.support.failing_disk import FailingDisk

from fractal_lba.protocol.errors import DurabilityError, LockedError
from fractal_lba.wal import RealDisk, lock_folder
from fractal_lba.wal.disk import Lock


def test_a_lock_is_given_back_once(tmp_path: Path) -> None:
    lock = lock_folder(RealDisk(), tmp_path)
    lock.release()
    again = lock_folder(RealDisk(), tmp_path)
    lock.release()
    with pytest.raises(LockedError):
        lock_folder(RealDisk(), tmp_path)
    again.release()


def test_the_holder_is_named(tmp_path: Path) -> None:
    lock = lock_folder(RealDisk(), tmp_path, "stream s")
    with pytest.raises(
        LockedError, match=f"^stream s: expected no other process, got pid {os.getpid()}$"
    ):
        lock_folder(RealDisk(), tmp_path, "stream s")
    (tmp_path / ".lock").write_bytes(b"")
    with pytest.raises(LockedError, match=r"got one that starts now$"):
        lock_folder(RealDisk(), tmp_path)
    lock.release()


@pytest.mark.parametrize("call", [2, 3, 4])
def test_a_holder_whose_note_cannot_be_read_still_holds(tmp_path: Path, call: int) -> None:
    lock = lock_folder(RealDisk(), tmp_path)
    with pytest.raises(LockedError, match=r"got one that cannot be named$"):
        lock_folder(FailingDisk(RealDisk(), fail_at=call), tmp_path)
    lock.release()


def test_a_lock_that_cannot_be_had_is_not_somebody_elses(tmp_path: Path) -> None:
    with pytest.raises(DurabilityError, match="expected a lock, got Input/output error") as failed:
        lock_folder(FailingDisk(RealDisk(), fail_at=1), tmp_path)
    assert not isinstance(failed.value, LockedError)
    with pytest.raises(DurabilityError, match="expected a lock, got No such file"):
        lock_folder(RealDisk(), tmp_path / "missing")


def test_a_release_that_fails_frees_the_folder_all_the_same(tmp_path: Path) -> None:
    lock = lock_folder(FailingDisk(RealDisk(), fail_at=2), tmp_path)
    with pytest.raises(DurabilityError, match=f"^lock of {tmp_path.name}: "):
        lock.release()
    lock_folder(RealDisk(), tmp_path).release()


def test_a_folder_of_another_user_is_named_with_its_owner_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Lock:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(RealDisk, "lock", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    with pytest.raises(DurabilityError) as failed:
        lock_folder(RealDisk(), tmp_path)
    message = str(failed.value)
    assert message.startswith(
        f"data folder {tmp_path}: expected a lock, got Permission denied: runs as uid 54321, "
    )
    assert f"uid {tmp_path.stat().st_uid})" in message
    assert message.endswith("; run it as that user, or give the folder and all in it to this one")
