"""Choosing a source: what a user wrote on the command line, turned into one that can be read.

``live:`` is the host and ``-`` standard input; otherwise a path, whose profile decides how it is
read: ``bytes/1`` takes any file, ``points/1`` tables and arrays. Without a profile the ending of
the name decides. A folder stands for the files below it.
"""

import os
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fractal_lba.agent.sources import live, standard_input
from fractal_lba.agent.sources.base import FileSource
from fractal_lba.agent.sources.byte_file import ByteFile
from fractal_lba.agent.sources.csv_rows import CsvRows
from fractal_lba.agent.sources.followed import Followed
from fractal_lba.agent.sources.live import LiveSource
from fractal_lba.agent.sources.ndjson_rows import NdjsonRows
from fractal_lba.agent.sources.npy_rows import NpyRows
from fractal_lba.agent.sources.npz_rows import NpzRows, arrays_of
from fractal_lba.agent.sources.parquet_rows import ParquetRows
from fractal_lba.agent.sources.standard_input import StandardInput
from fractal_lba.agent.sources.streams import FileStream, FollowedStream, LiveStream, UnitStream
from fractal_lba.agent.sources.text_pieces import TextPiece, TextPieces
from fractal_lba.agent.sources.timed import Timing
from fractal_lba.agent.window import check_period
from fractal_lba.protocol import ContractError, Profile

_TABLES = (".csv", ".ndjson", ".jsonl", ".parquet", ".npy", ".npz")

# Each is a source with a key in the outbox; a folder of more is better given in parts.
FILES_MAX = 100_000

# The wire's `shard_id`.
_SHARD_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_SHARD_ID_OTHER = re.compile(r"[^A-Za-z0-9._:-]", re.ASCII)
_SHARD_ID_MAX = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """How sources are to be read.

    Attributes:
        profile: None to let each name's ending decide.
        columns: Columns of tables; None for all.
        shard_id: The stream of all of them; None for one named after each.
        text: Each text of a file is a window; None for windows of so many bytes.
        is_followed: Files are read as they grow.
        period_s: Seconds of a window; None to count rows.
        time_column: Holds the times of a table's rows; what comes by itself is cut as it arrives.
        lateness_s: A window of a table waits so long for rows of its period, in the rows' time.
        is_repairing: What a table, an array or this machine lacks is replaced and named.
    """

    profile: Profile | None = None
    columns: Sequence[str] | None = None
    shard_id: str | None = None
    text: TextPiece | None = None
    is_followed: bool = False
    is_repairing: bool = False
    period_s: float | None = None
    time_column: str | None = None
    lateness_s: float = 0.0

    @property
    def timing(self) -> Timing | None:
        """How the rows of tables are cut by their times."""
        if self.period_s is None or self.time_column is None:
            return None
        return Timing(
            column=self.time_column,
            period_ms=round(self.period_s * 1000),
            lateness_ms=round(self.lateness_s * 1000),
        )


@dataclass(slots=True, kw_only=True)
class Chosen:
    """What was named.

    Attributes:
        files: Finite ones, in the order given.
        followed: Those that are read as they grow.
        live: This machine's counters; None where they were not named.
        standard_input: None where it was not named.
    """

    files: list[FileStream] = field(default_factory=list)
    followed: list[FollowedStream] = field(default_factory=list)
    live: LiveStream | None = None
    standard_input: UnitStream | None = None

    def streams(self) -> Iterator[tuple[str, Profile]]:
        """Yield the stream and the profile of each."""
        for file in self.files:
            yield file.shard_id, file.source.profile
        for followed in self.followed:
            yield followed.shard_id, followed.source.profile
        if self.live is not None:
            yield self.live.shard_id, Profile.POINTS
        if self.standard_input is not None:
            yield self.standard_input.shard_id, self.standard_input.source.profile


