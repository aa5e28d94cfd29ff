"""What keeps a log from taking more after a failure, until it is reopened."""

import logging

from fractal_lba.protocol.errors import DurabilityError, FullError
from fractal_lba.server.ports import Meter
from fractal_lba.wal import Stream

_log = logging.getLogger(__name__)


class Fence:
    """The failure that nothing can be appended to one stream after, if there is one.

    Args:
        stream: Its name.
        meter: Counts the failures that fenced it.
    """

    def __init__(self, stream: str, *, meter: Meter) -> None:
        self._stream = stream
        self._meter = meter
        self._reason: str | None = None
        self._is_for_room = False

    @property
    def reason(self) -> str | None:
        """The failure, or ``None`` where the stream takes more."""
        return self._reason

    def put_up(self, error: Exception) -> None:
        """Fence the stream. The first failure is told and kept: the others follow from it."""
        if self._reason is not None:
            return
        self._is_for_room = isinstance(error, FullError)
        is_expected = isinstance(error, DurabilityError)
        # Only our own messages are known to hold nothing of a payload.
        self._reason = str(error) if is_expected else f"{self._stream}: {type(error).__name__}"
        _log.error("fenced", extra={"stream": self._stream, "error": self._reason})
        self._meter.wal_failed(stream=self._stream)

    @property
    def is_for_room(self) -> bool:
        """Whether nothing is in doubt: the disk was full before anything was written."""
        return self._reason is not None and self._is_for_room

    def lift(self) -> None:
        """Let the stream take more."""
        self._reason = None


ROOM_BYTES = 65_536
"""A fence for want of room is lifted when a record of the largest kind would find some."""


def look_for_room(stream: Stream) -> None:
    """Check that a stream which met a full disk finds room again.

    Raises:
        FullError: It does not; nothing was written.
        DurabilityError: The disk failed, and the stream is fenced.
    """
    if not stream.finds_room(ROOM_BYTES):
        raise FullError(f"{stream.name}: expected room for {ROOM_BYTES} bytes, got a full disk")
