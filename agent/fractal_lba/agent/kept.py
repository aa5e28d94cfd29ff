"""Kept windows: what was observed, beside what was signed about it.

A record's Merkle root commits to its window; whoever has the window can show that a row was in it
(``fractal-lba merkle``) and compute every signal again (``fractal-lba signals``). ``DIR`` holds for
each window, under a number that grows and the record's id::

    000000000042-PCS_ID.npy     points/1: (n, d) little-endian doubles, rows one behind the other:
                                behind the header each row's bytes are a leaf of the tree
    000000000042-PCS_ID.bin     bytes/1: the bytes; each 64 of them are a leaf
    000000000042-PCS_ID.json    the signed record, as it is in the outbox

The rule: both files, and their names, are durable before the record is in the outbox, so that every
record ever sent had its window. A crash between the two leaves a window without a record; cut
again, it takes the same names. One agent at a time uses a folder. Files of any other name are not
its own: they are neither counted nor removed.
"""

import io
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from fractal_lba.agent.bounds import OutboxFullError
from fractal_lba.agent.window import Window
from fractal_lba.protocol import ContractError, DurabilityError, FencedError, Record, stored_bytes
from fractal_lba.wal import Disk
from fractal_lba.wal.locks import FolderLock, lock_folder

# A week of a window of 6 KiB every 4 seconds.
BYTES_MAX = 1 << 30

RECORD_ENDING = ".json"
_UNFINISHED = ".tmp"
_NUMBER_DIGITS = 12
_NAME = re.compile(r"[0-9]{12}-[0-9a-f]{64}\.(?:npy|bin|json)", re.ASCII)


class WhenKept(StrEnum):
    """What happens where another window would pass the bound."""

    OLDEST = "oldest"  # the oldest ones are removed
    STOP = "stop"  # nothing more is observed; an error for whoever observes


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """Where windows are kept, and how many.

    Attributes:
        folder: ``DIR``, a text too; made where it is missing.
        bytes_max: Bytes of all files together, 1 or more.
        when_full: What happens beyond; ``"oldest"`` and ``"stop"`` are taken too.
    """

    folder: Path
    bytes_max: int = BYTES_MAX
    when_full: WhenKept = WhenKept.OLDEST

    def __post_init__(self) -> None:
        """Check the bound, and make a path and a policy of their texts.

        Raises:
            ContractError: One of them cannot be used.
        """
        folder: object = self.folder
        bytes_max: object = self.bytes_max
        if not isinstance(folder, str | Path):
            raise ContractError(f"folder: expected a path, got {type(folder).__name__}")
        if not isinstance(bytes_max, int) or bytes_max < 1:
            raise ContractError(f"bytes_max: expected 1 or more, got {bytes_max!r}")
        try:
            policy = WhenKept(self.when_full)
        except ValueError:
            raise ContractError(
                f"when_full: expected one of {', '.join(WhenKept)}, got {self.when_full!r}"
            ) from None
        object.__setattr__(self, "folder", Path(folder))
        object.__setattr__(self, "when_full", policy)


class KeptFullError(OutboxFullError):
    """There is no room for another kept window: it was not taken."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A window's files: their names without the ending, and their bytes."""

    stem: str
    names: tuple[str, ...]
    size: int