def choose(texts: Sequence[str], choice: Choice) -> Chosen:
    """Return the sources that were named.

    Args:
        texts: ``live:``, ``-``, ``csv:-``, ``ndjson:-``, files and folders.
        choice: How to read them.

    Raises:
        ContractError: Something does not fit together; no window was read.
    """
    if choice.shard_id is not None and not _SHARD_ID.fullmatch(choice.shard_id):
        raise ContractError(
            f"shard id: expected [A-Za-z0-9._:-]{{1,{_SHARD_ID_MAX}}}, got {choice.shard_id!r}"
        )
    if choice.text is not None and choice.profile is Profile.POINTS:
        raise ContractError("text: expected the profile bytes/1, got points/1")
    _check_time(choice)
    chosen = Chosen()
    seen: set[str] = set()
    for text in texts:
        if text == live.KEY:
            _once(text, live.KEY, seen)
            if choice.profile is Profile.BYTES:
                raise ContractError(f"{text}: expected the profile points/1, got bytes/1")
            name = choice.shard_id or _shard_id_of(f"live:{socket.gethostname()}")
            chosen.live = LiveStream(
                shard_id=name, source=LiveSource(is_repairing=choice.is_repairing)
            )
        elif text in standard_input.WORDS:
            _once(text, standard_input.KEY, seen)
            chosen.standard_input = _standard_input(text, choice)
        else:
            for path, name in _files(Path(text)):
                _add(path, choice.shard_id or _shard_id_of(name), choice, chosen, seen)
    _check_together(texts, choice, chosen)
    return chosen


def _check_time(choice: Choice) -> None:
    if choice.period_s is not None:
        check_period(choice.period_s)
    elif choice.time_column is not None:
        raise ContractError("--time-column: expected --window-seconds beside it, got none")
    if choice.lateness_s and choice.timing is None:
        raise ContractError(
            "--lateness: expected --window-seconds and --time-column beside it, got not both"
        )


def _add(path: Path, shard_id: str, choice: Choice, chosen: Chosen, seen: set[str]) -> None:
    for name, source in _sources_of(path, choice):
        if choice.period_s is not None and getattr(source, "timing", None) is None:
            is_unnamed = choice.time_column is None
            raise ContractError(
                f"{path}: --window-seconds: expected a table or an array whose rows have a time"
                f" (--time-column), got {'no column named' if is_unnamed else 'bytes or texts'}"
            )
        _once(str(path), source.key, seen)
        stream = choice.shard_id or (_shard_id_of(f"{shard_id}:{name}") if name else shard_id)
        if not choice.is_followed:
            chosen.files.append(FileStream(shard_id=stream, source=source))
        elif isinstance(source, CsvRows | NdjsonRows | ByteFile | TextPieces):
            chosen.followed.append(
                FollowedStream(shard_id=stream, source=Followed(source, path.resolve()))
            )
        else:
            raise ContractError(f"{path}: expected CSV, NDJSON or bytes to follow, got an array")


def _standard_input(text: str, choice: Choice) -> UnitStream:
    source = StandardInput(text, choice.columns, is_repairing=choice.is_repairing)
    if choice.profile not in (None, source.profile) or choice.text is not None:
        wanted = choice.profile or f"texts, each a {choice.text}"
        raise ContractError(f"{text}: expected a source of {wanted}, got {source.profile}")
    return UnitStream(shard_id=choice.shard_id or "stdin", source=source)


