"""The disk as the write-ahead log sees it: a port, and the real one.

Every call that may fail raises ``OSError`` and says nothing about what it left behind: after a
failed write or sync the state of the bytes is unknown, and the caller must not go on as if the call
had not been made. A new name is durable only after its folder's ``sync_dir``.
"""

import ctypes
import errno
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, cast

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
"""Bodies are their senders' alone."""

_FALLOC_FL_KEEP_SIZE: Final = 1
NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)
"""What a disk says that is full, or a quota."""
_CANNOT_RESERVE: Final = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What a file system says that has no such call."""


def _fallocate() -> Callable[[int, int, int, int], int] | None:
    """Return the system call; ``os.posix_fallocate`` would change a file's length."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "fallocate64", None)
    if function is None:
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    function.restype = ctypes.c_int
    return cast("Callable[[int, int, int, int], int]", function)


_FALLOCATE: Final = _fallocate()


class File(Protocol):
    """An open file."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes from ``offset`` on, fewer only where the file ends."""
        ...

    def write_at(self, offset: int, data: bytes) -> None:
        """Write all of ``data``; a failure may have written any part of it."""
        ...

    def size(self) -> int:
        """Return the file's length in bytes."""
        ...

    def truncate(self, size: int) -> None:
        """Cut the file to ``size`` bytes."""
        ...

    def reserve(self, offset: int, size: int) -> bool:
        """Take blocks for so many bytes from ``offset`` on, so that writing them finds room.

        The file's length and its bytes stay as they are, whatever comes of it. ``OSError`` with
        ``ENOSPC`` or ``EDQUOT`` where there is no room.

        Returns:
            Whether the file system can do that at all.
        """
        ...

    def datasync(self) -> None:
        """Make the bytes written so far durable."""
        ...

    def close(self) -> None:
        """Close the file; what was not synced may be lost."""
        ...


class Lock(Protocol):
    """A lock that is held."""

    def is_held(self) -> bool:
        """Tell whether its name still leads to what is locked: nobody removed or replaced it."""
        ...

    def release(self) -> None:
        """Let the next one have it."""
        ...


class Disk(Protocol):
    """Files and folders."""

    def create(self, path: Path) -> File:
        """Make a new file and open it; ``FileExistsError`` when the name is taken."""
        ...

    def open(self, path: Path, *, is_writable: bool = False) -> File:
        """Open a file that exists."""
        ...

    def rename(self, old: Path, new: Path) -> None:
        """Give a file a new name in one step, in place of what had it."""
        ...

    def unlink(self, path: Path) -> None:
        """Remove a name."""
        ...

    def names(self, folder: Path) -> list[str]:
        """Return the names in a folder, sorted."""
        ...

    def is_folder(self, path: Path) -> bool:
        """Return whether a folder of that name exists."""
        ...

    def mkdir(self, path: Path) -> None:
        """Make one folder; one that exists is left as it is."""
        ...

    def sync_dir(self, folder: Path) -> None:
        """Make the names in a folder durable."""
        ...

    def lock(self, path: Path, note: bytes) -> Lock:
        """Lock a file, made when missing, and leave ``note`` in it.

        Raises:
            BlockingIOError: Another holds it; its note stands in the file.
        """
        ...

    def stamp(self) -> tuple[int, bytes]:
        """Return the time in ns since 1970 and 16 random bytes, for a new segment."""
        ...


class RealFile:
    """A file of the operating system."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read_at(self, offset: int, size: int) -> bytes:
        """See ``File``."""
        parts = []
        while size > 0 and (part := os.pread(self._fd, size, offset)):
            parts.append(part)
            offset += len(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write_at(self, offset: int, data: bytes) -> None:
        """See ``File``."""
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self._fd, rest, offset)
            offset += written
            rest = rest[written:]

    def size(self) -> int:
        """See ``File``."""
        return os.fstat(self._fd).st_size

    def truncate(self, size: int) -> None:
        """See ``File``."""
        os.ftruncate(self._fd, size)

    def reserve(self, offset: int, size: int) -> bool:
        """See ``File``. Only Linux takes blocks beyond a file's length."""
        if _FALLOCATE is None:
            return False
        if _FALLOCATE(self._fd, _FALLOC_FL_KEEP_SIZE, offset, size) == 0:
            return True
        error = ctypes.get_errno()
        if error in _CANNOT_RESERVE:
            return False
        raise OSError(error, os.strerror(error))

    def datasync(self) -> None:
        """See ``File``. The length counts as data to ``fdatasync``; times do not."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """See ``File``. Idempotent: the number may be another file's by now."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class RealLock:
    """An ``flock``, which ends with the process that holds it."""

    __slots__ = ("_fd", "_locked", "_path")

    def __init__(self, fd: int, path: Path) -> None:
        self._fd = fd
        self._path = path
        self._locked = os.fstat(fd)

    def is_held(self) -> bool:
        """See ``Lock``."""
        try:
            named = os.lstat(self._path)
        except FileNotFoundError:
            return False
        return os.path.samestat(named, self._locked)

    def release(self) -> None:
        """See ``Lock``. The file stays: removing it would let two processes lock two files."""
        os.close(self._fd)


class RealDisk:
    """The operating system's files.

    A symbolic link in a file's place is refused, as ``ELOOP``: it leads to bytes of somebody else,
    which recovery would cut. A folder may be one.
    """

    def create(self, path: Path) -> File:
        """See ``Disk``."""
        return RealFile(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE))

    def open(self, path: Path, *, is_writable: bool = False) -> File:
        """See ``Disk``."""
        return RealFile(os.open(path, (os.O_RDWR if is_writable else os.O_RDONLY) | os.O_NOFOLLOW))

    def rename(self, old: Path, new: Path) -> None:
        """See ``Disk``."""
        old.rename(new)

    def unlink(self, path: Path) -> None:
        """See ``Disk``."""
        path.unlink()

    def names(self, folder: Path) -> list[str]:
        """See ``Disk``."""
        return sorted(path.name for path in folder.iterdir())

    def is_folder(self, path: Path) -> bool:
        """See ``Disk``."""
        return path.is_dir()

    def mkdir(self, path: Path) -> None:
        """See ``Disk``."""
        path.mkdir(mode=FOLDER_MODE, exist_ok=True)

    def sync_dir(self, folder: Path) -> None:
        """See ``Disk``."""
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def lock(self, path: Path, note: bytes) -> Lock:
        """See ``Disk``."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(fd, 0)
            os.pwrite(fd, note, 0)
        except BaseException:
            os.close(fd)
            raise
        return RealLock(fd, path)

    def stamp(self) -> tuple[int, bytes]:
        """See ``Disk``."""
        return time.time_ns(), os.urandom(16)
