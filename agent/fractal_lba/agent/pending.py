"""Pending windows: where the frame of each unanswered window stands, in few bytes of memory.

The outbox may hold a million of them, and bodies are on disk: what is kept here for each is one
entry of a dictionary and one integer, about 150 bytes with its number and its place in the queue
(``tests/unit/agent/test_pending.py`` measures it).

The integer's bits, from the lowest::

    | received, ms since 1970: 44 | bytes of the frame: 24 | offset: 30 | stream: 24 | segment |

Streams are numbered in the order in which they came.
"""

from collections.abc import Iterator, Sequence
from itertools import count, pairwise
from typing import NamedTuple

from fractal_lba.agent.segments import Segments
from fractal_lba.wal import NewFrame, PlacedFrames, Position

NS_PER_MS = 1_000_000

_MS_BITS = 44
_SIZE_BITS = 24
_OFFSET_BITS = 30  # a segment has at most 1 GiB
_STREAM_BITS = 24  # more streams than windows that may wait
_OFFSET_AT = _MS_BITS + _SIZE_BITS
_MS_MAX = (1 << _MS_BITS) - 1
_BELOW_STREAM = _MS_BITS + _SIZE_BITS + _OFFSET_BITS


class Place(NamedTuple):
    """Where a pending window stands.

    Attributes:
        position: Of its frame.
        size: Bytes of its frame.
        received_ms: When it was observed, ms since 1970.
        shard_id: Its stream.
    """

    position: Position
    size: int
    received_ms: int
    shard_id: str


class Pending:
    """The places of the windows without a final answer, by their numbers, oldest first.

    Args:
        segments: Told where they stand.

    Attributes:
        size: Bytes of all their frames.
    """

    __slots__ = ("_names", "_numbers", "_places", "_segments", "size")

    def __init__(self, segments: Segments) -> None:
        self._places: dict[int, int] = {}
        self._segments = segments
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        self.size = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._places)

    def __iter__(self) -> Iterator[int]:
        """Return their numbers, oldest first."""
        return iter(self._places)

    def __contains__(self, seq: object) -> bool:
        """Return whether a number is pending."""
        return seq in self._places

    def __getitem__(self, seq: int) -> Place:
        """Return the place of a pending window; ``KeyError`` when it is not pending."""
        return self._unpacked(self._places[seq])

    def keep(self, seq: int, place: Place) -> None:
        """Add a window, or note that it stands elsewhere now."""
        places = self._places
        before = places.get(seq)
        if before is not None:
            self._count(self._unpacked(before), -1)
        (segment, offset), size, received_ms, shard_id = place
        stream = self._numbers.get(shard_id)
        if stream is None:
            stream = self._number(shard_id)
        places[seq] = _packed(segment, stream, offset, size, received_ms)
        self.size += size
        self._segments.live(segment, size)

    def add(
        self, placed: PlacedFrames, frames: Sequence[NewFrame], shard_ids: Sequence[str], size: int
    ) -> None:
        """Add windows that were appended together, so many bytes in all, under new numbers."""
        places, offsets, segment = self._places, placed.offsets, placed.segment
        ends = (*offsets[1:], offsets[0] + size)
        bases = {each: self._base(segment, each) for each in dict.fromkeys(shard_ids)}
        for seq, offset, end, frame, shard_id in zip(
            count(placed.first_seq), offsets, ends, frames, shard_ids, strict=False
        ):
            received_ms = min(frame[0] // NS_PER_MS, _MS_MAX)
            at = (offset << _SIZE_BITS | end - offset) << _MS_BITS
            places[seq] = bases[shard_id] | at | received_ms
        self.size += size
        self._segments.live(segment, size)

    def end(self, seq: int) -> bool:
        """Remove a window; False when it is not pending."""
        packed = self._places.pop(seq, None)
        if packed is None:
            return False
        self._count(self._unpacked(packed), -1)
        return True

    def sort(self) -> None:
        """Let the oldest be the first again, where copies of old windows stood behind others."""
        seqs = list(self._places)
        if any(seq > following for seq, following in pairwise(seqs)):
            self._places = {seq: self._places[seq] for seq in sorted(seqs)}

    def oldest(self) -> Place | None:
        """Return the place of the window that has waited longest."""
        for packed in self._places.values():
            return self._unpacked(packed)
        return None

    def streams(self) -> Iterator[tuple[int, str]]:
        """Yield the number and the stream of each, oldest first."""
        for seq, packed in self._places.items():
            yield seq, self._names[packed >> _BELOW_STREAM & (1 << _STREAM_BITS) - 1]

    def _base(self, segment: int, shard_id: str) -> int:
        """Return segment and stream, in their places."""
        stream = self._numbers.get(shard_id)
        if stream is None:
            stream = self._number(shard_id)
        return _packed(segment, stream, 0, 0, 0)

    def _number(self, shard_id: str) -> int:
        number = self._numbers[shard_id] = len(self._names)
        self._names.append(shard_id)
        return number

    def _count(self, place: Place, sign: int) -> None:
        self.size += sign * place.size
        self._segments.live(place.position.segment, sign * place.size)

    def _unpacked(self, packed: int) -> Place:
        above = packed >> _BELOW_STREAM
        segment, stream = above >> _STREAM_BITS, above & (1 << _STREAM_BITS) - 1
        offset = packed >> _MS_BITS + _SIZE_BITS & (1 << _OFFSET_BITS) - 1
        return Place(
            Position(segment, offset), _size(packed), packed & _MS_MAX, self._names[stream]
        )


def _packed(segment: int, stream: int, offset: int, size: int, received_ms: int) -> int:
    return (
        (segment << _STREAM_BITS | stream) << _BELOW_STREAM
        | offset << _OFFSET_AT
        | size << _MS_BITS
        | min(_MS_MAX, received_ms)
    )


def _size(packed: int) -> int:
    return packed >> _MS_BITS & (1 << _SIZE_BITS) - 1
