"""Bounds of the outbox: how much may wait for an answer, and what happens beyond.

Nothing is ever dropped to make room: whoever observes waits, or is told.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from fractal_lba.protocol import ContractError, UnavailableError

# A weekend of one window a second, and the disk of a small machine; a place for each takes about
# 150 bytes of memory.
RECORDS_MAX = 1_000_000
BYTES_MAX = 1 << 30

# Some records of the largest size.
OUTBOX_BYTES_MIN = 1 << 20

# What one sync covers, and what may wait for it: a batch is written in milliseconds, and a few of
# them fit into memory.
BATCH_RECORDS_MAX = 4096
BATCH_BYTES_MAX = 1 << 20
QUEUE_RECORDS_MAX = 4 * BATCH_RECORDS_MAX
QUEUE_BYTES_MAX = 16 * BATCH_BYTES_MAX

# One segment is what a compaction gives up at the least, and what recovery reads whole: of 8 MiB
# that is a moment. The smallest holds the largest call with some room, the largest is the format's.
SEGMENT_BYTES_MAX = 8 << 20
SEGMENT_BYTES_MIN = 4 << 20
SEGMENT_BYTES_LIMIT = 1 << 30

# A closed segment can be checked as a whole (its footer), copied away and given up: after a day of
# few windows as well. More often than once a minute there would be more segments than windows.
SEGMENT_AGE_S = 86_400.0
SEGMENT_AGE_MIN_S = 60.0

# Room on the disk that is asked for ahead of what is written, so that a full disk is met before a
# window is taken and not in the middle of one.
RESERVE_BYTES = 1 << 20
RESERVE_BYTES_LIMIT = SEGMENT_BYTES_MIN

# What one call gives: past it a window costs hardly less, and nobody else waits for longer than a
# batch takes. The bytes are those of so many records of the largest size, with what the outbox
# notes of them.
CALL_RECORDS_MAX = 16
CALL_BYTES_MAX = 2 * BATCH_BYTES_MAX


class WhenFull(StrEnum):
    """What observing does when the outbox has no room."""

    BLOCK = "block"  # it waits until windows are answered
    REFUSE = "refuse"  # it gets an error, and nothing was taken


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxBounds:
    """How much an outbox holds, and in what segments.

    Attributes:
        records_max: Windows without a final answer.
        bytes_max: Bytes of their frames. Another window is taken as long as fewer wait, so that the
            last one may pass it.
        when_full: What happens beyond; ``"block"`` and ``"refuse"`` are taken too.
        segment_bytes_max: A segment is closed before it grows beyond, 4 MiB … 1 GiB. What answered
            windows take is given up in whole segments.
        segment_age_s: A segment that holds something is closed at this age, 60 seconds or more: by
            the next window, and where none comes no later than so long after the last one;
            infinity for never.
        reserve_bytes: Disk that is taken ahead of what is written, up to 4 MiB; 0 for none.
    """

    records_max: int = RECORDS_MAX
    bytes_max: int = BYTES_MAX
    when_full: WhenFull = WhenFull.BLOCK
    segment_bytes_max: int = SEGMENT_BYTES_MAX
    segment_age_s: float = SEGMENT_AGE_S
    reserve_bytes: int = RESERVE_BYTES

    def __post_init__(self) -> None:
        """Check the bounds, and make a policy of its name.

        Raises:
            ContractError: A bound leaves no room for any window or is out of its range, or it is no
                policy.
        """
        _check_whole("records_max", self.records_max, 1)
        _check_whole("bytes_max", self.bytes_max, 1)
        _check_whole(
            "segment_bytes_max", self.segment_bytes_max, SEGMENT_BYTES_MIN, SEGMENT_BYTES_LIMIT
        )
        _check_whole("reserve_bytes", self.reserve_bytes, 0, RESERVE_BYTES_LIMIT)
        age_s: object = self.segment_age_s
        is_number = isinstance(age_s, int | float) and not isinstance(age_s, bool)
        if not (is_number and self.segment_age_s >= SEGMENT_AGE_MIN_S):
            raise ContractError(
                f"segment_age_s: expected {SEGMENT_AGE_MIN_S:g} seconds or more, got {age_s!r}"
            )
        try:
            policy = WhenFull(self.when_full)
        except ValueError:
            raise ContractError(
                f"when_full: expected one of {', '.join(WhenFull)}, got {self.when_full!r}"
            ) from None
        object.__setattr__(self, "when_full", policy)


def _check_whole(name: str, value: object, least: int, most: int | None = None) -> None:
    top = math.inf if most is None else most
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= top:
        what = f"{least} or more" if most is None else f"{least} … {most}"
        raise ContractError(f"{name}: expected {what}, got {value!r}")


class OutboxFullError(UnavailableError):
    """The outbox has no room for another window: it was not taken, and can be given again later."""


def fullness(bounds: OutboxBounds, records: int, size: int, *, is_disk_full: bool) -> str:
    """Return why there is no room, for whoever finds none."""
    if is_disk_full:
        return (
            "outbox: expected room on the disk for another window, got a full one;"
            f" {records} wait for an answer"
        )
    return (
        f"outbox: expected fewer than {bounds.records_max} windows (--outbox-records-max) and"
        f" {bounds.bytes_max} bytes (--outbox-bytes-max) waiting for an answer, got {records} and"
        f" {size}"
    )
