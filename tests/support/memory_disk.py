"""A disk in memory that knows which of its bytes and names are durable.

Behind the ``Disk`` port it does what the real one does, and is held to the same suite. Beside what
processes see (the page cache) it keeps what is on the platter, and between the two every change
that no sync has made durable yet; ``power_cut`` decides over those.
"""

import errno
import os
import random
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

from tests.support.memory_nodes import (
    PAGE_BYTES,
    Directory,
    Inode,
    Named,
    Removed,
    Resized,
    Written,
    pages_of,
    resize,
    splice,
)

from fractal_lba.wal import Disk, File, Lock

_START_NS: Final = 1_767_225_600_000_000_000
_STALE_MAX: Final = 16


class MemoryDisk:
    """A machine's disk; it outlives the processes that use it.

    Args:
        root: The folder that exists, durable with everything above it.
        chance: Decides what failed syncs leave, and gives stamps.

    Attributes:
        happened: How often each kind of fault came to something.
        capacity: Bytes that its files take together, those set aside included; None: no bound.
        can_reserve: Whether it is a file system that sets room aside.
        is_read_only: A failed sync of a folder lets nothing be changed until the restart.
        stale: What was on the disk and is no longer in a file.
    """

    def __init__(self, root: Path, chance: random.Random) -> None:
        self.root: Final = root
        self.tree: Final = Directory()
        self.happened: Counter[str] = Counter()
        self.stale: deque[bytes] = deque(maxlen=_STALE_MAX)
        self.boot = 0
        self.capacity: int | None = None
        self.can_reserve = True
        self.is_read_only = False
        self._root = root.parts
        self._chance = chance
        self._order = 0
        self._locked: set[Path] = set()
        self._now_ns = _START_NS

    def next_order(self) -> int:
        self._order += 1
        return self._order

    def restart(self) -> None:
        """Begin again with what is on the platter: every file is closed, every lock released."""
        self.boot += 1
        self.is_read_only = False
        self._locked.clear()

    def release(self, path: Path, boot: int) -> None:
        if boot == self.boot:
            self._locked.discard(path)

    def fitting(self, inode: Inode, until: int) -> int:
        """Return up to where a file may take room, ``until`` at the most."""
        more = until - inode.taken
        if self.capacity is None or more <= 0:
            return until
        free = self.capacity - sum(each.taken for each in self._inodes())
        return until if more <= free else inode.taken + max(0, free)

    def no_room(self) -> NoReturn:
        self.happened["no room"] += 1
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def content(self, path: Path) -> bytes:
        """Return what a process would read, without a call."""
        return bytes(self._inode(path).cache)

    def cached(self, path: Path) -> bytearray:
        """Return what processes see of a file, to be changed under them."""
        return self._inode(path).cache

    def put(self, path: Path, data: bytes) -> None:
        """Make a file hold these bytes, durable like everything above it."""
        folder = self.tree
        for part in path.relative_to(self.root).parts[:-1]:
            below = folder.cache.setdefault(part, Directory())
            assert isinstance(below, Directory)
            folder.platter[part] = below
            folder = below
        inode = Inode()
        inode.cache, inode.platter = bytearray(data), bytearray(data)
        folder.cache[path.name] = folder.platter[path.name] = inode

    def files(self, folder: Path) -> dict[str, bytes]:
        """Return the files of a folder, without a call."""
        found = self._directory(folder).cache.items()
        return {name: bytes(node.cache) for name, node in found if isinstance(node, Inode)}

    def durable_files(self) -> Iterator[bytes]:
        """Yield what each file would hold if nothing but what was synced came through a cut."""
        waiting = [self.tree]
        while waiting:
            for node in waiting.pop().platter.values():
                if isinstance(node, Directory):
                    waiting.append(node)
                else:
                    yield bytes(node.platter)

    def _inodes(self) -> Iterator[Inode]:
        waiting = [self.tree]
        while waiting:
            for node in waiting.pop().cache.values():
                if isinstance(node, Directory):
                    waiting.append(node)
                else:
                    yield node

    def create(self, path: Path) -> File:
        self.check_writable(path)
        folder = self._directory(path.parent)
        if path.name in folder.cache:
            _fail(errno.EEXIST, path)
        inode = Inode()
        folder.change(Named(self.next_order(), path.name, inode))
        return MemoryFile(self, inode, is_writable=True)

    def open(self, path: Path, *, is_writable: bool = False) -> File:
        return MemoryFile(self, self._inode(path), is_writable=is_writable)

    def rename(self, old: Path, new: Path) -> None:
        self.check_writable(new)
        assert old.parent == new.parent, "only within a folder"
        folder = self._directory(old.parent)
        node = folder.cache.get(old.name)
        if node is None:
            _fail(errno.ENOENT, old)
        self._forget(folder.cache.get(new.name))
        folder.change(Named(self.next_order(), new.name, node, old.name))

    def unlink(self, path: Path) -> None:
        self.check_writable(path)
        self._forget(self._inode(path))
        self._directory(path.parent).change(Removed(self.next_order(), path.name))

    def names(self, folder: Path) -> list[str]:
        return sorted(self._directory(folder).cache)

    def is_folder(self, path: Path) -> bool:
        return isinstance(self._find(path), Directory)

    def mkdir(self, path: Path) -> None:
        folder = self._directory(path.parent)
        if path.name not in folder.cache:
            self.check_writable(path)
            folder.change(Named(self.next_order(), path.name, Directory()))

    def sync_dir(self, folder: Path) -> None:
        self.check_writable(folder)
        self._directory(folder).sync()

    def sync_dir_badly(self, folder: Path) -> None:
        """Do what a failing ``sync_dir`` leaves: the names durable or not, or no file system.

        A file system that cannot write what keeps its names whole takes no more changes.
        """
        self.check_writable(folder)
        match self._chance.choice(("durable", "dirty", "gone")):
            case "durable":
                self._directory(folder).sync()
            case "gone":
                self.is_read_only = True
                self.happened["file system gone read-only"] += 1
            case _:
                pass

    def check_writable(self, path: Path | None = None) -> None:
        if self.is_read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    def lock(self, path: Path, note: bytes) -> Lock:
        self.check_writable(path)
        folder = self._directory(path.parent)
        if path.name not in folder.cache:
            folder.change(Named(self.next_order(), path.name, Inode()))
        if path in self._locked:
            _fail(errno.EAGAIN, path)
        self._locked.add(path)
        file = MemoryFile(self, self._inode(path), is_writable=True)
        file.truncate(0)
        file.write_at(0, note)
        return MemoryLock(self, path)

    def stamp(self) -> tuple[int, bytes]:
        self._now_ns += 1
        return self._now_ns, self._chance.randbytes(16)

    def sync_badly(self, inode: Inode) -> None:
        self.happened["pages dropped by a failed sync"] += inode.sync_badly(self._chance)

    def keep_stale(self, data: bytes) -> None:
        if data:
            self.stale.append(data)

    def _forget(self, node: Inode | Directory | None) -> None:
        if isinstance(node, Inode):
            self.keep_stale(bytes(node.cache))

    def _find(self, path: Path) -> Inode | Directory | None:
        parts = path.parts
        if parts[: len(self._root)] != self._root:
            # Above the root everything is there, and nothing is ever changed.
            return Directory() if parts == self._root[: len(parts)] else None
        node: Inode | Directory | None = self.tree
        for part in parts[len(self._root) :]:
            node = node.cache.get(part) if isinstance(node, Directory) else None
        return node

    def _directory(self, path: Path) -> Directory:
        node = self._find(path)
        if not isinstance(node, Directory):
            _fail(errno.ENOENT if node is None else errno.ENOTDIR, path)
        return node

    def _inode(self, path: Path) -> Inode:
        node = self._find(path)
        if not isinstance(node, Inode):
            _fail(errno.ENOENT if node is None else errno.EISDIR, path)
        return node


