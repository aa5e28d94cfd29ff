"""Follow a stream that is being written, by this process or another one.

What is given is durable and marked so: a batch shows up when the next one or a mark follows it, at
most 100 ms later where the writer marks what is idle. A follower takes no lock, leaves no trace and
holds nothing open between two looks, so that rotation, recovery and retention go on beside it.

A look reads on where the last one ended. Whatever it does not find as it should be there (another
segment by now, one that is gone, bytes that do not verify) is read again by ``scan_folder``, which
judges it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fractal_lba.wal.beside import scan_folder
from fractal_lba.wal.disk import Disk
from fractal_lba.wal.folder import io_errors, is_segment_name
from fractal_lba.wal.footer import footer_at
from fractal_lba.wal.framing import (
    BATCH_BYTES,
    FRAME_BYTES,
    BatchAt,
    Frame,
    SegmentKey,
    batch_at,
    frame_at,
    frame_of,
)
from fractal_lba.wal.scan import Scanned
from fractal_lba.wal.values import Damage, Position

_ID_AT = slice(11, 43)
"""Where a segment's name has its id."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the next batch begins, and the number it begins with."""

    path: Path
    ordinal: int
    offset: int
    seq: int


class Follower:
    """A reader that goes on where it was.

    Args:
        disk: Where the stream is.
        folder: Of the stream; it may not be there yet.
        name: Of the stream.
        from_seq: Of the first frame that is wanted.

    Attributes:
        next_seq: of the frame that is waited for. Where what is given next has a later number and
            no damage was given before it, a retention removed what is between, or the stream
            passed over it.
    """

    def __init__(self, disk: Disk, folder: Path, name: str, *, from_seq: int = 1) -> None:
        self.next_seq = from_seq
        self._disk = disk
        self._folder = folder
        self._name = name
        self._place: _Place | None = None
        self._seen: tuple[str, int] | None = None
        self._told: set[Damage] = set()

    def look(self) -> Iterator[Scanned]:
        """Yield what became durable since the last look, and damage met on the way, each once.

        An iteration that is not taken to its end goes on with the next look.

        Raises:
            ContractError: A segment is another stream's, or of a format this release does not read.
            DurabilityError: The disk failed; the next look goes on.
        """
        with io_errors(f"stream {self._name}"):
            last = self._last()
        if last is None or last == self._seen:
            return
        found = self._read_on()
        for position, frame in found or ():
            yield self._given(position, frame)
        if found is None or self._place is None or self._place.path.name != last[0]:
            yield from self._scan()
        self._seen = last

    def _last(self) -> tuple[str, int] | None:
        """Return the last segment's name and length, by which a change is seen."""
        if not self._disk.is_folder(self._folder):
            return None
        names = [name for name in self._disk.names(self._folder) if is_segment_name(name)]
        if not names:
            return None
        try:
            file = self._disk.open(self._folder / names[-1])
        except FileNotFoundError:  # passed over by a recovery meanwhile
            return names[-1], -1
        try:
            return names[-1], file.size()
        finally:
            file.close()

    def _scan(self) -> Iterator[Scanned]:
        for item in scan_folder(
            self._disk, self._folder, self._name, from_seq=self.next_seq, is_marked_only=True
        ):
            if not isinstance(item, Damage):
                yield self._given(*item)
            elif item not in self._told:
                self._told.add(item)
                if item.last_seq is not None:
                    self.next_seq = max(self.next_seq, item.last_seq + 1)
                yield item

    def _given(self, position: Position, frame: Frame) -> tuple[Position, Frame]:
        """Note that a frame is given: the next look begins behind it."""
        self.next_seq = frame.seq + 1
        size = FRAME_BYTES + len(frame.meta) + len(frame.payload)
        if self._place is None or self._place.ordinal != position.segment:
            prefix = f"{position.segment:010d}-"
            names = [each for each in self._disk.names(self._folder) if each.startswith(prefix)]
            paths = [self._folder / each for each in names if is_segment_name(each)]
            if not paths:
                self._place = None
                return position, frame
            path = paths[-1]
        else:
            path = self._place.path
        self._place = _Place(path, position.segment, position.offset + size, self.next_seq)
        return position, frame

    def _read_on(self) -> list[tuple[Position, Frame]] | None:
        """Return what its segment holds behind the last frame and marks as durable.

        ``None`` where that is for a scan to judge.
        """
        place = self._place
        if place is None:
            return None
        with io_errors(f"stream {self._name}"):
            try:
                file = self._disk.open(place.path)
            except FileNotFoundError:  # a retention took it
                return None
            try:
                data = file.read_at(place.offset, max(0, file.size() - place.offset))
            finally:
                file.close()
        return _durable_frames(data, place)


def _durable_frames(data: bytes, place: _Place) -> list[tuple[Position, Frame]] | None:
    key = SegmentKey(bytes.fromhex(place.path.name[_ID_AT]))
    batches: list[BatchAt] = []
    offset, seq, durable_end = 0, place.seq, 0
    while (batch := batch_at(data, offset, len(data), key, base=place.offset)) is not None:
        if batch.first_seq != seq or batch.end > len(data):
            return None
        batches.append(batch)
        offset, seq = batch.end, seq + batch.frames
        durable_end = max(durable_end, batch.durable_offset)
    footer = footer_at(data, offset, len(data), key, base=place.offset)
    if footer is not None:
        durable_end = footer.offset
    elif offset < len(data):
        return None
    frames: list[tuple[Position, Frame]] = []
    for batch in batches:
        if place.offset + batch.end > durable_end:
            break
        at = batch.offset + BATCH_BYTES
        for number in range(batch.first_seq, batch.first_seq + batch.frames):
            found = frame_at(data, at, batch.end, key)
            if found is None or found.seq != number:
                return None
            frames.append((Position(place.ordinal, place.offset + at), frame_of(data, found)))
            at = found.end
    return frames
