"""Bounds of the outbox: how much may wait for an answer, and what happens beyond.

Nothing is ever dropped to make room: whoever observes waits, or is told.
"""

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
    """How much an outbox holds.

    Attributes:
        records_max: Windows without a final answer.
        bytes_max: Bytes of their frames. Another window is taken as long as fewer wait, so that the
            last one may pass it.
        when_full: What happens beyond; ``"block"`` and ``"refuse"`` are taken too.
    """

    records_max: int = RECORDS_MAX
    bytes_max: int = BYTES_MAX
    when_full: WhenFull = WhenFull.BLOCK

    def __post_init__(self) -> None:
        """Check the bounds, and make a policy of its name.

        Raises:
            ContractError: A bound leaves no room for any window, or it is no policy.
        """
        given: dict[str, object] = {"records_max": self.records_max, "bytes_max": self.bytes_max}
        for name, value in given.items():
            if not isinstance(value, int) or value < 1:
                raise ContractError(f"{name}: expected 1 or more, got {value!r}")
        try:
            policy = WhenFull(self.when_full)
        except ValueError:
            raise ContractError(
                f"when_full: expected one of {', '.join(WhenFull)}, got {self.when_full!r}"
            ) from None
        object.__setattr__(self, "when_full", policy)


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
