"""Any file as bytes: windows of N bytes, the profile ``bytes/1``.

The file's size is taken when reading begins: what is appended later belongs to the next run.
"""

from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

from fractal_lba.agent.sources.base import (
    MARK_BYTES,
    check_length,
    check_mark,
    check_size,
    mark_of,
    source_key,
)
from fractal_lba.agent.window import UNITS_MAX, UNITS_MIN, SourcePosition, Window, next_cut
from fractal_lba.protocol import ContractError, Profile


class ByteFile:
    """A regular file, read as it is."""

    profile = Profile.BYTES
    left_over = ""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.key = source_key("bytes", path)
        self._path = path

    def windows(self, after: SourcePosition | None, window: int) -> Generator[Window, None, None]:
        """Yield windows of bytes; see ``FileSource.windows``."""
        return self._opened(after, window, is_growing=False)

    def grown(self, after: SourcePosition | None, window: int) -> Generator[Window, None, None]:
        """Yield the windows that are whole; see ``GrowingSource.grown``."""
        return self._opened(after, window, is_growing=True)

    def at(self, path: Path) -> "ByteFile":
        """Return the same source, read from another path."""
        other = ByteFile(path)
        other.name, other.key = self.name, self.key
        return other

    def check(self, after: SourcePosition) -> None:
        """See ``GrowingSource.check``."""
        for _ in self.grown(after, UNITS_MAX):
            return

    def _opened(
        self, after: SourcePosition | None, window: int, *, is_growing: bool
    ) -> Generator[Window, None, None]:
        try:
            with self._path.open("rb") as file:
                yield from self._windows(file, after, window, is_growing=is_growing)
        except OSError as error:
            raise ContractError(
                f"{self.name}: expected a readable file, got {error.strerror}"
            ) from error

    def _windows(
        self, file: BinaryIO, after: SourcePosition | None, window: int, *, is_growing: bool
    ) -> Generator[Window, None, None]:
        size = file.seek(0, 2)
        offset = 0
        if after is not None:
            offset = after.offset
            check_size(self.name, after, size=size, unit="bytes")
            check_mark(self.name, after, mark=_mark_before(file, offset))
        elif not is_growing:
            check_length(self.name, size, unit="bytes")
        file.seek(offset)
        before = b""
        while True:
            left = size - offset
            ahead = window + UNITS_MIN
            taken = next_cut(min(left, ahead), window, is_end=left < ahead and not is_growing)
            if not taken:
                return
            data = file.read(taken)
            if len(data) < taken:
                raise ContractError(
                    f"{self.name}: expected {size} bytes, got {offset + len(data)}:"
                    " the file was truncated while it was read"
                )
            offset += taken
            before = (before + data)[-MARK_BYTES:]
            if len(before) < min(offset, MARK_BYTES):
                before = _before(file, offset)
            yield Window(
                data=data, after=SourcePosition(offset=offset, units=offset, mark=mark_of(before))
            )


def _mark_before(file: BinaryIO, offset: int) -> str:
    return mark_of(_before(file, offset))


def _before(file: BinaryIO, offset: int) -> bytes:
    """Return the up to ``MARK_BYTES`` bytes before an offset and leave the file there."""
    start = max(0, offset - MARK_BYTES)
    file.seek(start)
    return file.read(offset - start)
