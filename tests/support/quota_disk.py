"""A disk with so much room and no more: what it meets when it is full, and what frees it again.

Each file takes what was reserved for it or written to it, whichever is more, and gives it back when
it is cut or removed. Names and folders take nothing.
"""

import errno
import os
from pathlib import Path

from typing_extensions import override

from fractal_lba.wal import File, RealDisk


class QuotaDisk(RealDisk):
    """The operating system's files, of ``capacity`` bytes together."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.taken: dict[Path, int] = {}
        self.refusals = 0

    def take(self, path: Path, until: int) -> None:
        """Let a file take so many bytes.

        Raises:
            OSError: There is no room; it takes what it took before.
        """
        more = max(0, until - self.taken.get(path, 0))
        if more and sum(self.taken.values()) + more > self.capacity:
            self.refusals += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        self.taken[path] = self.taken.get(path, 0) + more

    @override
    def create(self, path: Path) -> File:
        return QuotaFile(super().create(path), self, path)

    @override
    def open(self, path: Path, *, is_writable: bool = False) -> File:
        return QuotaFile(super().open(path, is_writable=is_writable), self, path)

    @override
    def rename(self, old: Path, new: Path) -> None:
        super().rename(old, new)
        self.taken[new] = self.taken.pop(old, 0)

    @override
    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self.taken.pop(path, None)


class QuotaFile:
    """A file of such a disk; one that was renamed goes on under its new name."""

    def __init__(self, inner: File, disk: QuotaDisk, path: Path) -> None:
        self._disk = disk
        self._path = path
        self._inner = inner
        self.read_at = inner.read_at
        self.size = inner.size
        self.datasync = inner.datasync
        self.close = inner.close

    @property
    def _name(self) -> Path:
        renamed = self._path.with_name(self._path.name.removesuffix(".new"))
        return renamed if renamed in self._disk.taken else self._path

    def write_at(self, offset: int, data: bytes) -> None:
        self._disk.take(self._name, offset + len(data))
        self._inner.write_at(offset, data)

    def reserve(self, offset: int, size: int) -> bool:
        self._disk.take(self._name, offset + size)
        return True

    def truncate(self, size: int) -> None:
        self._inner.truncate(size)
        self._disk.taken[self._name] = size
