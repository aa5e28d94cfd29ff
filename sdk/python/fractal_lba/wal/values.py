"""What a stream says of its frames and of what opening or reading it found."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count, repeat
from typing import NamedTuple

_new = tuple.__new__


class Position(NamedTuple):
    """Where a frame stands: the ordinal of its segment and the offset in bytes.

    A position holds until the stream is opened or reopened: the frames that recovery copied
    (``Recovery.copied``, the last ones of the stream) stand elsewhere afterwards.
    """

    segment: int
    offset: int


class Placed(NamedTuple):
    """Where an appended frame went."""

    seq: int
    position: Position


def placed(first_seq: int, segment: int, offsets: Iterable[int]) -> list[Placed]:
    """Return where frames went that were appended together, the first one under this number."""
    # No call in Python for each of them: ``Placed(…)`` would be one, and ``Position(…)`` another.
    positions = map(_new, repeat(Position), zip(repeat(segment), offsets, strict=False))
    return list(map(_new, repeat(Placed), zip(count(first_seq), positions, strict=False)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A segment that is not written any more: its ordinal, its frames, its bytes, its birth."""

    ordinal: int
    first_seq: int
    next_seq: int
    size: int
    created_ns: int


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a stream that are not what was written, or are not there.

    ``length`` is 0 where whole frames or segments are missing. ``first_seq`` to ``last_seq`` are
    the frames lost in it: both ``None`` where none is, or where nothing tells which.
    ``is_loss`` is false for what was never acknowledged (a torn tail, an unfinished file), which
    only a reader that may not write reports: recovery puts it aside.
    """

    segment: str
    offset: int
    length: int
    first_seq: int | None
    last_seq: int | None
    what: str
    is_loss: bool = True

    def __str__(self) -> str:  # type: ignore[explicit-override]  # typing has it from 3.12 on
        """Return it for a person: where, how much, what, and which frames."""
        where = f"{self.segment} at {self.offset}, {self.length} bytes: {self.what}"
        if self.first_seq is None and self.last_seq is None:
            return where
        return f"{where}; frames {self.first_seq or '?'} to {self.last_seq or '?'} lost"


@dataclass(frozen=True, slots=True)
class Recovery:
    """What opening a stream found.

    ``frames`` counts the sound frames of the last segment, the only one opening reads whole, and
    ``copied`` those of them that went to the fresh segment: the last ones of the stream, from
    ``next_seq - copied`` on. ``torn_bytes`` are in ``cut_files``, names in the stream's folder.
    ``damage`` is what was seen on the way; a scan sees all of it.
    """

    frames: int
    copied: int
    torn_bytes: int
    cut_files: tuple[str, ...]
    damage: tuple[Damage, ...]
