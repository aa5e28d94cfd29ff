"""How many windows a request carries: as many as get through.

Pure but for what it remembers. The rule: a request that was refused for what it is, or that had no
answer, is followed by smaller ones, down to a window alone, sent as a single record; answers let
them grow again. So no batch is sent for ever that something on the way does not let through, and no
record's fate hangs on an answer that spoke of the batch.
"""

from dataclasses import dataclass
from typing import Final

WINDOWS_MAX: Final = 256
"""As many records as a server decides with one sync."""

BYTES_MAX: Final = 512 * 1024
"""Half of what common proxies let through; more in one request wins nothing measurable."""

IN_FLIGHT_MAX: Final = 4_096
"""Windows of all requests under way; each is held in memory, some kilobytes."""

REFUSED_S: Final = 60.0
"""What was refused for its size or its form is tried again after so long: a proxy or a server that
was replaced meanwhile is noticed, at the price of a request a minute."""

_TOO_LARGE = 413


@dataclass(slots=True)
class Load:
    """The windows of the next request.

    Attributes:
        windows_max: Never more than these.
        windows: Of the next request, 1 or more.
    """

    windows_max: int
    windows: int
    _ceiling: int
    _ceiling_until_s: float

    @classmethod
    def of(cls, requests: int) -> "Load":
        """Return the load for so many requests in flight."""
        most = max(1, min(WINDOWS_MAX, IN_FLIGHT_MAX // requests))
        return cls(windows_max=most, windows=most, _ceiling=most, _ceiling_until_s=0.0)

    @property
    def lets_batches(self) -> bool:
        """Whether batches get through, as far as is known."""
        return self._ceiling > 1

    def answered(self, *, now_s: float) -> None:
        """Note that a request got an answer for each of its windows: the next may be larger."""
        if now_s >= self._ceiling_until_s:
            self._ceiling = self.windows_max
        self.windows = min(self.windows * 2, self._ceiling)

    def unanswered(self, windows: int) -> None:
        """Note that a request of so many had no whole answer, a late one or a refusal for now.

        A slow line carries a smaller one. That a window alone was not answered says nothing.
        """
        if windows > 1:
            self._shrink_to(windows // 2)

    def refused(self, windows: int, status: int, *, now_s: float) -> None:
        """Note that a batch of so many was refused as a whole, finally.

        A 413 leads to halves; anything else (a server that knows no batch, a proxy that lets none
        through, a caller who may not) to records alone, each of which gets an answer of its own.
        """
        self._shrink_to(windows // 2 if status == _TOO_LARGE else 1)
        self._ceiling = self.windows
        self._ceiling_until_s = now_s + REFUSED_S

    def _shrink_to(self, windows: int) -> None:
        self.windows = max(1, min(self.windows, windows))
