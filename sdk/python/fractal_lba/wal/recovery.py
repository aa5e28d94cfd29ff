"""Recover a stream: one way for a crash, a power loss and a fence.

The steps, in an order in which a crash between any two leaves what the next recovery finds:

1. Remove files that never got their name.
2. Read the last segment and tell corruption from a torn tail (``tail``).
3. Keep the torn tail as ``NAME.cut``, durable.
4. Make the fresh segment, holding a copy of the frames that survived above the durable end, and
   give it its name. Bytes read from the page cache may never have reached the disk (after a failed
   sync they are marked clean all the same), so nothing is served from them before they are copied
   and synced. The fresh header says where the old segment ended: from here on the rest of it is
   superseded.
5. Cut the old segment to its durable end, and remove segments that hold no frame, or only such as
   a retention was about to remove.
"""

from dataclasses import dataclass
from pathlib import Path

from fractal_lba.wal.disk import Disk
from fractal_lba.wal.folder import (
    CUT_SUFFIX,
    NEW_SUFFIX,
    Folder,
    Segment,
    io_errors,
    read_folder,
    segment_name,
)
from fractal_lba.wal.framing import (
    NO_ID,
    NewFrame,
    SegmentHeader,
    frame_of,
)
from fractal_lba.wal.scan import (
    first_seq_of,
    gap_damage,
    header_damage,
    read_segment,
    scan_range,
)
from fractal_lba.wal.segment import SegmentWriter, create_segment
from fractal_lba.wal.tail import examine
from fractal_lba.wal.values import Damage, Recovery
from fractal_lba.wal.walk import Gap


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """A stream ready to be written to: the segments before the fresh one, and its writer."""

    older: tuple[Segment, ...]
    active: SegmentWriter
    recovery: Recovery


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is to be done about the last segment, and what was seen of it.

    ``passed_from`` is of a segment that is passed over itself: what it says goes on to be said.
    """

    previous_id: bytes
    previous_end: int
    passed_from: int | None
    next_seq: int
    copied: tuple[NewFrame, ...]
    torn: bytes
    frames: int
    damage: tuple[Damage, ...]


def recover(disk: Disk, folder: Path, stream: str) -> Recovered:
    """Make a stream's folder sound and open a fresh segment in it.

    The caller holds the stream's lock.

    Raises:
        ContractError: A segment is another stream's, or of a format this release does not read;
            nothing was changed.
        DurabilityError: The disk failed; what was acknowledged is where it was, and recovering
            again starts over.
    """
    with io_errors(f"stream {stream}"):
        found = read_folder(disk, folder, stream)
        damage = _damage_between(disk, found)
        for path in found.unfinished:
            disk.unlink(path)
        last = found.segments[-1] if found.segments else None
        plan = _plan(disk, found)
        cut_files: tuple[str, ...] = ()
        if last is not None and plan.torn:
            cut_files = (_keep_torn(disk, last.path, plan.torn),)
        created_ns, segment_id = disk.stamp()
        first_seq = plan.next_seq - len(plan.copied)
        header = SegmentHeader(
            stream=stream,
            ordinal=1 if last is None else last.ordinal + 1,
            segment_id=segment_id,
            first_seq=first_seq,
            previous_id=plan.previous_id,
            previous_end=plan.previous_end,
            created_ns=created_ns,
            kept_from=found.kept_from,
            passed_from=first_seq if plan.passed_from is None else plan.passed_from,
        )
        active = create_segment(disk, folder, header, plan.copied)
        try:
            older = _tidy(disk, folder, stream, header)
        except BaseException:
            active.close()
            raise
    return Recovered(
        older=older,
        active=active,
        recovery=Recovery(
            plan.frames, len(plan.copied), len(plan.torn), cut_files, (*damage, *plan.damage)
        ),
    )


def _plan(disk: Disk, found: Folder) -> _Plan:
    segments = found.segments
    if not segments:
        return _Plan(
            previous_id=NO_ID,
            previous_end=0,
            passed_from=None,
            next_seq=1,
            copied=(),
            torn=b"",
            frames=0,
            damage=(),
        )
    last = segments[-1]
    data = read_segment(disk, last)
    expected = None if last.header is not None else _next_seq_after(disk, found)
    first_seq = first_seq_of(last, data, expected)
    tail = examine(data, last.key, first_seq)
    damage = [gap_damage(last, item) for item in tail.kept if isinstance(item, Gap)]
    if (damaged_header := header_damage(last)) is not None:
        damage.insert(0, damaged_header)
    next_seq = max(tail.next_seq or 1, expected or 1)
    copied = tuple(
        NewFrame(frame.received_ns, frame.meta, frame.payload)
        for frame in (frame_of(data, survivor) for survivor in tail.survivors)
        # What an older segment still holds too, because a crash came before it was cut, is not new.
        if expected is None or frame.seq >= expected
    )
    # A segment without a frame or damage below its durable end is passed over and removed.
    is_empty = last.header is not None and len(tail.kept) == len(tail.survivors)
    header = last.header if is_empty else None
    return _Plan(
        previous_id=last.key.segment_id if header is None else header.previous_id,
        previous_end=tail.durable_end if header is None else header.previous_end,
        passed_from=None if header is None else header.passed_from,
        next_seq=next_seq,
        copied=copied,
        torn=data[tail.torn_at :],
        frames=sum(not isinstance(item, Gap) for item in tail.kept),
        damage=tuple(damage),
    )


def _next_seq_after(disk: Disk, found: Folder) -> int:
    """Return the seq after all segments but the last, for where its damaged header is silent."""
    segments = found.segments[:-1]
    sound = [index for index, segment in enumerate(segments) if segment.header is not None]
    start = sound[-1] if sound else 0
    header = segments[start].header if segments else None
    next_seq = found.kept_from if header is None else header.first_seq
    for item in scan_range(disk, found, start, len(segments)):
        last_seq = item.last_seq if isinstance(item, Damage) else item[1].seq
        if last_seq is not None:
            next_seq = max(next_seq, last_seq + 1)
    return next_seq


def _damage_between(disk: Disk, found: Folder) -> list[Damage]:
    """Return what is wrong with the older segments as far as names, lengths and headers tell.

    Only where something is wrong segments are read, to tell which frames are lost.
    """
    segments = found.segments
    damage: list[Damage] = []
    stop = 0
    for start in range(len(segments)):
        if start < stop:
            continue
        stop = start
        while stop < len(segments) and _is_suspect(found, stop):
            stop += 1
        damage.extend(
            item
            for item in scan_range(disk, found, start, stop)
            if isinstance(item, Damage) and item.segment != segments[-1].name
        )
    return damage


def _is_suspect(found: Folder, index: int) -> bool:
    segments = found.segments
    segment = segments[index]
    if segment.header is None or (segment.end is not None and segment.size < segment.end):
        return True
    if index == 0 and segment.header.first_seq > found.kept_from:
        return True
    is_after_a_break = index > 0 and segments[index - 1].end is None
    return is_after_a_break or (segment.end is None and index < len(segments) - 1)


def _keep_torn(disk: Disk, segment: Path, torn: bytes) -> str:
    """Make a torn tail durable in a file of its own and return its name."""
    path = segment.with_name(segment.name + CUT_SUFFIX)
    unfinished = path.with_name(path.name + NEW_SUFFIX)
    file = disk.create(unfinished)
    try:
        file.write_at(0, torn)
        file.datasync()
    finally:
        file.close()
    disk.rename(unfinished, path)
    disk.sync_dir(path.parent)
    return path.name


def _tidy(disk: Disk, folder: Path, stream: str, fresh: SegmentHeader) -> tuple[Segment, ...]:
    """Cut off what is superseded and return the segments before the fresh one."""
    found = read_folder(disk, folder, stream)
    for segment in found.segments:
        if segment.end is not None and segment.size > segment.end:
            file = disk.open(segment.path, is_writable=True)
            try:
                file.truncate(segment.end)
                file.datasync()
            finally:
                file.close()
    for path in found.removable:
        disk.unlink(path)
    fresh_name = segment_name(fresh.ordinal, fresh.segment_id)
    return tuple(segment for segment in found.segments if segment.name != fresh_name)
