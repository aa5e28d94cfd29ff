"""Choosing a source: what a user wrote on the command line, turned into one that can be read.

``live:`` is the host; otherwise a path, whose profile decides how it is read: ``bytes/1`` takes any
file, ``points/1`` takes ``.csv`` and ``.npy``. Without a profile the name's ending decides.
"""

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fractal_lba.agent.sources import live
from fractal_lba.agent.sources.base import FileSource
from fractal_lba.agent.sources.byte_file import ByteFile
from fractal_lba.agent.sources.csv_rows import CsvRows
from fractal_lba.agent.sources.live import LiveSource
from fractal_lba.agent.sources.npy_rows import NpyRows
from fractal_lba.protocol import ContractError, Profile

# The wire's `shard_id`.
_SHARD_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_SHARD_ID_OTHER = re.compile(r"[^A-Za-z0-9._:-]", re.ASCII)
_SHARD_ID_MAX = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStream:
    """A file and the stream its windows belong to."""

    shard_id: str
    source: FileSource


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveStream:
    """The live source and the stream its windows belong to."""

    shard_id: str
    source: LiveSource


def choose(
    texts: Sequence[str],
    *,
    profile: Profile | None,
    columns: Sequence[str] | None,
    shard_id: str | None,
) -> tuple[list[FileStream], LiveStream | None]:
    """Return the files in the order given, and the live source if it was named.

    Args:
        texts: ``live:`` or paths.
        profile: How to read them; None to let each name's ending decide.
        columns: Columns of the CSV files; None for all.
        shard_id: The stream of all of them; None for one named after each.

    Raises:
        ContractError: Something does not fit together; nothing was read.
    """
    if shard_id is not None and not _SHARD_ID.fullmatch(shard_id):
        raise ContractError(
            f"shard id: expected [A-Za-z0-9._:-]{{1,{_SHARD_ID_MAX}}}, got {shard_id!r}"
        )
    streams: list[FileStream] = []
    stream_live: LiveStream | None = None
    seen: set[str] = set()
    for text in texts:
        if text == live.KEY:
            _once(text, live.KEY, seen)
            if profile is Profile.BYTES:
                raise ContractError(f"{text}: expected the profile points/1, got bytes/1")
            name = shard_id or _shard_id_of(f"live:{socket.gethostname()}")
            stream_live = LiveStream(shard_id=name, source=LiveSource())
        else:
            path = Path(text)
            source = _file_source(path, profile, columns)
            _once(text, source.key, seen)
            name = shard_id or _shard_id_of(path.name)
            streams.append(FileStream(shard_id=name, source=source))
    if stream_live and any(stream.shard_id == stream_live.shard_id for stream in streams):
        raise ContractError(
            f"{live.KEY}: expected a shard id of its own, got {stream_live.shard_id!r}, a file's"
        )
    if columns is not None and not any(isinstance(stream.source, CsvRows) for stream in streams):
        raise ContractError("columns: expected a CSV file to take them from, got none")
    return streams, stream_live


def _once(text: str, key: str, seen: set[str]) -> None:
    if key in seen:
        raise ContractError(f"{text}: expected each source once, got it twice")
    seen.add(key)


def _file_source(path: Path, profile: Profile | None, columns: Sequence[str] | None) -> FileSource:
    try:
        is_regular, is_folder = path.is_file(), path.is_dir()
    except OSError as error:
        raise ContractError(f"{path}: expected a readable file, got {error.strerror}") from error
    if not is_regular:
        what = "a folder" if is_folder else "no such file"
        raise ContractError(f"{path}: expected a regular file or live:, got {what}")
    ending = path.suffix.lower()
    if profile is Profile.BYTES or (profile is None and ending not in (".csv", ".npy")):
        return ByteFile(path)
    if ending == ".csv":
        return CsvRows(path, columns)
    if ending == ".npy":
        return NpyRows(path)
    raise ContractError(f"{path}: expected .csv, .npy or live: for points/1, got {ending!r}")


def _shard_id_of(name: str) -> str:
    return _SHARD_ID_OTHER.sub("-", name)[:_SHARD_ID_MAX]