def _check_together(texts: Sequence[str], choice: Choice, chosen: Chosen) -> None:
    others = [stream.shard_id for stream in chosen.files]
    others += [stream.shard_id for stream in chosen.followed]
    for stream in (chosen.standard_input, chosen.live):
        if stream is None:
            continue
        if stream.shard_id in others:
            name = live.KEY if stream is chosen.live else "standard input"
            raise ContractError(
                f"{name}: expected a shard id of its own, got {stream.shard_id!r}, another source's"
            )
        others.append(stream.shard_id)
    if choice.time_column is not None and texts and not (chosen.files or chosen.followed):
        raise ContractError(
            "--time-column: expected a file whose rows have a time, got only what comes by itself,"
            " which is cut as it arrives"
        )
    tables = any(
        isinstance(stream.source, CsvRows | NdjsonRows | ParquetRows) for stream in chosen.files
    ) or any(stream.source.profile is Profile.POINTS for stream in chosen.followed)
    is_piped = chosen.standard_input is not None and chosen.standard_input.source.name != "-"
    if choice.columns is not None and not (tables or is_piped):
        raise ContractError("columns: expected a table to take them from, got none")


def _once(text: str, key: str, seen: set[str]) -> None:
    if key in seen:
        raise ContractError(f"{text}: expected each source once, got it twice")
    seen.add(key)


def _files(path: Path) -> list[tuple[Path, str]]:
    """Return a file, or the files below a folder, each with the name of its stream."""
    try:
        is_regular, is_folder = path.is_file(), path.is_dir()
        if path.is_fifo():
            raise ContractError(
                f"{path}: expected a file, got a named pipe: read it as standard input,"
                f" csv:- < {path}"
            )
        if is_folder:
            return _below(path)
    except OSError as error:
        raise ContractError(f"{path}: expected a readable file, got {error.strerror}") from error
    if not is_regular:
        raise ContractError(f"{path}: expected a file, a folder, live: or -, got no such file")
    return [(path, path.name)]


def _below(folder: Path) -> list[tuple[Path, str]]:
    """Return the regular files below a folder in the order of their paths, hidden ones left out.

    Folders behind links are not entered: a link could lead back.
    """
    found: list[tuple[Path, str]] = []
    name = folder.resolve().name
    for at, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for each in sorted(files):
            path = Path(at, each)
            if not each.startswith(".") and path.is_file():
                below = path.relative_to(folder).as_posix().replace("/", "-")
                found.append((path, f"{name}-{below}"))
        if len(found) > FILES_MAX:
            raise ContractError(f"{folder}: expected at most {FILES_MAX} files below, got more")
    if not found:
        raise ContractError(f"{folder}: expected files below the folder, got none")
    return found


def _raise(error: OSError) -> None:
    raise error


def _sources_of(path: Path, choice: Choice) -> Iterator[tuple[str, FileSource]]:
    """Yield the sources of a file, each with its name in it where there are several."""
    ending = path.suffix.lower()
    is_repairing = choice.is_repairing
    if choice.text is not None:
        yield "", TextPieces(path, choice.text)
    elif choice.profile is Profile.BYTES or (choice.profile is None and ending not in _TABLES):
        yield "", ByteFile(path)
    elif ending == ".csv":
        yield "", CsvRows(path, choice.columns, is_repairing=is_repairing, timing=choice.timing)
    elif ending in (".ndjson", ".jsonl"):
        yield "", NdjsonRows(path, choice.columns, is_repairing=is_repairing, timing=choice.timing)
    elif ending == ".parquet":
        yield "", ParquetRows(path, choice.columns, is_repairing=is_repairing, timing=choice.timing)
    elif ending == ".npy":
        yield "", NpyRows(path, is_repairing=is_repairing, timing=choice.timing)
    elif ending == ".npz":
        times = None if choice.timing is None else choice.time_column  # those of the others
        arrays = [array for array in arrays_of(path) if array != times]
        if not arrays:
            raise ContractError(f"{path}: expected an array beside {times!r}, its times, got none")
        for array in arrays:
            yield array, NpzRows(path, array, is_repairing=is_repairing, timing=choice.timing)
    else:
        known = ", ".join(_TABLES)
        raise ContractError(f"{path}: expected {known} or live: for points/1, got {ending!r}")


def _shard_id_of(name: str) -> str:
    return _SHARD_ID_OTHER.sub("-", name)[:_SHARD_ID_MAX]
