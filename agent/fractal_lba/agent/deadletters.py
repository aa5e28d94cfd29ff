"""Dead letters: records whose final answer was no acceptance, kept for a person.

``DIR/dead-letters.ndjson``, one JSON object in each line::

    {"v", "outbox_seq", "pcs_id", "epoch", "shard_id", "status", "code", "answer", "record", "at"}

``v`` is the format's version, ``answer`` the answer's body as text, ``record`` the signed record as
it was kept, ``at`` when the answer came. A line is on disk before the outbox notes the answer;
after a crash between the two the record is sent again and the line written again, so a reader takes
the last line of each ``outbox_seq``. What a power cut tore at the end is no line: its record is
still in the outbox. What is damaged there and waits in the outbox no more stays, as a line that
cannot be read. Lines are added to the end; where some are taken out, the others are written to
another file that takes the name in one step.
"""

import re
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from fractal_lba.agent.measures import Kind, Sample
from fractal_lba.client import Answer
from fractal_lba.protocol import (
    SAFE_INTEGER_MAX,
    ContractError,
    DurabilityError,
    FencedError,
    Record,
    stored_bytes,
)
from fractal_lba.protocol.described import described
from fractal_lba.protocol.undecodable import UNDECODABLE
from fractal_lba.wal import Disk, File

FILE = "dead-letters.ndjson"
_NEW = "dead-letters.ndjson.new"
_CUT = "dead-letters.ndjson.cut"
FORMAT = 1

# Problem documents and decisions are far below; a proxy's page is cut, the record is not.
ANSWER_CHARACTERS_MAX = 16_384

# A record of 64 KiB, an answer of the bound above with each character escaped, and the names.
LINE_BYTES_MAX = 256 * 1024

# How ``append`` begins a line: what is left of a torn one shows whose it was.
_NUMBER = re.compile(rb'\{"outbox_seq":(-?[0-9]{1,32}),')


