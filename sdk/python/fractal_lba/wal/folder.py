"""A stream's folder: what its files are called, and which segments follow each other.

::

    0000000007-<segment id, 32 hex>.seg        a segment; its header was durable before its name
    0000000007-<segment id, 32 hex>.seg.new    one that never got its name: removed by recovery
    0000000007-<segment id, 32 hex>.seg.cut    the torn tail that recovery took from it
    0000000007-<segment id, 32 hex>.seg.bad    a damaged one that retention took out of the stream
    .lock                                      held by the one process that writes
"""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fractal_lba.protocol.errors import ContractError, DurabilityError
from fractal_lba.wal.disk import NO_ROOM, Disk
from fractal_lba.wal.framing import HEADER_BYTES, SegmentHeader, SegmentKey, unpack_header

NEW_SUFFIX: Final = ".new"
CUT_SUFFIX: Final = ".cut"
BAD_SUFFIX: Final = ".bad"
_SEGMENT_NAME: Final = re.compile(r"(\d{10})-([0-9a-f]{32})\.seg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A segment by its name, and by its header where that verifies.

    ``end`` is the length up to which it counts, as the next segment tells: everything below is
    durable, everything beyond superseded. ``next_seq`` is of the frame that would have come next:
    what lies from there to the next one's ``first_seq`` was passed over. ``None``: no sound header
    tells.
    """

    path: Path
    ordinal: int
    key: SegmentKey
    header: SegmentHeader | None
    size: int
    end: int | None = None
    next_seq: int | None = None

    @property
    def name(self) -> str:
        """Return the file's name."""
        return self.path.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """What a stream's folder holds.

    ``segments`` is the stream in its order, from the frame ``kept_from`` on. ``removable`` hold
    nothing of it: no frame, or only earlier ones. ``unfinished`` never were part of it.
    """

    segments: tuple[Segment, ...]
    kept_from: int
    removable: tuple[Path, ...] = ()
    unfinished: tuple[Path, ...] = ()


def segment_name(ordinal: int, segment_id: bytes) -> str:
    """Return the file name of a segment."""
    return f"{ordinal:010d}-{segment_id.hex()}.seg"


def is_segment_name(name: str) -> bool:
    """Tell whether a file of that name is a segment; such names sort in the order of the stream."""
    return _SEGMENT_NAME.fullmatch(name) is not None


@contextmanager
def io_errors(where: str) -> Iterator[None]:
    """Turn what the disk raises into a ``DurabilityError`` that says where."""
    try:
        yield
    except OSError as error:
        got = error.strerror or type(error).__name__
        if error.errno in NO_ROOM:
            raise DurabilityError(
                f"{where}: expected room on the disk, got {got}: free some room first"
            ) from error
        if error.errno == errno.ELOOP:
            raise DurabilityError(
                f"{where}: expected its own files, got a symbolic link, which is not followed"
            ) from error
        raise DurabilityError(f"{where}: expected a working disk, got {got}") from error


def make_folder(disk: Disk, folder: Path) -> None:
    """Make a folder with those above it, and every new name durable.

    What a crash left half made is made durable by the next call: the parent is synced even when
    nothing was missing, and the parent of the lowest folder found is synced when something was.
    """
    missing = [folder]
    while not disk.is_folder(missing[-1].parent):
        missing.append(missing[-1].parent)
    if not disk.is_folder(folder):
        disk.sync_dir(missing[-1].parent.parent)
    for path in reversed(missing):
        disk.mkdir(path)
        disk.sync_dir(path.parent)


def read_folder(disk: Disk, folder: Path, stream: str) -> Folder:
    """Return what a stream's folder holds; reads names, lengths and headers, no frames.

    Raises:
        ContractError: A segment is another stream's, or of a format this release does not read.
        OSError: The disk failed.
    """
    names = disk.names(folder)
    found = [_read_segment(disk, folder / name, stream) for name in names if is_segment_name(name)]
    kept_from = max((each.header.kept_from for each in found if each.header), default=1)
    segments: list[Segment] = []
    removable: list[Path] = []
    following: SegmentHeader | None = None
    is_below = False
    for segment in reversed(found):
        header = segment.header
        # A bound is the first number of a segment: what begins before it ends before it. One whose
        # header is damaged does when a later one begins there or before.
        is_before = is_below if header is None else header.first_seq < kept_from
        is_below = is_below or (header is not None and header.first_seq <= kept_from)
        if is_before or (following is not None and _is_superseded(segment, following)):
            removable.append(segment.path)
            continue
        segments.append(segment)
        following = header
    segments.reverse()
    followers = {
        segment.header.previous_id: segment.header
        for segment in segments
        if segment.header is not None
    }
    return Folder(
        segments=tuple(
            _linked(segment, followers.get(segment.key.segment_id)) for segment in segments
        ),
        kept_from=kept_from,
        removable=tuple(reversed(removable)),
        unfinished=tuple(folder / name for name in names if name.endswith(NEW_SUFFIX)),
    )


def _is_superseded(segment: Segment, following: SegmentHeader) -> bool:
    # The writer passes over a segment only after it saw that it holds no frame and no damage.
    header = segment.header
    return (
        header is not None
        and following.first_seq == header.first_seq
        and following.previous_id == header.previous_id
    )


def _linked(segment: Segment, follower: SegmentHeader | None) -> Segment:
    if follower is None:
        return segment
    return replace(segment, end=follower.previous_end, next_seq=follower.passed_from)


def _read_segment(disk: Disk, path: Path, stream: str) -> Segment:
    match = _SEGMENT_NAME.fullmatch(path.name)
    assert match is not None  # noqa: S101  # the caller chose the name by the same pattern
    ordinal, segment_id = int(match[1]), bytes.fromhex(match[2])
    file = disk.open(path)
    try:
        size = file.size()
        header = unpack_header(file.read_at(0, HEADER_BYTES))
    finally:
        file.close()
    if header is not None and (header.ordinal, header.segment_id) != (ordinal, segment_id):
        header = None
    if header is not None and header.stream != stream:
        raise ContractError(f"{path.name}: expected stream {stream}, got stream {header.stream}")
    return Segment(path=path, ordinal=ordinal, key=SegmentKey(segment_id), header=header, size=size)
