"""What a stream says of its frames and of what opening or reading it found."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, repeat
from typing import NamedTuple, overload

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


class PlacedFrames:
    """Where frames went that were appended together: one after the other, to one segment.

    A ``Placed`` of each is made when it is asked for.

    Attributes:
        first_seq: Of the first frame; the others have the numbers behind it.
        segment: The ordinal of theirs.
        offsets: Where each stands in it, in bytes.
    """

    __slots__ = ("first_seq", "offsets", "segment")

    def __init__(self, first_seq: int, segment: int, offsets: Sequence[int]) -> None:
        self.first_seq = first_seq
        self.segment = segment
        self.offsets = offsets

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.offsets)

    def __iter__(self) -> Iterator[Placed]:
        """Return where each went, in their order."""
        # No call in Python for each of them: ``Placed(…)`` would be one, ``Position(…)`` another.
        positions = map(
            _new, repeat(Position), zip(repeat(self.segment), self.offsets, strict=False)
        )
        return map(_new, repeat(Placed), zip(count(self.first_seq), positions, strict=False))

    @overload
    def __getitem__(self, index: int) -> Placed: ...
    @overload
    def __getitem__(self, index: slice) -> "PlacedFrames": ...
    def __getitem__(self, index: int | slice) -> "Placed | PlacedFrames":
        """Return where one went, or where several went that follow each other."""
        if isinstance(index, slice):
            start, stop, _ = index.indices(len(self.offsets))
            return PlacedFrames(self.first_seq + start, self.segment, self.offsets[start:stop])
        offset = self.offsets[index]
        number = index if index >= 0 else index + len(self.offsets)
        return Placed(self.first_seq + number, Position(self.segment, offset))


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
