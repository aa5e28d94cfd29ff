"""Dead letters: records whose final answer was no acceptance, kept for a person.

``DIR/dead-letters.ndjson``, one JSON object in each line::

    {"v", "outbox_seq", "pcs_id", "epoch", "shard_id", "status", "code", "answer", "record", "at"}

``v`` is the format's version, ``answer`` the answer's body as text, ``record`` the signed record as
it was kept, ``at`` when the answer came. A line is on disk before the outbox notes the answer;
after a crash between the two the record is sent again and the line written again, so a reader takes
the last line of each ``outbox_seq``. What a power cut tore at the end is no line: its record is
still in the outbox. Lines are added to the end; where some are taken out, the others are written to
another file that takes the name in one step.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from fractal_lba.agent.measures import Kind, Sample
from fractal_lba.client import Answer
from fractal_lba.protocol import (
    ContractError,
    DurabilityError,
    FencedError,
    Record,
    stored_bytes,
)
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


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One record that was not accepted, and the answer it got."""

    outbox_seq: int
    pcs_id: str
    epoch: int
    shard_id: str
    status: int
    code: str | None
    answer: str
    record: msgspec.Raw
    at: str
    v: int = FORMAT


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


class DeadLetters:
    """The file of one agent, open for appending; its methods block.

    Attributes:
        folder: The data folder it is in.
        count: Its lines.
    """

    def __init__(
        self, disk: Disk, data: Path, file: File | None, size: int, count: int = 0
    ) -> None:
        """Take over an open file; ``open`` is the usual way."""
        self._disk = disk
        self.folder = data
        self._file = file
        self._size = size
        self.count = count
        self._is_fenced = False

    @classmethod
    def open(cls, disk: Disk, data: Path) -> "DeadLetters":
        """Open the dead letters of a data folder; the file is made with its first line.

        Raises:
            DurabilityError: The disk refused.
            ContractError: A newer program wrote a line; nothing was changed.
        """
        path = data / FILE
        try:
            if FILE not in disk.names(data):
                return cls(disk, data, None, 0)
            file = disk.open(path, is_writable=True)
            try:
                size, count = _mend(disk, file, path)
            except BaseException:
                file.close()
                raise
        except OSError as error:
            raise _refused(path, error) from error
        return cls(disk, data, file, size, count)

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
        for _, letter in lines:
            yield letter


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
            for line, letter in lines:
                if is_taken(letter):
                    taken += 1
                else:
                    file.write_at(size, line + b"\n")
                    size += len(line) + 1
        file.datasync()
    finally:
        file.close()
    return taken


def _read(disk: Disk, data: Path) -> Generator[tuple[bytes, DeadLetter | None], None, None]:
    """Yield each whole line, and what it says."""
    path = data / FILE
    try:
        if FILE not in disk.names(data):
            return
        file = disk.open(path)
        try:
            for line in _whole_lines(file):
                yield line, _letter(line, path)
        finally:
            file.close()
    except OSError as error:
        raise _refused(path, error) from error


def _mend(disk: Disk, file: File, path: Path) -> tuple[int, int]:
    """Cut what a power cut tore, make the last lines durable, and return the file's size and lines.

    What comes after the last line that is a letter was never acknowledged: its records are still in
    the outbox. It is kept in ``_CUT``, unless it is a line without its end. A process before this
    one may have failed to sync what it wrote last, and reading it now tells only that it is in
    memory. Written again, it is on its way to the disk again.
    """
    offset = end = kept = 0
    for number, line in enumerate(_whole_lines(file), start=1):
        offset += len(line) + 1
        if _letter(line, path) is not None:
            end, kept = offset, number
    if end < offset or file.size() - offset > LINE_BYTES_MAX:
        _keep_cut(disk, file, path.with_name(_CUT), end)
    start = max(0, end - LINE_BYTES_MAX)
    file.truncate(end)
    file.write_at(start, file.read_at(start, end - start))
    file.datasync()
    return end, kept


def _keep_cut(disk: Disk, file: File, path: Path, start: int) -> None:
    """Make what is about to be cut durable in a file of its own, in place of one before."""
    if path.name in disk.names(path.parent):
        disk.unlink(path)
    cut = disk.create(path)
    try:
        offset = start
        while block := file.read_at(offset, LINE_BYTES_MAX):
            cut.write_at(offset - start, block)
            offset += len(block)
        cut.datasync()
    finally:
        cut.close()
    disk.sync_dir(path.parent)


def _whole_lines(file: File) -> Iterator[bytes]:
    rest = b""
    offset = 0
    while block := file.read_at(offset, LINE_BYTES_MAX):
        offset += len(block)
        *lines, rest = (rest + block).split(b"\n")
        yield from lines


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
