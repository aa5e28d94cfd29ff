"""Read segments in order: frames where they verify, damage where they do not.

One segment is in memory at a time, so memory is bounded by the longest segment file. A frame is
given once, even while a crash has left it both in an old segment and, copied, in the next.
"""

from collections.abc import Iterator

from fractal_lba.wal.disk import Disk
from fractal_lba.wal.folder import Folder, Segment, io_errors
from fractal_lba.wal.framing import (
    HEADER_BYTES,
    NO_ID,
    Frame,
    FrameAt,
    batch_at,
    frame_of,
)
from fractal_lba.wal.tail import examine
from fractal_lba.wal.values import Damage, Position
from fractal_lba.wal.walk import Gap, Walked, walk

Scanned = tuple[Position, Frame] | Damage


def scan_segments(
    disk: Disk, found: Folder, *, from_seq: int = 1, is_marked_only: bool = False
) -> Iterator[Scanned]:
    """Yield frames from ``from_seq`` on and the damage met between them.

    Segments that hold only earlier frames are not read, and nothing before the bound of a retention
    is missed. Of a segment whose end no header tells, the last one above all, the frames that
    recovery would keep are given, and a torn tail is reported as no loss; with ``is_marked_only``
    nothing above its durable end is given.

    Raises:
        DurabilityError: The disk failed.
    """
    segments = found.segments
    start, first_seq = 0, 0
    for index, segment in enumerate(segments):
        # Of several that begin with the same number all but the last hold nothing but damage.
        if segment.header is not None and first_seq < segment.header.first_seq <= from_seq:
            start, first_seq = index, segment.header.first_seq
    for item in scan_range(disk, found, start, len(segments), is_marked_only=is_marked_only):
        last_seq = item.last_seq if isinstance(item, Damage) else item[1].seq
        if last_seq is None or last_seq >= from_seq:
            yield item


def scan_range(
    disk: Disk, found: Folder, start: int, stop: int, *, is_marked_only: bool = False
) -> Iterator[Scanned]:
    """Yield what the segments with these indices hold, and what is missing between them."""
    expected = None if start else found.kept_from
    for index in range(start, stop):
        segment = found.segments[index]
        before = found.segments[index - 1] if index else None
        expected = _behind_passed_over(segment, expected)
        for item in _scan_segment(disk, segment, before, expected, is_marked_only=is_marked_only):
            last_seq = item.last_seq if isinstance(item, Damage) else item[1].seq
            if last_seq is not None:
                expected = last_seq + 1
            yield item
        if segment.next_seq is not None:
            expected = segment.next_seq


def read_segment(disk: Disk, segment: Segment) -> bytes:
    """Return a segment's bytes, up to its end where that is known.

    Raises:
        DurabilityError: The disk failed.
    """
    with io_errors(f"segment {segment.name}"):
        file = disk.open(segment.path)
        try:
            return file.read_at(0, file.size() if segment.end is None else segment.end)
        finally:
            file.close()


def first_seq_of(segment: Segment, data: bytes, expected: int | None) -> int | None:
    """Return the seq of a segment's first frame; its first batch tells when its header does not."""
    if segment.header is not None:
        return segment.header.first_seq
    batch = batch_at(data, HEADER_BYTES, len(data), segment.key)
    return expected if batch is None else batch.first_seq


def header_damage(segment: Segment) -> Damage | None:
    """Return a segment's damaged header as damage."""
    if segment.header is not None:
        return None
    length = min(HEADER_BYTES, segment.size)
    return Damage(segment.name, 0, length, None, None, "segment header does not verify")


def gap_damage(segment: Segment, gap: Gap) -> Damage:
    """Return a gap as damage of its segment."""
    return Damage(segment.name, gap.offset, gap.length, gap.first_seq, gap.last_seq, gap.what)


def missing_before(segment: Segment, before: Segment | None, expected: int | None) -> Damage | None:
    """Return the loss of whole segments between two that should follow each other, if there is one.

    Args:
        segment: The later one.
        before: The earlier one; ``None``: ``segment`` is the first there is.
        expected: The seq that should come next; ``None``: unknown.
    """
    header = segment.header
    before_id = NO_ID if before is None else before.key.segment_id
    if header is None or header.previous_id == before_id:
        return None
    if expected is None or expected >= header.passed_from:
        return None
    ordinal = 1 if before is None else before.ordinal + 1
    last_seq = header.passed_from - 1
    return Damage(f"{ordinal:010d}", 0, 0, expected, last_seq, "segments are missing")


def _behind_passed_over(segment: Segment, expected: int | None) -> int | None:
    """Return the seq that comes next, where a segment's header passes over the one expected."""
    header = segment.header
    if header is None or expected is None or expected < header.passed_from:
        return expected
    return max(expected, header.first_seq)


def _scan_segment(
    disk: Disk,
    segment: Segment,
    before: Segment | None,
    expected: int | None,
    *,
    is_marked_only: bool,
) -> Iterator[Scanned]:
    missing = missing_before(segment, before, expected)
    if missing is not None:
        yield missing
        expected = None
    damaged_header = header_damage(segment)
    if damaged_header is not None:
        yield damaged_header
    data = read_segment(disk, segment)
    first_seq = first_seq_of(segment, data, expected)
    torn_at = len(data)
    items: Iterator[Walked]
    if segment.end is None:
        tail = examine(data, segment.key, first_seq)
        items = iter(tail.marked if is_marked_only else tail.kept)
        torn_at = len(data) if is_marked_only else tail.torn_at
    else:
        items = walk(
            data, segment.key, end=segment.end, first_seq=first_seq, next_seq=segment.next_seq
        )
    expected = first_seq if expected is None else expected
    for item in items:
        if isinstance(item, Gap):
            damage = gap_damage(segment, item)
            yield damage
            if damage.last_seq is not None:
                expected = damage.last_seq + 1
        elif isinstance(item, FrameAt) and (expected is None or item.seq >= expected):
            if expected is not None and item.seq > expected:
                yield Damage(
                    segment.name, item.offset, 0, expected, item.seq - 1, "bytes are missing"
                )
            yield Position(segment.ordinal, item.offset), frame_of(data, item)
            expected = item.seq + 1
    if torn_at < len(data):
        yield Damage(
            segment.name, torn_at, len(data) - torn_at, None, None, "torn tail", is_loss=False
        )
