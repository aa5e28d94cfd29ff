"""Ctrl-C: exit code 130 and one line on standard error, at any time.

While a command is being imported, and after it is done, nothing is half done and the process ends
at once. While it works, the interrupt is an exception, so that locks and temporary files are given
back on the way out.
"""

import os
import signal
import sys
from types import FrameType, TracebackType
from typing import Self

EXIT_INTERRUPTED = 128 + 2
"""As a shell reports SIGINT."""


class Interrupted(BaseException):
    """SIGINT came while a command worked.

    Not a KeyboardInterrupt, which click would turn into exit code 1.
    """


class Interruptible:
    """Stands around a whole command: import inside of it, call ``work``, then work."""

    def __init__(self, name: str) -> None:
        self._line = f"{name}: interrupted\n".encode()
        # A shell starts its background jobs with SIGINT ignored; that is kept.
        self._is_ours = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN

    def __enter__(self) -> Self:
        """End the process at once from now on."""
        if self._is_ours:
            signal.signal(signal.SIGINT, self._end)
        return self

    def work(self) -> None:
        """Raise ``Interrupted`` from now on."""
        if self._is_ours:
            signal.signal(signal.SIGINT, _raise)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process where it was interrupted; and from now on at once again."""
        if self._is_ours:
            signal.signal(signal.SIGINT, self._end)
        if isinstance(error, Interrupted | KeyboardInterrupt):
            os.write(2, self._line)
            sys.exit(EXIT_INTERRUPTED)

    def _end(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        os.write(2, self._line)
        os._exit(EXIT_INTERRUPTED)


def _raise(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise Interrupted