class MemoryFile:
    """An open file; it is closed by a restart."""

    __slots__ = ("_boot", "_disk", "_inode", "_is_writable")

    def __init__(self, disk: MemoryDisk, inode: Inode, *, is_writable: bool) -> None:
        self._disk = disk
        self._inode = inode
        self._is_writable = is_writable
        self._boot: int | None = disk.boot

    def read_at(self, offset: int, size: int) -> bytes:
        return bytes(self._open().cache[offset : offset + size])

    def write_at(self, offset: int, data: bytes) -> None:
        inode = self._open(is_writing=True)
        if not data:
            return
        end = offset + len(data)
        if (fits := self._disk.fitting(inode, end)) < end:
            self.write_at(offset, data[: max(0, fits - offset)])
            self._disk.no_room()
        splice(inode.cache, offset, data)
        change = Written(self._disk.next_order(), offset, bytes(data))
        inode.dirty.append(change)
        for page in inode.lost_pages & {page for page, _ in pages_of(change)}:
            # A page goes to the platter whole.
            start = page * PAGE_BYTES
            whole = bytes(inode.cache[start : start + PAGE_BYTES])
            inode.dirty.append(Written(self._disk.next_order(), start, whole))
            inode.lost_pages.discard(page)

    def size(self) -> int:
        return len(self._open().cache)

    def truncate(self, size: int) -> None:
        inode = self._open(is_writing=True)
        self._disk.keep_stale(bytes(inode.cache[size:]))
        resize(inode.cache, size)
        inode.reserved = 0  # what is beyond the length goes back
        inode.dirty.append(Resized(self._disk.next_order(), size))
        inode.lost_pages = {page for page in inode.lost_pages if page * PAGE_BYTES < size}

    def reserve(self, offset: int, size: int) -> bool:
        inode = self._open(is_writing=True)
        if not self._disk.can_reserve:
            return False
        if self._disk.fitting(inode, offset + size) < offset + size:
            self._disk.no_room()
        inode.reserved = max(inode.reserved, offset + size)
        return True

    def datasync(self) -> None:
        self._disk.check_writable()
        self._open().sync()

    def datasync_badly(self) -> None:
        """Do what a failing ``datasync`` leaves."""
        self._disk.check_writable()
        self._disk.sync_badly(self._open())

    def close(self) -> None:
        self._boot = None

    def _open(self, *, is_writing: bool = False) -> Inode:
        if self._boot != self._disk.boot or (is_writing and not self._is_writable):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if is_writing:
            self._disk.check_writable()
        return self._inode


class MemoryLock:
    """A lock that is held until it is released or the machine restarts."""

    def __init__(self, disk: MemoryDisk, path: Path) -> None:
        self._disk = disk
        self._path = path
        self._boot = disk.boot

    def is_held(self) -> bool:
        return True

    def release(self) -> None:
        self._disk.release(self._path, self._boot)


def _fail(number: int, path: Path) -> NoReturn:
    raise OSError(number, os.strerror(number), str(path))


def is_a_disk(disk: MemoryDisk) -> Disk:
    """Hold the model to the port, for the type checker."""
    return disk
