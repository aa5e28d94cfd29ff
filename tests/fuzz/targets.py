"""Every fuzz target: what it is fed from, and what it is held to."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fuzz import batch_targets, file_targets, json_targets, legacy_targets, wal_targets

CORPUS: Final = Path(__file__).parent / "corpus"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Code that reads bytes it must not trust.

    Attributes:
        name: Also the name of its corpus file.
        read: Reads an input and asserts everything that must hold; returns what became of it.
        made: Seeds that are written by the code's own writers.
        pieces: What a mutation puts in.
        is_text: Whether inputs have tokens.
    """

    name: str
    read: Callable[[bytes], str]
    made: tuple[bytes, ...]
    pieces: tuple[bytes, ...]
    is_text: bool = True

    @property
    def corpus(self) -> list[bytes]:
        """Inputs that were found, or thought of, to be worth a second look."""
        path = CORPUS / f"{self.name}.txt"
        if not path.exists():
            return []
        lines = path.read_text(encoding="ascii").splitlines()
        return [unescaped(line) for line in lines if line and not line.startswith("#")]

    @property
    def seeds(self) -> list[bytes]:
        """What mutations begin from."""
        return [*self.made, *self.corpus]


def escaped(data: bytes) -> str:
    r"""Return bytes as a line of a corpus file: ASCII, the rest as ``\xNN``."""
    text = data.decode("latin-1").encode("unicode_escape").decode("ascii")
    return "\\x23" + text[1:] if text.startswith("#") else text or "\\"


def unescaped(line: str) -> bytes:
    """Return the bytes of a line of a corpus file."""
    return b"" if line == "\\" else line.encode("ascii").decode("unicode_escape").encode("latin-1")


TARGETS: Final = {
    target.name: target
    for target in (
        Target(
            name="jcs",
            read=json_targets.jcs,
            made=(*json_targets.VALUES, json_targets.RECORDS[0]),
            pieces=json_targets.PIECES,
        ),
        Target(
            name="record_json",
            read=json_targets.record_json,
            made=(*json_targets.VALUES, json_targets.RECORDS[0]),
            pieces=json_targets.PIECES,
        ),
        Target(
            name="record",
            read=json_targets.record,
            made=json_targets.RECORDS,
            pieces=json_targets.PIECES,
        ),
        Target(
            name="legacy_record",
            read=legacy_targets.legacy_record,
            made=legacy_targets.RECORDS,
            pieces=legacy_targets.PIECES,
        ),
        Target(
            name="batch",
            read=batch_targets.batch,
            made=batch_targets.SENT,
            pieces=batch_targets.PIECES,
            is_text=False,
        ),
        Target(
            name="segment",
            read=wal_targets.segment,
            made=wal_targets.SEGMENTS,
            pieces=wal_targets.PIECES,
            is_text=False,
        ),
        Target(
            name="stored",
            read=wal_targets.stored,
            made=wal_targets.STORED,
            pieces=wal_targets.STORED_PIECES,
            is_text=False,
        ),
        Target(
            name="cursor",
            read=file_targets.cursor,
            made=(*file_targets.GIVEN_CURSORS, *file_targets.OTHER_CURSORS),
            pieces=file_targets.CURSOR_PIECES,
            is_text=False,
        ),
        Target(
            name="keyring",
            read=file_targets.keyring,
            made=file_targets.KEYRINGS,
            pieces=file_targets.KEYRING_PIECES,
        ),
        Target(
            name="settings",
            read=file_targets.settings,
            made=file_targets.SETTINGS,
            pieces=file_targets.SETTINGS_PIECES,
        ),
    )
}