@described
class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One record that was not accepted, and the answer it got."""

    outbox_seq: Annotated[int, msgspec.Meta(ge=1, le=SAFE_INTEGER_MAX)]
    pcs_id: str
    epoch: int
    shard_id: str
    status: int
    code: str | None
    answer: str
    record: msgspec.Raw
    at: str
    v: int = FORMAT


@described
class _Version(msgspec.Struct):
    v: int


def dead_letter(record: Record, answer: Answer, *, outbox_seq: int, at: str) -> DeadLetter:
    """Return the entry for a record and its final answer."""
    return DeadLetter(
        outbox_seq=outbox_seq,
        pcs_id=record.pcs_id,
        epoch=record.epoch,
        shard_id=record.shard_id,
        status=answer.status,
        code=answer.code,
        answer=answer.body.decode(errors="replace")[:ANSWER_CHARACTERS_MAX],
        record=msgspec.Raw(stored_bytes(record)),
        at=at,
    )


class _Line(NamedTuple):
    """A line as it stands in the file.

    Attributes:
        whole: Its bytes with a line end.
        letter: What it says; None for nothing.
        is_ended: Its line end is there, or all but that.
    """

    whole: bytes
    letter: DeadLetter | None
    is_ended: bool


class Mended(NamedTuple):
    """What opening found.

    Attributes:
        size: Bytes that stay.
        lines: Lines that stay.
        unreadable: Of these those that cannot be read.
        damaged: Of these the last ones, whose windows wait no more.
        cut: Bytes behind them, of windows that wait in the outbox.
    """

    size: int = 0
    lines: int = 0
    unreadable: int = 0
    damaged: int = 0
    cut: int = 0


class DeadLetters:
    """The file of one agent, open for appending; its methods block.

    Attributes:
        folder: The data folder it is in.
        mended: What was found when it was opened.
        count: Its lines.
    """

    def __init__(self, disk: Disk, data: Path, file: File | None, mended: Mended) -> None:
        """Take over an open file; ``open`` is the usual way."""
        self._disk = disk
        self.folder = data
        self._file = file
        self._size = mended.size
        self.mended = mended
        self.count = mended.lines
        self._is_fenced = False

    @classmethod
    def open(cls, disk: Disk, data: Path, *, pending: Collection[int]) -> "DeadLetters":
        """Open the dead letters of a data folder; the file is made with its first line.

        Args:
            disk: Where the folder is.
            data: The folder.
            pending: The windows without a final answer; what is torn is theirs, or it is damage.

        Raises:
            DurabilityError: The disk refused.
            ContractError: A newer program wrote a line; nothing was changed.
        """
        path = data / FILE
        try:
            if FILE not in disk.names(data):
                return cls(disk, data, None, Mended())
            file = disk.open(path, is_writable=True)
            try:
                mended = _mend(disk, file, path, pending)
            except BaseException:
                file.close()
                raise
        except OSError as error:
            raise _refused(path, error) from error
        return cls(disk, data, file, mended)

    @property
    def cut_in_words(self) -> str:
        """What opening cut, for people."""
        return (
            f"{self.folder / FILE}: {self.mended.cut} bytes behind the last letter were torn, and"
            f" their windows wait in the outbox: moved to {_CUT}"
        )

    @property
    def damage_in_words(self) -> str:
        """What opening found damaged, for people."""
        return (
            f"{self.folder / FILE}: expected letters, got {self.mended.damaged} lines at the end"
            " that cannot be read, of windows that do not wait in the outbox: kept"
        )

    @property
    def unreadable_in_words(self) -> str:
        """What opening found among letters that can be read, for people."""
        count = self.mended.unreadable - self.mended.damaged
        return (
            f"{self.folder / FILE}: {count} lines among the letters cannot be read: kept"
            " (fractal-agent dead-letters drop --damaged removes them)"
        )

    def append(self, *letters: DeadLetter) -> None:
        """Write a line for each, with one sync; they are durable when this returns.

        Raises:
            DurabilityError: They may or may not be there, and no further line is written.
        """
        path = self.folder / FILE
        if self._is_fenced:
            raise FencedError(f"{path}: expected a file that can be written, got a failure before")
        lines = b"".join(msgspec.json.encode(letter) + b"\n" for letter in letters)
        try:
            if self._file is None:
                self._file = self._disk.create(path)
                self._disk.sync_dir(self.folder)
            self._file.write_at(self._size, lines)
            self._file.datasync()
        except OSError as error:
            self._is_fenced = True
            raise _refused(path, error) from error
        self._size += len(lines)
        self.count += len(letters)

    def samples(self) -> Iterator[Sample]:
        """Yield how many there are; see ``Measured``."""
        yield Sample(
            name="flk_agent_dead_letters",
            kind=Kind.GAUGE,
            meaning="Windows that were not accepted and wait for a person.",
            value=self.count,
        )
        yield Sample(
            name="flk_agent_dead_letters_unreadable",
            kind=Kind.GAUGE,
            meaning="Of these, lines that could not be read at the start.",
            value=self.mended.unreadable,
        )

    def close(self) -> None:
        """Close the file.

        Raises:
            DurabilityError: The disk refused; every line that was appended is durable all the same.
        """
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as error:
                raise _refused(self.folder / FILE, error) from error


def read_dead_letters(disk: Disk, data: Path) -> Generator[DeadLetter | None, None, None]:
    """Yield the lines of a data folder's dead letters in order, None for one that is damaged.

    Raises:
        ContractError: A newer program wrote a line; the ones before it were yielded.
        DurabilityError: The disk refused.
    """
    with closing(_read(disk, data)) as lines:
        for line in lines:
            if line.is_ended:  # else somebody may be writing it, or the next start looks into it
                yield line.letter


def take_out(disk: Disk, data: Path, is_taken: Callable[[DeadLetter | None], bool]) -> int:
    """Remove lines from a data folder's dead letters, and return how many.

    The caller holds the folder's lock. Every other line stays as it is, damaged ones too.

    Args:
        disk: Where the folder is.
        data: The folder.
        is_taken: Called with each line as ``read_dead_letters`` yields it.

    Raises:
        ContractError: A newer program wrote a line; nothing was removed.
        DurabilityError: The disk refused: either all of them are gone or none is.
    """
    try:
        if FILE not in disk.names(data):
            return 0
        taken = _copy_without(disk, data, is_taken)
        if taken:
            disk.rename(data / _NEW, data / FILE)
            disk.sync_dir(data)
        else:
            disk.unlink(data / _NEW)
    except OSError as error:
        raise _refused(data / FILE, error) from error
    return taken


def _copy_without(disk: Disk, data: Path, is_taken: Callable[[DeadLetter | None], bool]) -> int:
    if _NEW in disk.names(data):
        disk.unlink(data / _NEW)  # of a process that did not get further
    taken = size = 0
    file = disk.create(data / _NEW)
    try:
        with closing(_read(disk, data)) as lines:
            for line in lines:
                if line.is_ended and is_taken(line.letter):
                    taken += 1
                else:
                    kept = line.whole if line.is_ended else line.whole[:-1]
                    file.write_at(size, kept)
                    size += len(kept)
        file.datasync()
    finally:
        file.close()
    return taken


def _read(disk: Disk, data: Path) -> Generator[_Line, None, None]:
    path = data / FILE
    try:
        if FILE not in disk.names(data):
            return
        file = disk.open(path)
        try:
            yield from _lines(file, path)
        finally:
            file.close()
    except OSError as error:
        raise _refused(path, error) from error


def _mend(disk: Disk, file: File, path: Path, pending: Collection[int]) -> Mended:
    """Cut what a power cut tore, and make the last lines durable.

    What comes after the last line that is a letter was torn before it was acknowledged, where its
    window is still in the outbox: it goes to ``_CUT``. Any other was durable once, and is kept. A
    process before this one may have failed to sync what it wrote last, and reading it now tells
    only that it is in memory. Written again, it is on its way to the disk again.
    """
    offset = end = count = damaged = seen = unreadable = 0
    for number, line in enumerate(_lines(file, path), start=1):
        offset += len(line.whole)
        seen += line.letter is None
        if line.letter is not None:
            end, count, unreadable, damaged = offset, number, seen, 0
        elif _is_damaged(line.whole, pending):
            end, count, unreadable, damaged = offset, number, seen, damaged + 1
    if cut := max(0, file.size() - end):
        _keep_cut(disk, file, path.with_name(_CUT), end)
        file.truncate(end)
    if end:
        start = max(0, end - LINE_BYTES_MAX)
        # The last one may have lost its line end.
        file.write_at(start, file.read_at(start, end - start - 1) + b"\n")
    file.datasync()
    return Mended(end, count, unreadable, damaged, cut)


def _is_damaged(line: bytes, pending: Collection[int]) -> bool:
    """Return whether a line that is no letter is none of a window that waits in the outbox."""
    if found := _NUMBER.match(line):
        return int(found[1]) not in pending
    return not pending and not line.isspace()


def _keep_cut(disk: Disk, file: File, path: Path, start: int) -> None:
    """Make what is about to be cut durable in a file of its own, behind what was cut before."""
    is_new = path.name not in disk.names(path.parent)
    cut = disk.create(path) if is_new else disk.open(path, is_writable=True)
    try:
        offset, to = start, cut.size()
        while block := file.read_at(offset, LINE_BYTES_MAX):
            cut.write_at(to, block)
            offset += len(block)
            to += len(block)
        cut.datasync()
    finally:
        cut.close()
    disk.sync_dir(path.parent)


def _lines(file: File, path: Path) -> Iterator[_Line]:
    """Yield each line; the last one may not be ended, or not be there yet as a whole."""
    rest = b""
    offset = 0
    while block := file.read_at(offset, LINE_BYTES_MAX):
        offset += len(block)
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield _Line(line + b"\n", _letter(line, path), is_ended=True)
    if not rest:
        return
    for line in (rest, rest[:-1]):  # its line end is missing, or is the byte that was damaged
        if (letter := _letter(line, path)) is not None:
            yield _Line(line + b"\n", letter, is_ended=True)
            return
    yield _Line(rest + b"\n", None, is_ended=False)


def _letter(line: bytes, path: Path) -> DeadLetter | None:
    try:
        version = msgspec.json.decode(line, type=_Version).v
        if version > FORMAT:
            raise ContractError(
                f"{path}: expected format {FORMAT}, got {version}:"
                f" read it with the version of fractal-agent that knows format {version}"
            )
        return msgspec.json.decode(line, type=DeadLetter)
    except UNDECODABLE:
        return None


def _refused(path: Path, error: OSError) -> DurabilityError:
    return DurabilityError(f"{path}: expected a working disk, got {error.strerror}")
