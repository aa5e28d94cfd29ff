"""Write one segment: made whole under a temporary name, then only ever appended to.

A segment gets its name after its header, and what was copied into it, are durable: a named segment
has a sound header, and all it held when it was named is marked durable. No process appends to a
file that another one, or an earlier opening of the stream, wrote.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from crc32c import crc32c

from fractal_lba.protocol.errors import FullError
from fractal_lba.wal.disk import NO_ROOM, Disk, File
from fractal_lba.wal.folder import NEW_SUFFIX, Segment, segment_name
from fractal_lba.wal.footer import FOOTER_BYTES, FooterAt, pack_footer
from fractal_lba.wal.framing import (
    BATCH_BYTES,
    HEADER_BYTES,
    NewFrame,
    SegmentHeader,
    SegmentKey,
    pack_batch,
    pack_header,
)


class SegmentWriter:
    """The segment that is appended to.

    After any method raised ``OSError`` the state of the file is unknown; only ``close`` may be
    called then. After ``FullError`` it is as before.

    Attributes:
        end: the length up to which everything is durable.
        next_seq: of the frame to be appended next.
        is_mark_due: whether no batch carries ``end`` yet.
        is_sealed: whether it ends in a footer.
    """

    def __init__(
        self, path: Path, header: SegmentHeader, file: File, written: bytes, next_seq: int
    ) -> None:
        self.path = path
        self.header = header
        self.key = SegmentKey(header.segment_id)
        self.end = len(written)
        self.next_seq = next_seq
        self.is_mark_due = False
        self._file = file
        self._reserved = 0
        self._is_reserving = True
        self._is_short = False
        self.is_sealed = False
        self._whole = crc32c(written)

    @property
    def has_frames(self) -> bool:
        """Return whether the segment holds any frame."""
        return self.next_seq > self.header.first_seq

    @property
    def segment(self) -> Segment:
        """Return it as its folder is read."""
        return Segment(
            path=self.path,
            ordinal=self.header.ordinal,
            key=self.key,
            header=self.header,
            size=self.end,
            end=self.end,
            next_seq=self.next_seq,
        )

    def append(self, frames: Sequence[NewFrame]) -> list[int]:
        """Write one batch, make it durable and return the offset of each frame."""
        data, starts = pack_batch(
            self.key, frames, first_seq=self.next_seq, durable_offset=self.end
        )
        offsets = [self.end + start for start in starts]
        self._write(data)
        self.next_seq += len(frames)
        self.is_mark_due = True
        return offsets

    def reserve(self, size: int, *, ahead: int) -> bool:
        """See to it that a batch of this size, a mark and a footer find room on the disk.

        Args:
            size: Of the batch.
            ahead: So many bytes more are asked for, and done without where there is no room for
                them. 0: nothing is asked for, and writing tells, as where a file system cannot.

        Returns:
            Whether there is room, as far as that can be known; nothing was written.

        Raises:
            OSError: The disk failed.
        """
        needed = self.end + size + BATCH_BYTES + FOOTER_BYTES
        if self._is_short and not self._fits(needed - self.end):
            return False
        self._is_short = False
        if not ahead or needed <= self._reserved or not self._is_reserving:
            return True
        for until in (needed + ahead, needed):
            try:
                self._is_reserving = self._file.reserve(self.end, until - self.end)
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
            else:
                self._reserved = until
                return True
        return False

    def mark(self) -> None:
        """Make it durable that everything up to ``end`` is, unless a batch already says so."""
        if self.is_mark_due:
            self.append(())
            self.is_mark_due = False

    def seal(self, now_ns: int) -> None:
        """End the segment in a footer, which marks as well; nothing may be written after it.

        What is sealed already stays as it is.
        """
        if self.is_sealed:
            return
        if self._reserved:
            self._file.truncate(self.end)  # gives back what was reserved beyond the length
            self._reserved = 0
        self._write(
            pack_footer(
                self.key,
                FooterAt(self.end, self._whole, self.header.first_seq, self.next_seq, now_ns),
            )
        )
        self.is_sealed = True
        self.is_mark_due = False

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, data: bytes) -> None:
        try:
            self._file.write_at(self.end, data)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            # No sync failed, so nothing is in doubt but what this write left: that is taken back.
            self._file.truncate(self.end)
            self._file.datasync()
            self._reserved = 0
            self._is_short = True
            raise FullError(
                f"stream {self.header.stream}: expected room for {len(data)} bytes, got a full disk"
            ) from error
        self._file.datasync()
        self.end += len(data)
        self._whole = crc32c(data, self._whole)

    def _fits(self, size: int) -> bool:
        """Tell by writing whether so many bytes find room again where some did not."""
        try:
            self._file.write_at(self.end, bytes(size))
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            return False
        finally:
            self._file.truncate(self.end)
            self._reserved = 0
        return True


def create_segment(
    disk: Disk, folder: Path, header: SegmentHeader, copied: Sequence[NewFrame] = ()
) -> SegmentWriter:
    """Make a segment that holds these frames, durable and named, and return its writer.

    Raises:
        FullError: There is no room for it: it has no name, and what was made of it is gone, or
            recovery removes it.
        OSError: The disk failed. The segment may or may not have its name; it holds nothing that
            is not elsewhere too, and recovery removes or takes it over.
    """
    path = folder / segment_name(header.ordinal, header.segment_id)
    unfinished = path.with_name(path.name + NEW_SUFFIX)
    data = pack_header(header)
    if copied:
        key = SegmentKey(header.segment_id)
        batch, _ = pack_batch(key, copied, first_seq=header.first_seq, durable_offset=HEADER_BYTES)
        next_seq = header.first_seq + len(copied)
        # Nobody sees this mark before it is true: the name comes after the sync.
        mark, _ = pack_batch(key, (), first_seq=next_seq, durable_offset=HEADER_BYTES + len(batch))
        data = b"".join((data, batch, mark))
    file = _create(disk, unfinished, data, header.stream)
    try:
        disk.rename(unfinished, path)
        disk.sync_dir(folder)
    except BaseException:
        file.close()
        raise
    return SegmentWriter(path, header, file, data, header.first_seq + len(copied))


def _create(disk: Disk, path: Path, data: bytes, stream: str) -> File:
    """Make a file that holds these bytes, durable but for its name."""
    file: File | None = None
    try:
        file = disk.create(path)
        file.write_at(0, data)
        file.datasync()
    except BaseException as error:
        if file is not None:
            file.close()
        if not isinstance(error, OSError) or error.errno not in NO_ROOM:
            raise
        if file is not None:
            with contextlib.suppress(OSError):
                disk.unlink(path)
        raise FullError(
            f"stream {stream}: expected room for a fresh segment of {len(data)} bytes,"
            f" got {error.strerror}"
        ) from error
    return file
