"""What commits and verification may hold, as the settings say."""

from dataclasses import replace

from fractal_lba.protocol.document import RECORD_BYTES_MAX
from fractal_lba.server.config import Settings
from fractal_lba.server.pipeline.batch import LINES_AT_ONCE_MAX, LINES_BYTES_AT_ONCE_MAX
from fractal_lba.wal.group_commit import Bounds

_VERIFIED_AT_ONCE_MAX = 128


def commit_bounds(settings: Settings) -> Bounds:
    """Return the bounds of a log's commits and of what waits for one."""
    requests, batches = 2 * settings.requests_in_flight_max, settings.batches_at_once_max
    return Bounds(
        items_max=settings.batch_records_max,
        bytes_max=settings.batch_bytes_max,
        # Everything in flight may wait in one queue, and recovery hands in one batch of its own
        # beside it; of a batch no more than the lines that are decided together.
        queue_items_max=requests + batches * LINES_AT_ONCE_MAX,
        queue_bytes_max=max(
            2 * (requests * RECORD_BYTES_MAX + batches * LINES_BYTES_AT_ONCE_MAX),
            settings.bytes_in_flight_max,
        ),
    )


def verify_bounds(settings: Settings) -> Bounds:
    """Return the bounds of what is verified at once, and of what waits for it."""
    # Small pieces: what is verified now is what everybody waits for, and 64 KiB of numbers take
    # 15 ms.
    return replace(
        commit_bounds(settings), items_max=_VERIFIED_AT_ONCE_MAX, bytes_max=RECORD_BYTES_MAX
    )
