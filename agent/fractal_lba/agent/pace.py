"""The pace of one endpoint: how many requests at once, and how soon after each other.

Pure but for what it remembers: time is an argument. Additive increase, multiplicative decrease
(AIMD; Chiu and Jain 1989, doi:10.1016/0169-7552(89)90019-6), with the slow start of TCP (RFC 5681):
from ``START`` on one more with each answer until the first refusal, then one more with each round
of answers; half as many after a refusal, once for all that were under way at that moment.

Below one request at once there is a gap between two: what a rate allows is met by waiting about as
long as it takes, not by asking and being refused each time. The gap is what the refusal of the
one request told, and shrinks by a fifth with ``TRUSTED`` answers in a row.
"""

from dataclasses import dataclass
from typing import Final

START: Final = 4
"""What a server gives the batches of all callers it does not know, by default."""

TRUSTED: Final = 8
"""A gap that is tried shorter sooner costs more refusals than it wins."""

SHRINKS_BY: Final = 0.8

GAP_MIN_S: Final = 0.05
"""A shorter gap is none."""

GAP_MAX_S: Final = 30.0
"""A longer one would outlast the trouble it came from; a longer ``Retry-After`` is waited for each
time it is given."""


@dataclass(slots=True)
class Pace:
    """When an endpoint is sent another request.

    Attributes:
        most: Requests at once, never more.
        limit: Requests at once, by what was answered; its whole part counts.
        gap_s: From one request to the next.
        next_s: No request before.
    """

    most: int
    limit: float
    gap_s: float = 0.0
    next_s: float = 0.0
    _is_starting: bool = True
    _cut_s: float = -1.0
    _answers: int = 0
    _answered_sent_s: float | None = None

    @classmethod
    def of(cls, most: int) -> "Pace":
        """Return the pace at the start, for so many requests at once at the most."""
        return cls(most=most, limit=float(min(START, most)))

    def has_room(self, in_flight: int, now_s: float) -> bool:
        """Return whether another request may go out."""
        return in_flight < int(self.limit) and now_s >= self.next_s

    def sent(self, now_s: float) -> None:
        """Note that one goes out."""
        if self.gap_s:
            self.next_s = now_s + self.gap_s

    def answered(self, in_flight: int, *, sent_s: float) -> None:
        """Note an answer.

        Args:
            in_flight: Requests under way until now, this one included. Where they are less than
                half of the limit, the limit was not tried and does not grow.
            sent_s: When its request went out.
        """
        self._answers += 1
        self._answered_sent_s = sent_s
        if self.gap_s:
            if self._answers >= TRUSTED:
                self._answers = 0
                self.gap_s *= SHRINKS_BY
                if self.gap_s < GAP_MIN_S:
                    self.gap_s = 0.0
        elif in_flight * 2 >= self.limit:
            grown = self.limit + (1.0 if self._is_starting else 1.0 / self.limit)
            self.limit = min(grown, float(self.most))

    def refused(self, *, sent_s: float, now_s: float, until_s: float, asked_s: float) -> None:
        """Note that a request was refused for the moment, or had no answer.

        Args:
            sent_s: When it went out.
            now_s: When that was known.
            until_s: Where there is but one at once, the next one goes out then.
            asked_s: For how long a rate was exceeded, by the endpoint's word; 0 where it is no
                matter of a rate.
        """
        if int(self.limit) == 1:
            self.next_s = max(self.next_s, until_s)
            if asked_s and self._answered_sent_s is not None:
                self.gap_s = min(now_s - self._answered_sent_s + asked_s, GAP_MAX_S)
                self._answered_sent_s = None  # a second refusal tells nothing of the rate
        # What went out before the last cut was sent by the limit before it.
        elif sent_s > self._cut_s:
            self.limit = max(1.0, self.limit / 2)
            self._cut_s = now_s
        self._is_starting = False
        self._answers = 0

    def restart(self) -> None:
        """Begin with one request at once, as after an outage."""
        self.limit = 1.0
        self._is_starting = True
