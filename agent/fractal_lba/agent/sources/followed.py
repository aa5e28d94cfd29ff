"""A file that grows and is rotated: read as it is written, through renaming and truncation.

While the file under its name is the one that is read, whole windows are taken from it as it grows;
at least 3 units stay behind. It is over when the name belongs to another file (renamed, a new one
in its place) or when it is shorter than it was read (copied and truncated): then what it still
holds is read to its end, the copy's in place of what was truncated; then what was rotated since;
then the new file from its beginning. An open file stays readable whatever becomes of its name.

A position is one in whichever of these files its mark fits, so that it survives a restart. Rotated
files are those beside it named as logrotate and Python's handlers do: the name, or its stem, then
``.`` or ``-`` and digits (``x.csv.1``, ``x.csv-20261121``, ``x-2026-11-21.csv``), not compressed.
"""

import os
import re
import stat
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

from fractal_lba.agent.sources.base import MARK_BYTES, ChangedError, GrowingSource
from fractal_lba.agent.window import SourcePosition, Window
from fractal_lba.protocol import ContractError

# A program that was told of a rotation goes on writing to the old file until it hears: a renamed
# file is over when it did not grow for so many looks.
QUIET_LOOKS = 4


class Followed:
    """One name, and the files that had it."""

    def __init__(self, source: GrowingSource, path: Path) -> None:
        """Follow a source.

        Args:
            source: Reads one such file.
            path: The name.
        """
        self.profile = source.profile
        self.key = source.key
        self.name = source.name
        self.notes: list[str] = []
        self._source = source
        self._path = path

    def windows(
        self, after: SourcePosition | None, window: int
    ) -> Generator[Window | None, None, None]:
        """Yield windows as they become whole, None where there is nothing at the moment.

        It does not end by itself.

        Raises:
            ContractError: The file cannot be read as this source; windows yielded until then stand.
        """
        try:
            yield from self._windows(after, window)
        except OSError as error:
            raise ContractError(
                f"{self.name}: expected a readable file, got {error.strerror}"
            ) from error

    def _windows(
        self, after: SourcePosition | None, window: int
    ) -> Generator[Window | None, None, None]:
        if after is not None:
            found = self._file_of(after)
            if found != self._path:
                yield from self._elsewhere(found, after, window)
                after = None
        while True:
            held = self._open()
            if held is None:
                yield None
                continue
            try:
                yield from self._follow(held, after, window)
            finally:
                held.close()
            after = None

    def _follow(
        self, held: "_Held", after: SourcePosition | None, window: int
    ) -> Generator[Window | None, None, None]:
        """Read the file under the name until it is over, and what it was over for."""
        source = self._source.at(held.path)
        quiet = size = 0
        head = b""
        while quiet < QUIET_LOOKS:
            is_renamed = not held.is_under(self._path)
            now = held.size()
            is_other = now < (size if after is None else after.offset)
            if now != size and not is_other:
                size, quiet, head = now, 0, held.head()
                try:
                    for piece in source.grown(after, window):
                        after = piece.after
                        yield piece
                except ChangedError:
                    is_other = True
                self._take_note(source)
            elif is_renamed:
                quiet += 1
            if is_other:
                copy = self._copy_of(head, size) if after is None else self._file_of(after)
                yield from self._elsewhere(copy, after, window)
                return
            yield None
        since_ns = held.changed_ns()
        yield from self._rest(held.path, after, window)
        yield from self._later_than(since_ns, window)

    def _elsewhere(
        self, path: Path | None, after: SourcePosition | None, window: int
    ) -> Generator[Window | None, None, None]:
        """Read the rest of what has another name now, and what was rotated since."""
        since_ns = None if path is None else _changed_ns(path)
        if path is None or since_ns is None:
            offset = 0 if after is None else after.offset
            self.notes.append(
                f"{self.name}: was read up to byte {offset}, and neither it nor a rotated"
                " file beside it holds that now: what followed there is lost, and the file is read"
                " from its beginning"
            )
            return
        yield from self._rest(path, after, window)
        yield from self._later_than(since_ns, window)

    def _later_than(self, since_ns: int, window: int) -> Generator[Window | None, None, None]:
        for changed_ns, path in self._rotated():
            if changed_ns > since_ns:
                yield from self._rest(path, None, window)

    def _rest(
        self, path: Path, after: SourcePosition | None, window: int
    ) -> Generator[Window | None, None, None]:
        source = self._source.at(path)
        try:
            if after is None and path.stat().st_size == 0:
                return
        except FileNotFoundError:  # what rotates may remove its oldest one at any moment
            return
        try:
            yield from source.windows(after, window)
        except ContractError as error:
            # The files behind it are still to be read; what could not be is told.
            self.notes.append(f"rotated: {error}")
        self._take_note(source)

    def _take_note(self, source: GrowingSource) -> None:
        if source.left_over:
            self.notes.append(source.left_over)

    def _file_of(self, after: SourcePosition) -> Path | None:
        """Return the file a position was taken in; None where it is not to be found."""
        rotated = (path for _, path in reversed(self._rotated()))
        for path in (self._path, *rotated):
            if _changed_ns(path) is None:
                continue
            with suppress(ContractError):
                self._source.at(path).check(after)
                return path
        return None

    def _copy_of(self, head: bytes, size: int) -> Path | None:
        """Return the youngest copy of a file that began so and was so large."""
        for _, path in reversed(self._rotated()):
            with suppress(OSError), path.open("rb") as file:
                if file.read(len(head)) == head and path.stat().st_size >= size:
                    return path
        return None

    def _rotated(self) -> list[tuple[int, Path]]:
        """Return the rotated files beside the name and when they changed, the oldest first."""
        stem, suffix = re.escape(self._path.stem), re.escape(self._path.suffix)
        digits = r"[.-][0-9][0-9._T-]*"
        pattern = re.compile(rf"{stem}(?:{suffix}{digits}|{digits}{suffix})", re.ASCII)
        named: list[Path] = []
        with suppress(FileNotFoundError):  # the folder is gone, and all that was in it
            named += filter(lambda path: pattern.fullmatch(path.name), self._path.parent.iterdir())
        changed = ((_changed_ns(path), path) for path in named)
        return sorted((at_ns, path) for at_ns, path in changed if at_ns is not None)

    def _open(self) -> "_Held | None":
        with suppress(FileNotFoundError):
            return _Held(self._path)
        return None


def _changed_ns(path: Path) -> int | None:
    """Return when a file changed; None for one that was removed since it was listed, or is none."""
    with suppress(FileNotFoundError):
        status = path.stat()
        return status.st_mtime_ns if stat.S_ISREG(status.st_mode) else None
    return None


class _Held:
    """A file that stays open, whatever becomes of its name."""

    def __init__(self, path: Path) -> None:
        # Not blocking: a pipe under the name would hold the agent up until somebody writes.
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            os.close(self._fd)
            raise ContractError(f"{path}: expected a regular file to follow, got another kind")
        # Opens the very file again, also one without a name.
        self.path = Path(f"/proc/self/fd/{self._fd}")

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def head(self) -> bytes:
        return os.pread(self._fd, MARK_BYTES, 0)

    def changed_ns(self) -> int:
        return os.fstat(self._fd).st_mtime_ns

    def is_under(self, path: Path) -> bool:
        """Return whether a name is this file's."""
        try:
            named = path.stat()
        except FileNotFoundError:
            return False
        mine = os.fstat(self._fd)
        return (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino)

    def close(self) -> None:
        os.close(self._fd)
