"""What of an inbox may go: whole segments of finished bodies that are no evidence any more.

Evidence is a body that was refused. It stays until its segment is too old or the finished segments
from there on are too large, whichever comes first; with nothing refused in them they go at once.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol


class Sealed(Protocol):
    """A segment that is not written any more."""

    @property
    def ordinal(self) -> int:
        """Return what names it."""

    @property
    def first_seq(self) -> int:
        """Return the number of its first frame."""

    @property
    def next_seq(self) -> int:
        """Return the number after its last frame."""

    @property
    def size(self) -> int:
        """Return its bytes."""

    @property
    def created_ns(self) -> int:
        """Return when it was begun, in nanoseconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """How long evidence stays at the most, and how many bytes of segments for it."""

    age_ns: int = 86_400_000_000_000
    bytes_max: int = 256 << 20


def kept_from(
    segments: Sequence[Sealed],
    *,
    finished_before: int,
    refused: AbstractSet[int],
    evidence: Evidence,
    now_ns: int,
) -> int:
    """Return the number of the first frame that stays.

    Args:
        segments: The sealed ones, oldest first.
        finished_before: Every body before this number is finished, as durable marks say.
        refused: Ordinals of the segments that hold a refused body.
        evidence: Its bounds.
        now_ns: Now.
    """
    kept = finished_before
    size = 0
    for segment in reversed(segments):
        if segment.next_seq > finished_before:
            continue
        size += segment.size
        if size > evidence.bytes_max or now_ns - segment.created_ns > evidence.age_ns:
            break
        if segment.ordinal in refused:
            kept = segment.first_seq
    return kept
