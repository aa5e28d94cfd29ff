"""What commits and verification may hold, as the settings say."""

from dataclasses import replace

from fractal_lba.protocol.document import RECORD_BYTES_MAX
from fractal_lba.server.config import Settings
from fractal_lba.server.pipeline.batch import LINES_AT_ONCE_MAX
from fractal_lba.wal.group_commit import Bounds

_VERIFIED_AT_ONCE_MAX = 32


def commit_bounds(settings: Settings) -> Bounds:
    """Return the bounds of a log's commits and of what waits for one."""
    queued = 2 * settings.requests_in_flight_max + settings.batches_at_once_max * LINES_AT_ONCE_MAX
    return Bounds(
        items_max=settings.batch_records_max,
        bytes_max=settings.batch_bytes_max,
        # Everything in flight may wait in one queue, and recovery hands in one batch of its own
        # beside it; of a batch no more than the lines that are decided together.
        queue_items_max=queued,
        queue_bytes_max=max(queued * 65_536 * 2, settings.bytes_in_flight_max),
    )


def verify_bounds(settings: Settings) -> Bounds:
    """Return the bounds of what is verified at once, and of what waits for it."""
    # Small pieces: what is verified now is what everybody waits for, and 64 KiB of numbers take
    # 15 ms.
    return replace(
        commit_bounds(settings), items_max=_VERIFIED_AT_ONCE_MAX, bytes_max=RECORD_BYTES_MAX
    )
