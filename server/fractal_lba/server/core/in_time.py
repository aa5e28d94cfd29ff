"""Whether a new record came in time: for its key, and for what its tenant may still be told of."""

from typing import Final

from fractal_lba.protocol.errors import Refusal, RefusalCode
from fractal_lba.protocol.keyring import is_within
from fractal_lba.protocol.record import VERSION
from fractal_lba.protocol.timestamps import format_timestamp
from fractal_lba.server.core.run import Verified

_NS_PER_MS: Final = 1_000_000
_MS_PER_DAY: Final = 86_400_000


def admit_new(verified: Verified, *, horizon_days: int, floor_ms: int | None) -> None:
    """Refuse a new record that came too late, for its key or for the tenant's horizon.

    Judged at the time the body was first received, so that a recovery hours later answers the same.
    Not asked of a repeat: a lost answer can still be fetched. A record of version 0.1 signs no time
    and is within every horizon.

    Args:
        verified: The record.
        horizon_days: The tenant's.
        floor_ms: What was made up to then may be forgotten, whatever the horizon is by now: the
            same bytes are never decided twice.

    Raises:
        Refusal: ``key_not_valid_now`` or ``beyond_horizon``; nothing is remembered.
    """
    received_ms = verified.received_ns // _NS_PER_MS
    if not is_within(received_ms, verified.not_before_ms, verified.not_after_ms):
        raise Refusal(
            RefusalCode.KEY_NOT_VALID_NOW,
            reason="key_not_valid_now",
            member="kid" if verified.version == VERSION else None,
            message=(
                f"kid: expected a key that is valid at receipt, got {verified.kid} outside its time"
            ),
        )
    created_ms = verified.created_ms
    if created_ms is not None and created_ms + horizon_days * _MS_PER_DAY < received_ms:
        raise Refusal(
            RefusalCode.BEYOND_HORIZON,
            reason="beyond_horizon",
            member="created_at",
            message=(
                f"created_at: expected at most {horizon_days} days before receipt,"
                f" got {format_timestamp(created_ms)}"
            ),
        )
    if created_ms is not None and floor_ms is not None and created_ms <= floor_ms:
        raise Refusal(
            RefusalCode.BEYOND_HORIZON,
            reason="beyond_horizon",
            member="created_at",
            message=(
                "created_at: expected a time after that of every record that was forgotten,"
                f" got {format_timestamp(created_ms)}"
            ),
        )
