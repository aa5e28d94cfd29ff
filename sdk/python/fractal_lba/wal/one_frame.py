"""Read one frame from where it stands, verified on every read."""

from pathlib import Path
from typing import Final

from fractal_lba.protocol.errors import CorruptionError, DurabilityError
from fractal_lba.wal.disk import Disk
from fractal_lba.wal.folder import Segment, io_errors
from fractal_lba.wal.framing import FRAME_BYTES, Frame, claimed_size, frame_at, frame_of

_READ_BYTES: Final = 4096
"""Read at first; one record with its outcome fits in most cases."""


def read_frame(disk: Disk, segment: Segment, offset: int, *, where: str) -> Frame:
    """Return the frame at an offset of a segment.

    Raises:
        CorruptionError: What stands there does not verify, or nothing does.
        DurabilityError: The disk failed.
    """
    try:
        with io_errors(where):
            data = _bytes_at(disk, segment.path, offset)
    except DurabilityError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise CorruptionError(f"{where}: expected a frame, got no file") from error
        raise
    found = frame_at(data, 0, len(data), segment.key)
    if found is None:
        raise CorruptionError(f"{where}: expected a frame, got bytes that do not verify")
    return frame_of(data, found)


def _bytes_at(disk: Disk, path: Path, offset: int) -> bytes:
    """Return the bytes at an offset that may be a frame, never more than the file holds."""
    file = disk.open(path)
    try:
        data = file.read_at(offset, _READ_BYTES)
        if len(data) < FRAME_BYTES:
            return data
        rest = claimed_size(data) - len(data)
        if 0 < rest <= file.size() - offset - len(data):
            data += file.read_at(offset + len(data), rest)
        return data
    finally:
        file.close()
