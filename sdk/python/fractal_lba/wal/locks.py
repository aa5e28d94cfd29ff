"""Locks: one process for each data folder and for each stream; a second one is told who has it.

The lock is the kernel's (``flock``): it ends with the process, whatever ended that, so that no one
ever has to remove a stale one. The file itself is never removed.
"""

import os
from pathlib import Path
from typing import Final

from fractal_lba.command.denied import denied
from fractal_lba.protocol.errors import DurabilityError, LockedError
from fractal_lba.wal.disk import NO_ROOM, Disk, Lock
from fractal_lba.wal.folder import io_errors

LOCK_NAME: Final = ".lock"
_NOTE_BYTES_MAX: Final = 512


class FolderLock:
    """A folder that is held until ``release``."""

    __slots__ = ("_lock", "folder")

    def __init__(self, lock: Lock, folder: Path) -> None:
        self._lock: Lock | None = lock
        self.folder: Final = folder

    def check(self) -> None:
        """Check that no other process can have locked the folder since.

        Raises:
            DurabilityError: The lock's file was removed or replaced: whoever came then has the
                folder. Or the disk failed.
        """
        name = self.folder.name
        with io_errors(f"lock of {name}"):
            if self._lock is None or not self._lock.is_held():
                raise DurabilityError(f"lock of {name}: expected its file, got none or another")

    def release(self) -> None:
        """Let the next process have the folder. Idempotent.

        Raises:
            DurabilityError: The disk failed; the folder is free all the same.
        """
        lock, self._lock = self._lock, None
        if lock is not None:
            with io_errors(f"lock of {self.folder.name}"):
                lock.release()


def lock_folder(disk: Disk, folder: Path, what: str | None = None) -> FolderLock:
    """Hold a folder that exists for this process.

    Args:
        disk: Where it is.
        folder: To lock.
        what: Its name in the message another process gets; by default ``data folder PATH``.

    Raises:
        LockedError: Another process holds it; the message names the folder and that process.
        DurabilityError: The lock file cannot be made or written; nothing is held.
    """
    named = what or f"data folder {folder}"
    path = folder / LOCK_NAME
    note = f"pid {os.getpid()}".encode()
    try:
        return FolderLock(disk.lock(path, note), folder)
    except BlockingIOError as error:
        raise LockedError(
            f"{named}: expected no other process, got {_holder(disk, path)}"
        ) from error
    except OSError as error:
        said = denied(error, path, folder)
        if isinstance(error, PermissionError):
            said += "; run it as that user, or give the folder and all in it to this one"
        elif error.errno in NO_ROOM:
            said += ": free some room first"
        raise DurabilityError(f"{named}: expected a lock, got {said}") from error


def _holder(disk: Disk, path: Path) -> str:
    try:
        file = disk.open(path)
        try:
            note = file.read_at(0, _NOTE_BYTES_MAX)
        finally:
            file.close()
    except OSError:
        return "one that cannot be named"
    return note.decode(errors="replace") or "one that starts now"
