"""What keeps a log from taking more after a failure, until it is reopened."""

import logging

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.server.ports import Meter

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

    @property
    def reason(self) -> str | None:
        """The failure, or ``None`` where the stream takes more."""
        return self._reason

    def put_up(self, error: Exception) -> None:
        """Fence the stream. The first failure is told and kept: the others follow from it."""
        if self._reason is not None:
            return
        is_expected = isinstance(error, DurabilityError)
        # Only our own messages are known to hold nothing of a payload.
        self._reason = str(error) if is_expected else f"{self._stream}: {type(error).__name__}"
        _log.error("fenced", extra={"stream": self._stream, "error": self._reason})
        self._meter.wal_failed(stream=self._stream)

    def lift(self) -> None:
        """Let the stream take more."""
        self._reason = None
