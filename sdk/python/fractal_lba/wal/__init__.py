"""The write-ahead log: streams of frames in segments, durable before they are acknowledged.

``group_commit`` stands beside it for callers that run an event loop; it is imported by its own
name.
"""

from fractal_lba.wal.beside import scan_folder
from fractal_lba.wal.bounds import FRAME_BYTES_MAX, SEGMENT_BYTES_MAX
from fractal_lba.wal.disk import Disk, File, Lock, RealDisk
from fractal_lba.wal.follow import Follower
from fractal_lba.wal.framing import Frame, NewFrame
from fractal_lba.wal.locks import FolderLock, lock_folder
from fractal_lba.wal.owner import check_writer
from fractal_lba.wal.retention import Retained
from fractal_lba.wal.scan import Scanned
from fractal_lba.wal.stream import Stream
from fractal_lba.wal.values import Damage, Placed, PlacedFrames, Position, Recovery, Sealed

__all__ = [
    "FRAME_BYTES_MAX",
    "SEGMENT_BYTES_MAX",
    "Damage",
    "Disk",
    "File",
    "FolderLock",
    "Follower",
    "Frame",
    "Lock",
    "NewFrame",
    "Placed",
    "PlacedFrames",
    "Position",
    "RealDisk",
    "Recovery",
    "Retained",
    "Scanned",
    "Sealed",
    "Stream",
    "check_writer",
    "lock_folder",
    "scan_folder",
]
