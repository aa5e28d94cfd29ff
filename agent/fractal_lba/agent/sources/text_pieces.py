"""Texts of a file, each a window of its own, as ``bytes/1``: the answers of a model, one a line.

*Lines*: what stands before each line end. *Paragraphs*: lines in a row that are not empty, with the
line ends between them. *Files*: all of it. A text is taken as the bytes that it is. One of fewer
than 3 bytes cannot be summarised: it is passed over, and how many were is said; an empty line is
none. One of more than 65,536 bytes is refused with its line. The position is the byte offset behind
the text and its line end, its mark covers what stands before.
"""

from collections.abc import Generator, Iterator
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from fractal_lba.agent.sources.base import (
    MARK_BYTES,
    check_mark,
    check_size,
    mark_of,
    source_key,
)
from fractal_lba.agent.sources.lines import Lines, read_at
from fractal_lba.agent.window import UNITS_MAX, UNITS_MIN, SourcePosition, Window
from fractal_lba.protocol import ContractError, Profile


class TextPiece(StrEnum):
    """What of a text file is one window."""

    LINE = "line"
    PARAGRAPH = "paragraph"
    FILE = "file"


class TextPieces:
    """A file of texts."""

    profile = Profile.BYTES

    def __init__(self, path: Path, piece: TextPiece) -> None:
        self.name = str(path)
        self.key = f"{source_key('text', path)}#{piece}"
        self.left_over = ""
        self._path = path
        self._piece = piece

    def windows(self, after: SourcePosition | None, window: int) -> Generator[Window, None, None]:
        """Yield a window for each text, whatever the size asked for; see ``FileSource.windows``."""
        del window
        return self._windows(after, is_growing=False)

    def grown(self, after: SourcePosition | None, window: int) -> Generator[Window, None, None]:
        """Yield the texts that are whole; see ``GrowingSource.grown``."""
        del window
        return self._windows(after, is_growing=True)

    def at(self, path: Path) -> "TextPieces":
        """Return the same source, read from another path."""
        other = TextPieces(path, self._piece)
        other.name, other.key = self.name, self.key
        return other

    def check(self, after: SourcePosition) -> None:
        """See ``GrowingSource.check``."""
        for _ in self.grown(after, UNITS_MAX):
            return

    def _windows(
        self, after: SourcePosition | None, *, is_growing: bool
    ) -> Generator[Window, None, None]:
        self.left_over = ""
        done = 0 if after is None else after.units
        short = passed = 0
        try:
            with self._path.open("rb") as file:
                lines = Lines(file, self.name, is_growing=is_growing)
                if after is not None:
                    check_size(self.name, after, size=file.seek(0, 2), unit="bytes")
                    check_mark(self.name, after, mark=_mark(file, after.offset))
                    lines.go_on(after)
                for data, end in self._texts(lines, file):
                    if len(data) < UNITS_MIN:
                        short += 1
                        continue
                    done += 1
                    passed, short = passed + short, 0
                    yield Window(
                        data=data,
                        after=SourcePosition(offset=end, units=done, mark=_mark(file, end)),
                    )
        except OSError as error:
            raise ContractError(
                f"{self.name}: expected a readable file, got {error.strerror}"
            ) from error
        passed += 0 if is_growing else short
        if passed:
            self.left_over = (
                f"{self.name}: {passed} texts of fewer than {UNITS_MIN} bytes were passed over"
            )

    def _texts(self, lines: Lines, file: BinaryIO) -> Iterator[tuple[bytes, int]]:
        match self._piece:
            case TextPiece.FILE:
                yield from self._whole(lines, file)
            case TextPiece.LINE:
                while line := lines.take():
                    lines.row += 1
                    if text := line.rstrip(b"\r\n"):
                        yield self._bounded(text, lines), lines.offset
            case TextPiece.PARAGRAPH:
                yield from self._paragraphs(lines)

    def _paragraphs(self, lines: Lines) -> Iterator[tuple[bytes, int]]:
        held = b""
        end = lines.offset
        while line := lines.take():
            lines.row += 1
            if line.strip(b"\r\n"):
                held = self._bounded(held + line, lines)
                end = lines.offset
            elif held:
                yield held.rstrip(b"\r\n"), end
                held = b""
        if held and not lines.is_growing:
            yield held.rstrip(b"\r\n"), end

    def _whole(self, lines: Lines, file: BinaryIO) -> Iterator[tuple[bytes, int]]:
        if lines.is_growing:
            return  # only its end makes it whole
        file.seek(lines.offset)
        data = file.read(UNITS_MAX + 1)
        if data and lines.offset:
            raise ContractError(
                f"{self.name}: expected {lines.offset} bytes, which were observed as one text, got"
                " more; give the file another name or use another data folder"
            )
        if data:
            yield self._bounded(data, lines), len(data)

    def _bounded(self, text: bytes, lines: Lines) -> bytes:
        if len(text) > UNITS_MAX:
            raise ContractError(
                f"{self.name}: line {lines.row}: expected a text of at most {UNITS_MAX} bytes, got"
                " a longer one"
            )
        return text


def _mark(file: BinaryIO, end: int) -> str:
    start = max(0, end - MARK_BYTES)
    return mark_of(read_at(file, start, end - start))
