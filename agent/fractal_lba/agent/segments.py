"""Segments of the outbox: what each takes on disk, how much of it still waits, what stands in it.

Pure. From this the outbox tells when old segments are worth giving up, and finds the windows it has
to carry over first without looking at every pending one.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Segment:
    """One segment.

    Attributes:
        first_seq: Number of its first frame.
        last_seq: Number of its last frame.
        size: Bytes of its frames.
        live: Bytes of those that are pending windows.
        carried: Numbers of the windows that an earlier compaction copied into it.
    """

    first_seq: int
    last_seq: int = 0
    size: int = 0
    live: int = 0
    carried: "array[int]" = field(default_factory=lambda: array("Q"))


@dataclass(frozen=True, slots=True)
class Front:
    """The oldest segments, which are to be given up.

    Attributes:
        ordinals: Of them.
        kept_from: Number of the first frame behind them.
        size: Bytes of the frames in them.
        live: Bytes of the windows in them that have to be carried over.
    """

    ordinals: tuple[int, ...]
    kept_from: int
    size: int
    live: int


class Segments:
    """All segments of an outbox, oldest first; the last one is written to.

    Attributes:
        size: Bytes of the frames in all of them.
    """

    def __init__(self) -> None:
        self._segments: dict[int, _Segment] = {}
        self.size = 0

    def __len__(self) -> int:
        """Return how many hold a frame."""
        return len(self._segments)

    def write(self, ordinal: int, first_seq: int, last_seq: int, size: int) -> None:
        """Note frames at the end of a segment."""
        segment = self._segments.setdefault(ordinal, _Segment(first_seq))
        segment.last_seq = last_seq
        segment.size += size
        self.size += size

    def carry(self, ordinal: int, seq: int) -> None:
        """Note that the window of this number was copied into a segment."""
        self._segments[ordinal].carried.append(seq)

    def live(self, ordinal: int, size: int) -> None:
        """Note that so many bytes of a segment wait from now on; negative where no longer."""
        segment = self._segments.get(ordinal)
        if segment is not None:
            segment.live += size

    def drop(self, front: Front) -> None:
        """Forget segments that are gone."""
        for ordinal in front.ordinals:
            self.size -= self._segments.pop(ordinal).size

    def numbers(self, front: Front) -> Iterator[int]:
        """Yield the numbers that windows in these segments can have."""
        for ordinal in front.ordinals:
            segment = self._segments[ordinal]
            yield from segment.carried
            yield from range(segment.first_seq, segment.last_seq + 1)

    def dead(self) -> int:
        """Return the bytes in sealed segments that nothing waits for."""
        sealed = list(self._segments.values())[:-1]
        return sum(segment.size - segment.live for segment in sealed)

    def front(self, carry_bytes_max: int) -> Front | None:
        """Return the oldest segments that can be given up at once; None when none is sealed.

        At least one, and further ones as long as half of each is dead and the bytes to be carried
        stay within the bound.
        """
        segments = list(self._segments.items())
        live = 0
        count = 0
        for _, segment in segments[:-1]:
            is_more = 2 * segment.live <= segment.size and live + segment.live <= carry_bytes_max
            if count and not is_more:
                break
            count += 1
            live += segment.live
        if not count:
            return None
        ordinals = tuple(ordinal for ordinal, _ in segments[:count])
        size = sum(segment.size for _, segment in segments[:count])
        return Front(ordinals, segments[count][1].first_seq, size, live)