class KeptWindows:
    """The folder of one agent, open for adding; its methods block."""

    def __init__(self, disk: Disk, keeping: Keeping, lock: FolderLock) -> None:
        """Take over a folder that was made and locked; ``open`` is the usual way."""
        self._disk = disk
        self._keeping = keeping
        self._lock = lock
        self._held: dict[str, _Kept] = {}
        self._size = 0
        self._number = 0
        self._is_fenced = False

    @classmethod
    def open(cls, disk: Disk, keeping: Keeping) -> "KeptWindows":
        """Open the folder and remove what a crash left unfinished.

        Raises:
            LockedError: Another agent uses it; nothing was changed.
            DurabilityError: The disk refused.
        """
        folder = keeping.folder
        try:
            disk.mkdir(folder)
            disk.sync_dir(folder.parent)
        except OSError as error:
            raise _refused(folder, error) from error
        lock = lock_folder(disk, folder, f"kept windows {folder}")
        kept = cls(disk, keeping, lock)
        try:
            kept._read()
        except OSError as error:
            lock.release()
            raise _refused(folder, error) from error
        return kept

    def keep(self, window: Window, record: Record) -> None:
        """Keep a window and its record; both are durable when this returns.

        Raises:
            KeptFullError: It would pass the bound, and nothing is removed for it; nothing was kept.
            DurabilityError: It may or may not be there, and nothing more is kept.
        """
        if self._is_fenced:
            raise FencedError(
                f"{self._keeping.folder}: expected a folder that can be written, got a failure"
                " before"
            )
        ending, data = _file_of(window)
        files = {ending: data, RECORD_ENDING: stored_bytes(record)}
        size = sum(map(len, files.values()))
        before = self._held.get(record.pcs_id)
        try:
            if before is not None:  # the youngest again: its files are about to be replaced
                self._hold(record.pcs_id, self._forget(record.pcs_id))
            self._make_room(size - (before.size if before else 0))
            if before is None:
                self._number += 1
            stem = before.stem if before else f"{self._number:0{_NUMBER_DIGITS}d}-{record.pcs_id}"
            for each, content in files.items():
                self._write(stem + each, content)
            self._disk.sync_dir(self._keeping.folder)
        except OSError as error:
            self._is_fenced = True
            raise _refused(self._keeping.folder, error) from error
        if before is not None:
            self._forget(record.pcs_id)
        self._hold(record.pcs_id, _Kept(stem, tuple(stem + each for each in files), size))

    def close(self) -> None:
        """Release the folder."""
        self._lock.release()

    def _read(self) -> None:
        folder = self._keeping.folder
        found: dict[str, list[str]] = {}
        for name in self._disk.names(folder):
            whole = name.removesuffix(_UNFINISHED)
            if _NAME.fullmatch(whole) is None:
                continue  # somebody else's
            if name != whole:
                self._disk.unlink(folder / name)
            else:
                found.setdefault(name.rpartition(".")[0], []).append(name)
        for stem, names in found.items():  # in the order of their numbers, as names are sorted
            size = sum(map(self._size_of, names))
            self._hold(stem[_NUMBER_DIGITS + 1 :], _Kept(stem, tuple(names), size))
            self._number = int(stem[:_NUMBER_DIGITS])

    def _size_of(self, name: str) -> int:
        file = self._disk.open(self._keeping.folder / name)
        try:
            return file.size()
        finally:
            file.close()

    def _hold(self, pcs_id: str, kept: _Kept) -> None:
        self._held[pcs_id] = kept
        self._size += kept.size

    def _forget(self, pcs_id: str) -> _Kept:
        kept = self._held.pop(pcs_id)
        self._size -= kept.size
        return kept

    def _make_room(self, size: int) -> None:
        keeping = self._keeping
        if size > keeping.bytes_max or (
            self._size + size > keeping.bytes_max and keeping.when_full is WhenKept.STOP
        ):
            raise KeptFullError(
                f"{keeping.folder}: expected at most {keeping.bytes_max} bytes of kept windows,"
                f" got {self._size} and a window of {size} (--keep-bytes-max)"
            )
        while self._size + size > keeping.bytes_max:
            for name in self._forget(next(iter(self._held))).names:
                self._disk.unlink(keeping.folder / name)

    def _write(self, name: str, content: bytes) -> None:
        path = self._keeping.folder / name
        unfinished = path.with_name(name + _UNFINISHED)
        file = self._disk.create(unfinished)
        try:
            file.write_at(0, content)
            file.datasync()
        finally:
            file.close()
        self._disk.rename(unfinished, path)


def _file_of(window: Window) -> tuple[str, bytes]:
    """Return the ending and the bytes of a window's file."""
    if isinstance(window.data, bytes):
        return ".bin", window.data
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(window.data, dtype="<f8"))
    return ".npy", file.getvalue()


def _refused(path: Path, error: OSError) -> DurabilityError:
    return DurabilityError(f"{path}: expected a working disk, got {error.strerror}")
