"""What every file source shares: its name in the outbox, its mark, and the checks at a return.

The rule: a source that is not what was read before is refused, never silently read from the middle.
"""

import hashlib
from collections.abc import Generator
from pathlib import Path
from typing import Protocol

from fractal_lba.agent.window import UNITS_MIN, SourcePosition, Window
from fractal_lba.protocol import ContractError, Profile

# How much of what was already read is compared at a return: one disk page, enough to tell two files
# apart that do not repeat themselves, and cheap after every window.
MARK_BYTES = 4096


class ChangedError(ContractError):
    """The file is not the one that was read before: shorter, or with other content."""


class FileSource(Protocol):
    """A finite source with a position."""

    key: str
    """Names the source in the outbox: the same for a file, in whatever folder the agent runs."""

    name: str
    """Names the source for people: the path as it was given."""

    profile: Profile

    left_over: str
    """What the last reading found and left for a later run, in words; empty for nothing."""

    def windows(self, after: SourcePosition | None, window: int) -> Generator[Window, None, None]:
        """Yield the windows behind a position in order; blocking.

        Raises:
            ContractError: The file cannot be read as this source, is too short, or is not what was
                read before; windows yielded until then stand.
        """


class GrowingSource(FileSource, Protocol):
    """A file that can also be read while it is being written."""

    def grown(self, after: SourcePosition | None, window: int) -> Generator[Window, None, None]:
        """Yield the windows behind a position that are whole; leave what may still go on.

        At least 3 units stay behind the last one, so that whatever comes next, the end of the file
        too, can be summarised.

        Raises:
            ContractError: As ``windows``, but that a file may still be short.
        """

    def at(self, path: Path) -> "GrowingSource":
        """Return the same source, read from another path."""

    def check(self, after: SourcePosition) -> None:
        """Check that the file is the one a position was taken in.

        Raises:
            ChangedError: It is not.
            ContractError: It cannot be read as this source.
        """


def source_key(kind: str, path: Path) -> str:
    """Return the outbox's name of a file: its kind and its absolute address, links resolved."""
    return f"{kind}+{path.resolve().as_uri()}"


def mark_of(*parts: bytes) -> str:
    """Return the digest that stands for what lies before a position."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def check_size(name: str, after: SourcePosition, *, size: int, unit: str) -> None:
    """Check that a file still reaches to where it was read.

    Raises:
        ChangedError: It is shorter; nothing was read.
    """
    if size < after.offset:
        raise ChangedError(
            f"{name}: expected at least {after.offset} {unit}, which were read before, got {size}:"
            " the file was truncated or replaced; give it another name or use another data folder"
        )


def check_mark(name: str, after: SourcePosition, *, mark: str) -> None:
    """Check that what lies before the position is what was read.

    Raises:
        ChangedError: It differs; nothing was read.
    """
    if mark != after.mark:
        raise ChangedError(
            f"{name}: expected the content that was read before position {after.offset}, got other:"
            " the file was changed or replaced; give it another name or use another data folder"
        )


def check_length(name: str, units: int, *, unit: str) -> None:
    """Check that a source holds enough for one window.

    Raises:
        ContractError: It does not.
    """
    if units < UNITS_MIN:
        raise ContractError(f"{name}: expected at least {UNITS_MIN} {unit}, got {units}")
