"""Say what a stream's folder holds, and whether it is sound, beside whoever writes it.

Without a lock and without a trace, as ``scan_folder`` reads; the stream's name comes from its own
segments. ``inspect_folder`` reads headers, footers and the last segment, ``verify_folder`` every
byte.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from crc32c import crc32c

from fractal_lba.protocol.errors import ContractError, DurabilityError
from fractal_lba.wal.beside import scan_folder
from fractal_lba.wal.disk import Disk
from fractal_lba.wal.folder import (
    BAD_SUFFIX,
    CUT_SUFFIX,
    Folder,
    Segment,
    io_errors,
    is_segment_name,
    read_folder,
)
from fractal_lba.wal.footer import FOOTER_BYTES, FooterAt, footer_at
from fractal_lba.wal.framing import HEADER_BYTES, unpack_header
from fractal_lba.wal.scan import first_seq_of, read_segment
from fractal_lba.wal.tail import examine
from fractal_lba.wal.values import Damage

_LOOKS_MAX: Final = 8
"""How often a folder is looked at whose segments go while it is."""


class SegmentState(StrEnum):
    """How a segment ended, if it did."""

    SEALED = "sealed"
    ENDED = "ended"
    """By a recovery: the header after it says where."""
    OPEN = "open"
    """The last one: somebody may be writing it."""
    DAMAGED = "damaged"
    """Its header does not verify."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentReport:
    """One segment, without its frames. ``None`` where nothing sound says it.

    ``next_seq`` follows its last frame; times are in nanoseconds since 1970.
    """

    name: str
    state: SegmentState
    first_seq: int | None
    next_seq: int | None
    size: int
    created_ns: int | None
    sealed_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamReport:
    """A stream's folder.

    ``kept_from`` is the bound of its last retention, 1 without one. ``others`` are files that
    belong to it and hold nothing of it: torn tails, segments set aside, what a crash left behind.
    """

    stream: str
    kept_from: int
    segments: tuple[SegmentReport, ...]
    others: tuple[str, ...]

    @property
    def size(self) -> int:
        """Return the bytes of its segments."""
        return sum(segment.size for segment in self.segments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What reading every byte of a stream found.

    ``first_seq`` and ``last_seq`` are ``None`` where there is no frame. ``unfinished`` was never
    acknowledged: a write under way, or what the next recovery puts aside.
    """

    report: StreamReport
    frames: int
    first_seq: int | None
    last_seq: int | None
    damage: tuple[Damage, ...]
    unfinished: tuple[Damage, ...]


def inspect_folder(disk: Disk, folder: Path) -> StreamReport:
    """Return what a stream's folder holds.

    Raises:
        ContractError: It holds no stream, more than one, or one of a newer format.
        DurabilityError: The disk failed.
    """
    for _ in range(_LOOKS_MAX):
        try:
            return _inspect(disk, folder)
        except DurabilityError as error:
            # A retention or a recovery removed a segment that was listed.
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
    return _inspect(disk, folder)


def verify_folder(disk: Disk, folder: Path) -> Verified:
    """Read every byte of a stream and return what does not verify.

    Memory is bounded by the longest segment and by the damage there is.

    Raises:
        ContractError: It holds no stream, more than one, or one of a newer format.
        DurabilityError: The disk failed.
    """
    report = inspect_folder(disk, folder)
    frames, first_seq, last_seq = 0, None, None
    damage: list[Damage] = []
    unfinished: list[Damage] = []
    for item in scan_folder(disk, folder, report.stream):
        if isinstance(item, Damage):
            (damage if item.is_loss else unfinished).append(item)
            continue
        frames += 1
        last_seq = item[1].seq
        first_seq = last_seq if first_seq is None else first_seq
    named = {each.segment for each in damage}
    footers = check_footers(disk, folder, report.stream, named)
    damage.extend(each for _, each in footers if each is not None)
    return Verified(
        report=report,
        frames=frames,
        first_seq=first_seq,
        last_seq=last_seq,
        damage=tuple(damage),
        unfinished=tuple(unfinished),
    )


def check_footers(
    disk: Disk, folder: Path, stream: str, damaged: Collection[str]
) -> Iterator[tuple[int, Damage | None]]:
    """Hold each sealed segment against the checksum in its footer, beside whoever writes others.

    Yields:
        For each its bytes, and what is wrong with it. Those named in ``damaged`` are left out, and
        those that are gone by the time they are read.

    Raises:
        ContractError: A segment is another stream's, or of a format this release does not read.
        DurabilityError: The disk failed.
    """
    for segment in _segments(disk, folder, stream):
        try:
            with io_errors(f"segment {segment.name}"):
                is_sealed = segment.header is not None and _footer_of(disk, segment) is not None
        except DurabilityError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                continue
            raise
        if is_sealed and segment.name not in damaged:
            yield segment.size, _against_its_footer(disk, segment.path)


def _segments(disk: Disk, folder: Path, stream: str) -> Sequence[Segment]:
    with io_errors(f"stream {stream}"):
        for _ in range(_LOOKS_MAX):
            with suppress(FileNotFoundError):  # a retention or a recovery removed one
                return read_folder(disk, folder, stream).segments
        return read_folder(disk, folder, stream).segments


def _inspect(disk: Disk, folder: Path) -> StreamReport:
    with io_errors(f"folder {folder}"):
        names = disk.names(folder)
        stream = _stream_of(disk, folder, [name for name in names if is_segment_name(name)])
        found = read_folder(disk, folder, stream)
        reports = tuple(
            _segment_report(disk, segment, is_last=segment is found.segments[-1])
            for segment in found.segments
        )
    return StreamReport(
        stream=stream,
        kept_from=found.kept_from,
        segments=reports,
        others=_others(found, names),
    )


def _stream_of(disk: Disk, folder: Path, names: Sequence[str]) -> str:
    """Return the name in the first sound header."""
    for name in names:
        file = disk.open(folder / name)
        try:
            header = unpack_header(file.read_at(0, HEADER_BYTES))
        finally:
            file.close()
        if header is not None:
            return header.stream
    got = f"{len(names)} segments without a sound header" if names else "none"
    raise ContractError(f"folder {folder}: expected segments of a stream, got {got}")


def _others(found: Folder, names: Sequence[str]) -> tuple[str, ...]:
    left = {path.name for path in (*found.removable, *found.unfinished)}
    left.update(name for name in names if name.endswith((CUT_SUFFIX, BAD_SUFFIX)))
    return tuple(sorted(left))


def _segment_report(disk: Disk, segment: Segment, *, is_last: bool) -> SegmentReport:
    header = segment.header
    footer = _footer_of(disk, segment)
    next_seq = segment.next_seq if footer is None else footer.next_seq
    if is_last and next_seq is None:
        data = read_segment(disk, segment)
        next_seq = examine(data, segment.key, first_seq_of(segment, data, None)).next_seq
    if header is None:
        state = SegmentState.DAMAGED
    elif footer is not None:
        state = SegmentState.SEALED
    else:
        state = SegmentState.OPEN if is_last else SegmentState.ENDED
    return SegmentReport(
        name=segment.name,
        state=state,
        first_seq=None if header is None else header.first_seq,
        next_seq=next_seq,
        size=segment.size,
        created_ns=None if header is None else header.created_ns,
        sealed_ns=None if footer is None else footer.sealed_ns,
    )


def _footer_of(disk: Disk, segment: Segment) -> FooterAt | None:
    end = segment.size if segment.end is None else min(segment.end, segment.size)
    file = disk.open(segment.path)
    try:
        data = file.read_at(max(0, end - FOOTER_BYTES), FOOTER_BYTES)
    finally:
        file.close()
    return footer_at(data, 0, len(data), segment.key, base=end - FOOTER_BYTES)


def _against_its_footer(disk: Disk, path: Path) -> Damage | None:
    """Hold a whole file against the checksum in its footer; one that is gone by now was removed."""
    try:
        with io_errors(f"segment {path.name}"):
            file = disk.open(path)
            try:
                data = file.read_at(0, file.size())
            finally:
                file.close()
    except DurabilityError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
    offset = len(data) - FOOTER_BYTES
    whole = int.from_bytes(data[offset + 8 : offset + 12], "little")
    if crc32c(data[:offset]) == whole:
        return None
    return Damage(path.name, 0, offset, None, None, "bytes differ from the footer's checksum")
