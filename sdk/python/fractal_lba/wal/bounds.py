"""What a stream takes: the longest frame and batch, the largest and the oldest segment."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from fractal_lba.protocol.errors import ContractError
from fractal_lba.wal.footer import FOOTER_BYTES
from fractal_lba.wal.framing import (
    BATCH_BYTES,
    FRAME_BYTES,
    HEADER_BYTES,
    META_BYTES_MAX,
    NAME_BYTES_MAX,
    RECEIVED_NS_MAX,
    NewFrame,
)

SEGMENT_BYTES_MAX: Final = 64 << 20
"""Recovery reads one segment whole: this bounds its memory and its time."""
FRAME_BYTES_MAX: Final = 17 << 20
"""The largest body a server takes, 16 MiB, and room for what is said about it."""
_SEGMENT_BYTES_LIMIT: Final = 1 << 30
"""A batch's length is 32 bits wide; recovery may have to copy a whole segment as one batch."""


def segment_bytes_for(frame_bytes: int) -> int:
    """Return what a segment takes with one frame of this size, a mark and its footer."""
    return HEADER_BYTES + 2 * BATCH_BYTES + frame_bytes + FOOTER_BYTES


class Bounds(NamedTuple):
    """The bounds of one stream, as ``Stream.open`` takes them."""

    segment_bytes_max: int = SEGMENT_BYTES_MAX
    frame_bytes_max: int = FRAME_BYTES_MAX
    segment_age_max_s: float = math.inf
    reserve_bytes: int = 0

    def check(self, stream: str) -> None:
        """Check a stream's name and bounds.

        Raises:
            ContractError: One of them is out of its range.
        """
        if not 1 <= len(stream.encode()) <= NAME_BYTES_MAX:
            raise ContractError(f"stream: expected a name of 1 to {NAME_BYTES_MAX} bytes")
        segment_bytes_min = segment_bytes_for(self.frame_bytes_max)
        if not segment_bytes_min <= self.segment_bytes_max <= _SEGMENT_BYTES_LIMIT:
            raise ContractError(
                f"stream {stream}: expected segment_bytes_max from {segment_bytes_min} to "
                f"{_SEGMENT_BYTES_LIMIT}, got {self.segment_bytes_max}"
            )

    def check_frames(self, stream: str, frames: Sequence[NewFrame]) -> int:
        """Check what is to be appended as one batch, and return what it takes on disk.

        Raises:
            ContractError: A frame or the batch is too large, or a time out of its range.
        """
        frame_bytes_max = self.frame_bytes_max
        batch_bytes = BATCH_BYTES
        for received_ns, meta, payload in frames:
            size = FRAME_BYTES + len(meta) + len(payload)
            if size > frame_bytes_max or len(meta) > META_BYTES_MAX:
                raise ContractError(
                    f"stream {stream}: expected a frame of at most {frame_bytes_max} "
                    f"bytes with a meta block of at most {META_BYTES_MAX}, got {size} bytes with "
                    f"{len(meta)}"
                )
            if not 0 <= received_ns <= RECEIVED_NS_MAX:
                raise ContractError(
                    f"stream {stream}: expected received_ns from 0 to {RECEIVED_NS_MAX}, "
                    f"got {received_ns}"
                )
            batch_bytes += size
        batch_bytes_max = self.segment_bytes_max - segment_bytes_for(0) + BATCH_BYTES
        if batch_bytes > batch_bytes_max:
            raise ContractError(
                f"stream {stream}: expected a batch of at most {batch_bytes_max} bytes,"
                f" got {batch_bytes}"
            )
        return batch_bytes
