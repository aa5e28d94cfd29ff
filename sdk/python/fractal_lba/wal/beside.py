"""Read a stream that another process may be writing, without its lock and without a trace.

Why this is sound beside a writer, a rotation and a recovery:

- A segment is only appended to, and its length grows after its bytes are there: what stands below
  a length that was asked for first does not change any more. Of a segment that has a follower only
  what the follower's header covers counts, and that was durable before the follower had its name.
- A recovery cuts off and removes only what a reader does not need: bytes beyond the durable end,
  and segments without a frame.
- A retention removes segments from the front, after a header that says so has its name: what is
  gone then was no longer needed, and the next listing knows.
- What the last segment lost to a recovery since it was listed stands in a later one: where there is
  one by now, the reading goes on there.
- A listing is not one moment: of two segments made while it ran it may hold the later one alone,
  and a name it holds may be gone. Where its segments do not follow each other, or one is gone, it
  is taken again; what is still missing then was lost.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.wal.disk import Disk
from fractal_lba.wal.folder import Folder, io_errors, is_segment_name, read_folder
from fractal_lba.wal.scan import Scanned, scan_segments
from fractal_lba.wal.values import Damage

LISTINGS_MAX: Final = 8
"""How often a folder is listed before what it lacks counts as lost: each time a writer would have
to make or remove a segment within the microseconds that a listing takes."""


def scan_folder(
    disk: Disk, folder: Path, name: str, *, from_seq: int = 1, is_marked_only: bool = False
) -> Iterator[Scanned]:
    """Yield everything a stream's folder holds, without a lock and without changing anything.

    Beside damage, what recovery would put aside is reported, with ``is_loss`` false: in a stream
    that is being written that is a write under way.

    Args:
        disk: Where it is.
        folder: Of the stream.
        name: Of the stream.
        from_seq: Segments that hold only earlier frames are not read.
        is_marked_only: Only what a batch or a header marks as durable, and nothing about the rest:
            what was appended in the last 100 ms, or before a crash, may be missing.

    Raises:
        ContractError: A segment is another stream's, or of a format this release does not read.
        DurabilityError: The disk failed.
    """
    next_seq = from_seq
    told: set[Damage] = set()
    for attempt in range(1, LISTINGS_MAX + 1):
        try:
            found = _listed(disk, folder, name)
            for item in _scan(disk, found, next_seq, is_marked_only=is_marked_only):
                if isinstance(item, Damage):
                    if item in told:
                        continue
                    told.add(item)
                last_seq = item.last_seq if isinstance(item, Damage) else item[1].seq
                if last_seq is not None:
                    next_seq = last_seq + 1
                yield item
            if not _has_follower(disk, folder, found):
                return
        except DurabilityError as error:
            # A recovery removes segments that hold no frame: the next listing goes without them.
            if attempt == LISTINGS_MAX or not isinstance(error.__cause__, FileNotFoundError):
                raise


def _scan(disk: Disk, found: Folder, from_seq: int, *, is_marked_only: bool) -> Iterator[Scanned]:
    if not is_marked_only:
        for path in found.unfinished:
            yield Damage(path.name, 0, 0, None, None, "unfinished file", is_loss=False)
    yield from scan_segments(disk, found, from_seq=from_seq, is_marked_only=is_marked_only)


def _has_follower(disk: Disk, folder: Path, found: Folder) -> bool:
    """Tell whether there is a later segment by now.

    A recovery cuts the last mark off with the rest of the old last segment; what that marked, the
    header of the next one says.
    """
    last = found.segments[-1].name if found.segments else ""
    with io_errors(f"folder {folder.name}"):
        return any(is_segment_name(each) and each > last for each in disk.names(folder))


def _listed(disk: Disk, folder: Path, name: str) -> Folder:
    with io_errors(f"stream {name}"):
        found = read_folder(disk, folder, name)
        for _ in range(1, LISTINGS_MAX):
            if _is_chain(found):
                break
            found = read_folder(disk, folder, name)
    return found


def _is_chain(found: Folder) -> bool:
    previous_id = None
    for segment in found.segments:
        header = segment.header
        if header is None:
            return False
        if previous_id is None:
            if header.first_seq > found.kept_from:
                return False
        elif header.previous_id != previous_id:
            return False
        previous_id = segment.key.segment_id
    return True
