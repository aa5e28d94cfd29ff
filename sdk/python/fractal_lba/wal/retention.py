"""Remove whole segments from the front of a stream, and nothing that is still needed.

The order of effects, each of which may be the last before a crash:

1. The cursor, the frame that says what is no longer needed, is durable: the caller appended it.
2. The segment that is written is sealed, so that the cursor is marked durable too.
3. The next one is made, durable and named. Its header carries the bound, the first number that is
   kept, and every later header repeats it: from here on what is below is not missed by anyone, and
   nothing but the removal is left to do.
4. Segments that are known as damaged are renamed to ``NAME.bad``, the others are removed. What a
   crash brings back of them is below the bound: readers pass over it, recovery removes it.

So the front of a stream whose segments were lost is told from one that retention removed: the bound
does not cover what was lost.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from fractal_lba.protocol.errors import ContractError
from fractal_lba.wal.disk import Disk
from fractal_lba.wal.folder import BAD_SUFFIX, Segment
from fractal_lba.wal.values import Sealed


@dataclass(frozen=True, slots=True)
class Retained:
    """What a retention did.

    ``first_seq`` is the number of the first frame that is kept. ``set_aside`` are the damaged
    segments that went out of the stream and stay in its folder, by their names there.
    """

    first_seq: int
    removed: int
    removed_bytes: int
    set_aside: tuple[str, ...]


def sealed(segments: Sequence[Segment]) -> tuple[Sealed, ...]:
    """Return what is known of closed segments, but for those whose header is damaged."""
    return tuple(
        Sealed(
            ordinal=segment.ordinal,
            first_seq=segment.header.first_seq,
            next_seq=segment.next_seq,
            size=segment.size,
            created_ns=segment.header.created_ns,
        )
        for segment in segments
        if segment.header is not None and segment.next_seq is not None
    )


def check_cursor(stream: str, seq: int, *, cursor_seq: int, next_seq: int) -> None:
    """Check that a retention can be true.

    Raises:
        ContractError: The cursor is not in the stream, or is not kept itself.
    """
    if not seq <= cursor_seq < next_seq:
        raise ContractError(
            f"stream {stream}: expected a cursor that was appended, from {seq} to {next_seq - 1}, "
            f"got {cursor_seq}"
        )


def split(segments: Sequence[Segment], seq: int) -> int:
    """Return how many segments at the front hold only frames before ``seq``.

    The one after them begins at ``seq`` or before, and its header is sound: its first number is the
    bound.
    """
    for index in range(len(segments) - 1, 0, -1):
        header = segments[index].header
        if header is not None and header.first_seq <= seq:
            return index
    return 0


def remove(disk: Disk, segments: Sequence[Segment], damaged: AbstractSet[str]) -> tuple[str, ...]:
    """Remove segments that the bound passes over; return the names of those set aside.

    Raises:
        OSError: The disk failed; the next recovery removes the others.
    """
    set_aside: list[str] = []
    for segment in segments:
        if segment.name in damaged:
            path = segment.path.with_name(segment.name + BAD_SUFFIX)
            disk.rename(segment.path, path)
            set_aside.append(path.name)
    for segment in segments:
        if segment.name not in damaged:
            disk.unlink(segment.path)
    return tuple(set_aside)
