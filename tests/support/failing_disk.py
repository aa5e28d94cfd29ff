"""A disk that fails at its n-th call, or dies there; and that remembers every call.

It stands before another disk and keeps that one's semantics: what did not fail happened. A failure
says nothing about what it left behind, so a failing call can have had no effect, half of it or all
of it; half of a sync leaves each page of a ``MemoryDisk`` durable, dirty or dropped. Whatever
fails, a file is closed and a lock is released when that is asked for, as the operating system does
it.

Syncs are recorded and not passed on unless asked for: what ends a process loses nothing that was
written, so the tests that only do that need not wait for the device.
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from tests.support.memory_disk import MemoryDisk, MemoryFile

from fractal_lba.wal import Disk, File, Lock

_T = TypeVar("_T")


class Crash(BaseException):
    """The process ended here. No code under test may catch it."""


class Effect(StrEnum):
    """What a failing call has done all the same."""

    NONE = "none"
    PART = "part"
    WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its name, and the name of the file or folder it was about."""

    name: str
    path: str


class FailingDisk:
    """The seam between the code under test and the disk behind it.

    Args:
        inner: The disk that does the work.
        fail_at: The call that fails, counted from 1 over files, folders and locks; ``None``: none.
        error: The ``errno`` it fails with; ``None``: it raises ``Crash``, and so does every call
            after it until ``abandon``.
        effect: What the failing call does before it fails.
        is_sticky: Every later call fails too, until ``heal``.
        is_syncing: Pass syncs on.
    """

    def __init__(  # noqa: PLR0913 - each is a dimension of the faults
        self,
        inner: Disk,
        *,
        fail_at: int | None = None,
        error: int | None = errno.EIO,
        effect: Effect = Effect.NONE,
        is_sticky: bool = False,
        is_syncing: bool = False,
    ) -> None:
        self.inner: Final = inner
        self.calls: list[Call] = []
        self.has_failed = False
        self._fail_at = fail_at
        self._error = error
        self._effect = effect
        self._is_sticky = is_sticky or error is None
        self._is_syncing = is_syncing
        self._held: list[FailingFile | FailingLock] = []

    def fail_next(self, call: int, *, error: int | None, effect: Effect) -> None:
        """Fail again, at the given call from here on."""
        self._fail_at = len(self.calls) + call
        self._error = error
        self._effect = effect
        self._is_sticky = error is None
        self.has_failed = False

    @property
    def has_ended(self) -> bool:
        """Whether the process ended at a call."""
        return self.has_failed and self._error is None

    def heal(self) -> None:
        """Fail no more."""
        self._fail_at = None

    def abandon(self) -> None:
        """End the process: every file is closed and every lock released, nothing else happens.

        A fault that has struck does not strike the next process.
        """
        for held in self._held:
            held.drop()
        self._held.clear()
        if self.has_failed:
            self.heal()

    def do(
        self,
        call: Call,
        act: Callable[[], _T],
        *,
        part: Callable[[], object] | None = None,
        undo: Callable[[_T], object] | None = None,
    ) -> _T:
        """Count a call and make it, or fail.

        Args:
            call: To be recorded.
            act: Makes it.
            part: Makes half of it.
            undo: Gives back what it returned when the caller never gets it.
        """
        self.calls.append(call)
        if self._fail_at is None or len(self.calls) < self._fail_at:
            return act()
        if self.has_failed and not self._is_sticky:
            return act()
        self.has_failed = True
        if self._effect is Effect.WHOLE:
            result = act()
            if undo is not None:
                undo(result)
        elif self._effect is Effect.PART and part is not None:
            part()
        if self._error is None:
            raise Crash(f"call {len(self.calls)}: {call.name} {call.path}")
        raise OSError(self._error, os.strerror(self._error), call.path)

    def sync(
        self, call: Call, act: Callable[[], None], part: Callable[[], None] | None = None
    ) -> None:
        """Count a sync, and make it if syncs are passed on.

        ``part`` does what a failing one may; who dies in a sync has met no failure of it.
        """
        part = None if self._error is None else part
        self.do(call, act if self._is_syncing else lambda: None, part=part)

    def _hold(self, file: File, path: Path) -> "FailingFile":
        held = FailingFile(self, file, path.name)
        self._held.append(held)
        return held

    def create(self, path: Path) -> File:
        return self._hold(
            self.do(
                Call("create", path.name),
                lambda: self.inner.create(path),
                undo=lambda file: file.close(),
            ),
            path,
        )

    def open(self, path: Path, *, is_writable: bool = False) -> File:
        return self._hold(
            self.do(
                Call("open", path.name),
                lambda: self.inner.open(path, is_writable=is_writable),
                undo=lambda file: file.close(),
            ),
            path,
        )

    def rename(self, old: Path, new: Path) -> None:
        self.do(Call("rename", new.name), lambda: self.inner.rename(old, new))

    def unlink(self, path: Path) -> None:
        self.do(Call("unlink", path.name), lambda: self.inner.unlink(path))

    def names(self, folder: Path) -> list[str]:
        return self.do(Call("names", folder.name), lambda: self.inner.names(folder))

    def is_folder(self, path: Path) -> bool:
        return self.do(Call("is_folder", path.name), lambda: self.inner.is_folder(path))

    def mkdir(self, path: Path) -> None:
        self.do(Call("mkdir", path.name), lambda: self.inner.mkdir(path))

    def sync_dir(self, folder: Path) -> None:
        inner = self.inner
        self.sync(
            Call("sync_dir", folder.name),
            lambda: inner.sync_dir(folder),
            part=(lambda: inner.sync_dir_badly(folder)) if isinstance(inner, MemoryDisk) else None,
        )

    def lock(self, path: Path, note: bytes) -> Lock:
        lock = self.do(
            Call("lock", path.name),
            lambda: self.inner.lock(path, note),
            undo=lambda lock: lock.release(),
        )
        held = FailingLock(self, lock, path.name)
        self._held.append(held)
        return held

    def stamp(self) -> tuple[int, bytes]:
        """Pass it on: it cannot fail."""
        return self.inner.stamp()


