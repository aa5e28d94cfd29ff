"""Tell corruption from a torn tail in the segment that was written last.

The highest ``durable_offset`` of any sound batch header divides it, or its footer. Below,
everything was durable once: what does not verify there is corruption, is reported and is never cut.
Above, a write may have been under way: the frames that follow without a gap survive, what comes
after them is the torn tail.
"""

from dataclasses import dataclass

from fractal_lba.wal.footer import FooterAt
from fractal_lba.wal.framing import HEADER_BYTES, BatchAt, FrameAt, SegmentKey
from fractal_lba.wal.walk import Gap, walk


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """A last segment, taken apart.

    ``durable_end`` divides it; ``torn_at`` is where the torn tail begins, the segment's length when
    there is none. ``kept`` is everything before that: frames, and the gaps of corruption.
    ``survivors`` are the frames above the division. ``next_seq`` follows the last frame that
    counts, ``None`` when the segment cannot tell.
    """

    durable_end: int
    torn_at: int
    kept: tuple[FrameAt | Gap, ...]
    survivors: tuple[FrameAt, ...]
    next_seq: int | None

    @property
    def marked(self) -> tuple[FrameAt | Gap, ...]:
        """Return what is kept without the survivors."""
        unmarked = set(self.survivors)
        return tuple(item for item in self.kept if item not in unmarked)


def examine(data: bytes, key: SegmentKey, first_seq: int | None) -> Tail:
    """Take a last segment apart.

    Args:
        data: All of the segment.
        key: Of the segment.
        first_seq: From its header; ``None`` when that is damaged.
    """
    items = list(walk(data, key, end=len(data), first_seq=first_seq))
    durable_end = HEADER_BYTES
    deciding = 0
    next_seq = first_seq
    for index, item in enumerate(items):
        if isinstance(item, FooterAt):
            durable_end, deciding, next_seq = item.offset, index, item.next_seq
        elif isinstance(item, BatchAt) and item.durable_offset >= durable_end:
            durable_end, deciding, next_seq = item.durable_offset, index, item.first_seq
    kept: list[FrameAt | Gap] = []
    survivors: list[FrameAt] = []
    torn_at = min(durable_end, len(data))
    for index, item in enumerate(items):
        end = item.offset + item.length if isinstance(item, Gap) else item.end
        # A gap of length 0 right at the division stands before the batch that tells of it.
        is_durable = item.offset < durable_end or (index < deciding and end <= durable_end)
        if isinstance(item, Gap):
            if not is_durable:
                break
            kept.append(item)
        elif isinstance(item, FrameAt):
            kept.append(item)
            if not is_durable:
                survivors.append(item)
                torn_at, next_seq = item.end, item.seq + 1
        elif isinstance(item, FooterAt) or item.frames == 0:
            torn_at = max(torn_at, item.end)
    return Tail(
        durable_end=durable_end,
        torn_at=torn_at,
        kept=tuple(kept),
        survivors=tuple(survivors),
        next_seq=next_seq,
    )
