"""Replace a file whole: after a crash the old one or the new one stands under its name, no part.

A new file gets its mode before its first byte and its name after its last is durable; the name is
durable when its folder is. What is needed of a disk is a part of the write-ahead log's port, so
that both stand on the same one where they are together.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from fractal_lba.command.denied import user

_FILE_MODE: Final = 0o600


class NewFile(Protocol):
    """A file that is being made."""

    def write_at(self, offset: int, data: bytes) -> None:
        """Write all of ``data``."""
        ...

    def datasync(self) -> None:
        """Make the bytes written so far durable."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class Files(Protocol):
    """Where files are replaced; see ``fractal_lba.wal.Disk``."""

    def create(self, path: Path) -> NewFile:
        """Make a new file that only its owner can read; ``FileExistsError`` when there is one."""
        ...

    def rename(self, old: Path, new: Path) -> None:
        """Give a file a new name in one step, in place of what had it."""
        ...

    def unlink(self, path: Path) -> None:
        """Remove a name."""
        ...

    def sync_dir(self, folder: Path) -> None:
        """Make the names in a folder durable."""
        ...


class _SystemFile:
    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)

    def write_at(self, offset: int, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self._handle, rest, offset)
            offset += written
            rest = rest[written:]

    def datasync(self) -> None:
        os.fsync(self._handle)

    def close(self) -> None:
        os.close(self._handle)


class SystemFiles:
    """The operating system's."""

    def create(self, path: Path) -> NewFile:
        """See ``Files``."""
        return _SystemFile(path)

    def rename(self, old: Path, new: Path) -> None:
        """See ``Files``."""
        old.replace(new)

    def unlink(self, path: Path) -> None:
        """See ``Files``."""
        path.unlink()

    def sync_dir(self, folder: Path) -> None:
        """See ``Files``."""
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_private(path: Path, data: bytes, *, files: Files | None = None) -> None:
    """Write a file that only its owner can read, replacing what stood there.

    Owner and group stay those of the file that is replaced: a server whose ring root extends can
    still read it. A crash may leave ``.NAME.`` and 16 hex digits beside it, of the same mode, which
    nothing reads.

    Args:
        path: Of the file.
        data: All it is to hold.
        files: Where it is; by default the operating system's files.

    Raises:
        OSError: Before the new name: the old file, or none, still stands, and the temporary one is
            removed where the disk lets that be done. Else the new one stands, and may be gone again
            after a power loss.
    """
    files = files or SystemFiles()
    try:
        old = path.stat()
    except FileNotFoundError:
        old = None
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    file = files.create(temporary)
    try:
        try:
            if old is not None:
                _keep_owner(temporary, old)
            file.write_at(0, data)
            file.datasync()
        finally:
            file.close()
        files.rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            files.unlink(temporary)
        raise
    files.sync_dir(path.parent)


def _keep_owner(path: Path, old: os.stat_result) -> None:
    new = path.stat()
    if (new.st_uid, new.st_gid) == (old.st_uid, old.st_gid):
        return
    try:
        os.chown(path, old.st_uid, old.st_gid, follow_symlinks=False)
    except OSError as error:
        raise type(error)(
            error.errno,
            f"its owner ({user(old.st_uid)}, gid {old.st_gid}) cannot be kept by"
            f" {user(os.geteuid())}: run it as that user or as root",
        ) from error