class FailingFile:
    """A file of a failing disk."""

    def __init__(self, disk: FailingDisk, inner: File, name: str) -> None:
        self._disk = disk
        self._inner = inner
        self._name = name

    def drop(self) -> None:
        """Close the file without a call."""
        self._inner.close()

    def read_at(self, offset: int, size: int) -> bytes:
        return self._disk.do(Call("read_at", self._name), lambda: self._inner.read_at(offset, size))

    def write_at(self, offset: int, data: bytes) -> None:
        self._disk.do(
            Call("write_at", self._name),
            lambda: self._inner.write_at(offset, data),
            part=lambda: self._inner.write_at(offset, data[: len(data) // 2]),
        )

    def size(self) -> int:
        return self._disk.do(Call("size", self._name), self._inner.size)

    def truncate(self, size: int) -> None:
        self._disk.do(Call("truncate", self._name), lambda: self._inner.truncate(size))

    def reserve(self, offset: int, size: int) -> bool:
        return self._disk.do(Call("reserve", self._name), lambda: self._inner.reserve(offset, size))

    def datasync(self) -> None:
        inner = self._inner
        self._disk.sync(
            Call("datasync", self._name),
            inner.datasync,
            part=inner.datasync_badly if isinstance(inner, MemoryFile) else None,
        )

    def close(self) -> None:
        self._inner.close()
        self._disk.do(Call("close", self._name), lambda: None)


class FailingLock:
    """A lock of a failing disk."""

    def __init__(self, disk: FailingDisk, inner: Lock, name: str) -> None:
        self._disk = disk
        self._inner: Lock | None = inner
        self._name = name

    def drop(self) -> None:
        """Release the lock without a call."""
        inner, self._inner = self._inner, None
        if inner is not None:
            inner.release()

    def is_held(self) -> bool:
        """Pass it on: it cannot fail."""
        return self._inner is not None and self._inner.is_held()

    def release(self) -> None:
        self.drop()
        self._disk.do(Call("release", self._name), lambda: None)
