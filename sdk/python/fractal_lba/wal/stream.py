"""A stream of frames that survives what may happen to the process, the power and the disk.

What ``append`` returned is durable. Any failure of the disk fences the stream: the state of what
was being written is unknown, so nothing more is written before ``reopen`` has recovered it on fresh
files. Frames are numbered from 1 on, without gaps, over all segments.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

from fractal_lba.protocol.errors import (
    CorruptionError,
    FencedError,
    FullError,
)
from fractal_lba.wal.bounds import FRAME_BYTES_MAX, SEGMENT_BYTES_MAX, Bounds
from fractal_lba.wal.disk import Disk
from fractal_lba.wal.folder import Folder, Segment, io_errors, is_segment_name, make_folder
from fractal_lba.wal.footer import FOOTER_BYTES
from fractal_lba.wal.framing import (
    BATCH_BYTES,
    Frame,
    NewFrame,
    SegmentHeader,
)
from fractal_lba.wal.locks import FolderLock, lock_folder
from fractal_lba.wal.one_frame import read_frame
from fractal_lba.wal.recovery import Recovered, recover
from fractal_lba.wal.retention import Retained, check_cursor, remove, sealed, split
from fractal_lba.wal.scan import Scanned, scan_segments
from fractal_lba.wal.segment import create_segment
from fractal_lba.wal.values import Damage, PlacedFrames, Position, Recovery, Sealed


class _State(StrEnum):
    OPEN = "open"
    FENCED = "fenced"
    CLOSED = "closed"


class Stream:
    """A stream, held by this process until ``close``.

    ``read`` may be called from any thread; everything else from one at a time.

    Attributes:
        name: of the stream.
        recovery: what the last opening or reopening found.
    """

    @classmethod
    def open(  # noqa: PLR0913 - each is a setting of its own, named at the call
        cls,
        disk: Disk,
        folder: Path,
        name: str,
        *,
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
        frame_bytes_max: int = FRAME_BYTES_MAX,
        segment_age_max_s: float = math.inf,
        reserve_bytes: int = 0,
    ) -> Self:
        """Lock a stream's folder, made when missing, recover it and open a fresh segment.

        Args:
            disk: Where it is.
            folder: Of this stream alone.
            name: 1 to 128 bytes of UTF-8, kept in every segment.
            segment_bytes_max: A segment is closed before it grows beyond this.
            frame_bytes_max: The longest frame, with its meta block and what frames it.
            segment_age_max_s: A segment with frames is closed before an append when it is older,
                and by ``rotate_aged``; by the clock, on which nothing else depends.
            reserve_bytes: Room on the disk that is taken before a batch is written, beside what it
                takes; 0 takes none, and writing tells what does not fit.

        Raises:
            ContractError: A name or bound out of range, or segments of another stream or of a
                format this release does not read; nothing was changed.
            LockedError: Another process holds the stream.
            DurabilityError: The disk failed or is full; nothing acknowledged is lost.
        """
        bounds = Bounds(segment_bytes_max, frame_bytes_max, segment_age_max_s, reserve_bytes)
        bounds.check(name)
        with io_errors(f"stream {name}"):
            make_folder(disk, folder)
        with ExitStack() as undo:
            lock = lock_folder(disk, folder, f"stream {name}")
            undo.callback(lock.release)
            try:
                recovered = recover(disk, folder, name)
            except FullError as error:
                raise FullError(f"{error}: opening writes one; free some room first") from error
            undo.pop_all()
        return cls(disk, folder, name, bounds, lock, recovered)

    def __init__(  # noqa: PLR0913, PLR0917  # only open() calls it
        self,
        disk: Disk,
        folder: Path,
        name: str,
        bounds: Bounds,
        lock: FolderLock,
        recovered: Recovered,
    ) -> None:
        self.name: Final = name
        self._disk: Final = disk
        self._folder: Final = folder
        self._bounds: Final = bounds
        self._lock: Final = lock
        self._damaged: Final[set[str]] = set()
        self._take(recovered)

    def _take(self, recovered: Recovered) -> None:
        self.recovery: Recovery = recovered.recovery
        self._older = recovered.older
        self._active = recovered.active
        self._state = _State.OPEN
        self._damaged.update(each.segment for each in recovered.recovery.damage)
        self._paths = {segment.ordinal: segment for segment in self._segments()}

    @property
    def first_seq(self) -> int:
        """Return the bound that the last retention set: what is before it is not missed."""
        return self._active.header.kept_from

    @property
    def next_seq(self) -> int:
        """Return the seq of the frame to be appended next."""
        return self._active.next_seq

    @property
    def sealed(self) -> tuple[Sealed, ...]:
        """Return the segments before the active one, but for those whose header is damaged."""
        return sealed(self._older)

    @property
    def is_fenced(self) -> bool:
        """Return whether a failure keeps the stream from writing until ``reopen``."""
        return self._state is _State.FENCED

    def check_held(self) -> None:
        """Check that no other process can have taken the stream, before anything is derived of it.

        Raises:
            DurabilityError: Its lock was removed or replaced; the stream is fenced. Or it was.
        """
        with self._writing():
            pass

    def append(self, frames: Sequence[NewFrame]) -> PlacedFrames:
        """Write frames as one batch and return where each went, once all are durable.

        Raises:
            ContractError: A frame or the batch is too large; nothing was written.
            FencedError: The stream is fenced or closed; nothing was written.
            FullError: There is no room for it; nothing was written, and nothing is fenced.
            DurabilityError: The disk failed; any first part of the batch may or may not survive,
                and the stream is fenced.
        """
        if not frames:
            return PlacedFrames(self.next_seq, self._active.header.ordinal, ())
        size = self._bounds.check_frames(self.name, frames)
        with self._writing():
            self._rotate_for(size)
            finds_room = self._active.reserve(size, ahead=self._bounds.reserve_bytes)
        if not finds_room:
            raise FullError(f"stream {self.name}: expected room for {size} bytes, got a full disk")
        with self._writing():
            first_seq = self._active.next_seq
            offsets = self._active.append(frames)
        return PlacedFrames(first_seq, self._active.header.ordinal, offsets)

    def finds_room(self, size: int, *, spare: int = 0) -> bool:
        """Tell whether a batch of this size finds room and leaves some, and reserve both.

        Where the batch needs a fresh segment, that is made. Raises like ``mark``, never FullError.
        """
        try:
            with self._writing():
                self._rotate_for(size)
                return self._active.reserve(size + spare, ahead=self._bounds.reserve_bytes)
        except FullError:
            return False

    def mark(self) -> None:
        """Make it durable that what was appended is, unless that stands on disk already.

        Damage to a marked batch is told from a torn tail. Call it when none followed for a while.

        Raises:
            FencedError: The stream is fenced or closed.
            FullError: There is no room for it; nothing was written or fenced.
            DurabilityError: The disk failed; what was appended is durable, the stream fenced.
        """
        with self._writing():
            self._active.mark()

    def rotate_aged(self) -> None:
        """Close the active segment if it holds a frame and is older than ``segment_age_max_s``.

        For a stream that nothing may be appended to for long.

        Raises:
            FencedError: The stream is fenced or closed.
            DurabilityError: The disk failed, and the stream is fenced; or is full (``FullError``).
        """
        if self._is_aged():
            with self._writing():
                self._rotate()

    def skip_to(self, seq: int, *, were_given: bool = True) -> None:
        """Go on with a later number, so that none of those before it is ever given again.

        For a stream that lost its end, as something derived from it tells: every scan reports the
        numbers in between as missing. Without ``were_given`` nothing tells that frames had them:
        they are passed over, the fresh header says so, and no scan misses them. A number that is
        not later changes nothing.

        Raises:
            FencedError: The stream is fenced or closed.
            DurabilityError: The disk failed, and the stream is fenced.
        """
        if seq > self.next_seq:
            with self._writing():
                self._rotate(first_seq=seq, passes_over=not were_given)

    def retain_from(self, seq: int, *, cursor_seq: int) -> Retained:
        """Remove the segments that hold only frames before ``seq``; those are never given again.

        The stream itself must say durably that they are not needed: a frame that does, the cursor,
        has been appended (or was found by a scan). What it says is the caller's matter; that it is
        in the stream and outlives what it gives up is checked. The active segment stays, and
        segments known as damaged are set aside as ``NAME.bad``. Where there is nothing to remove
        nothing is written.

        Args:
            seq: Of the first frame that is still needed; ``next_seq`` at the most.
            cursor_seq: Of the frame that says so.

        Raises:
            ContractError: There is no such cursor, or it is before ``seq``; nothing was done.
            FencedError: The stream is fenced or closed; nothing was done.
            FullError: There is no room for a fresh segment; nothing was removed or fenced.
            DurabilityError: The disk failed and the stream is fenced; whatever was removed was not
                needed, and recovery goes on with the rest.
        """
        check_cursor(self.name, seq, cursor_seq=cursor_seq, next_seq=self.next_seq)
        count = split(self._segments(), seq)
        removed = self._older[:count]
        if not removed:
            return Retained(self.first_seq, 0, 0, ())
        with self._writing():
            header = self._segments()[count].header
            assert header is not None  # noqa: S101 - by split
            self._rotate(kept_from=header.first_seq)
            self._keep(self._older[count:])
            set_aside = remove(self._disk, removed, self._damaged)
        removed_bytes = sum(each.size for each in removed)
        return Retained(self.first_seq, len(removed), removed_bytes, set_aside)

    def read(self, position: Position) -> Frame:
        """Return the frame at a position; any thread may call this, also while another appends.

        Raises:
            CorruptionError: What stands there does not verify, or nothing does.
            DurabilityError: The disk failed.
        """
        where = f"stream {self.name}, segment {position.segment}, offset {position.offset}"
        segment = self._paths.get(position.segment)
        if segment is None:
            raise CorruptionError(f"{where}: expected a frame, got no such segment")
        try:
            return read_frame(self._disk, segment, position.offset, where=where)
        except CorruptionError:
            self._damaged.add(segment.name)
            raise

    def scan(self, *, from_seq: int = 1) -> Iterator[Scanned]:
        """Yield every durable frame from ``from_seq`` on with its position, and damage, in order.

        Segments that hold only earlier frames are not read; one segment at a time is in memory.
        What is appended after the scan began may or may not be in it.

        Raises:
            DurabilityError: The disk failed.
        """
        found = Folder(segments=self._segments(), kept_from=self.first_seq)
        for item in scan_segments(self._disk, found, from_seq=from_seq):
            if isinstance(item, Damage):
                self._damaged.add(item.segment)
            yield item

    def reopen(self) -> Recovery:
        """Recover the stream on fresh files after a failure, in the way ``open`` does.

        The frames that were copied (the last ones, see ``Recovery``) have new positions.

        Raises:
            FencedError: The stream is closed.
            DurabilityError: The disk failed again, or is gone; the stream stays fenced.
        """
        if self._state is _State.CLOSED:
            raise FencedError(f"stream {self.name}: expected an open stream, got a closed one")
        self._state = _State.FENCED
        with io_errors(f"stream {self.name}"):
            self._active.close()
            if not any(map(is_segment_name, self._disk.names(self._folder))):
                raise CorruptionError(f"stream {self.name}: expected its segments, got none")
            self._lock.check()
        self._take(recover(self._disk, self._folder, self.name))
        return self.recovery

    def close(self) -> None:
        """Mark what was appended, end the segment and let the stream go. Idempotent.

        The end of the last segment is written into the header of an empty one after it: that
        this segment was cut short later is noticed.

        Raises:
            DurabilityError: The disk failed; what was appended is durable and the stream let go
                all the same.
        """
        if self._state is _State.CLOSED:
            return
        try:
            if self._state is _State.OPEN and self._active.has_frames:
                # On a full disk without: every frame is durable, and opening makes one.
                with suppress(FullError), self._writing():
                    self._rotate()
        finally:
            self._state = _State.CLOSED
            with io_errors(f"stream {self.name}"):
                try:
                    self._active.close()
                finally:
                    self._lock.release()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Fence the stream unless what is done inside succeeds, and nobody has taken it by then."""
        if self._state is not _State.OPEN:
            raise FencedError(
                f"stream {self.name}: expected an open stream, got a {self._state} one"
            )
        try:
            with io_errors(f"stream {self.name}"):
                self._lock.check()
                yield
                self._lock.check()
        except FullError:
            raise  # nothing is in doubt
        except BaseException:
            self._state = _State.FENCED
            raise

    def _rotate_for(self, size: int) -> None:
        """Make room for a batch of this size, a mark behind it and the segment's footer."""
        end = self._active.end + size + BATCH_BYTES + FOOTER_BYTES
        is_full = self._active.has_frames and end > self._bounds.segment_bytes_max
        if is_full or self._active.is_sealed or self._is_aged():
            self._rotate()

    def _is_aged(self) -> bool:
        age_max_s = self._bounds.segment_age_max_s
        if age_max_s == math.inf or not self._active.has_frames:
            return False
        return self._disk.stamp()[0] - self._active.header.created_ns > age_max_s * 1e9

    def _rotate(self, *, first_seq: int = 0, kept_from: int = 0, passes_over: bool = False) -> None:
        old = self._active
        first_seq = max(first_seq, old.next_seq)
        created_ns, segment_id = self._disk.stamp()
        old.seal(created_ns)
        header = SegmentHeader(
            stream=self.name,
            ordinal=old.header.ordinal + 1,
            segment_id=segment_id,
            first_seq=first_seq,
            previous_id=old.header.segment_id,
            previous_end=old.end,
            created_ns=created_ns,
            kept_from=max(self.first_seq, kept_from),
            passed_from=old.next_seq if passes_over else first_seq,
        )
        self._active = create_segment(self._disk, self._folder, header)
        self._keep((*self._older, replace(old.segment, next_seq=header.passed_from)))
        old.close()

    def _keep(self, older: tuple[Segment, ...]) -> None:
        self._older = older
        self._paths = {segment.ordinal: segment for segment in self._segments()}

    def _segments(self) -> tuple[Segment, ...]:
        return (*self._older, self._active.segment)
