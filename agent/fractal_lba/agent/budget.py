"""The retry budget: what is sent again stays a share of what is sent for the first time.

Pure but for what it remembers: time is an argument. A request that was not answered takes one from
the budget when its windows are planned again; nothing is ever dropped for want of it: they wait.
Each request with new windows puts in a share, some come with time, so that an agent with nothing
new goes on trying, and what is answered at last puts back what it took. So an ailing server gets a
bounded number of requests more than a sound one, however many windows wait.

Source: the retry budgets of Finagle (``RetryBudget``), with waiting in the place of giving up.
"""

from dataclasses import dataclass
from typing import Final

SHARE: Final = 0.2
"""One more request for five."""

RATE_PER_S: Final = 0.5
SAVED_MAX: Final = 20.0
"""As many as the default of requests at once, and some: one outage takes each of them once."""

WAIT_MAX_S: Final = 60.0
"""A longer wait would outlast the trouble; it is met by 30 such requests."""


@dataclass(slots=True)
class Budget:
    """What may be sent again.

    Attributes:
        saved: Requests; negative where they are planned for later.
    """

    saved: float = SAVED_MAX
    _at_s: float = 0.0

    def sent_new(self) -> None:
        """Note a request with windows that were not sent before."""
        self.saved = min(self.saved + SHARE, SAVED_MAX)

    def answered_again(self) -> None:
        """Note that a request with windows that were sent before was answered."""
        self.saved = min(self.saved + 1.0, SAVED_MAX)

    def plan(self, now_s: float) -> float:
        """Take one, and return the time at which it is there."""
        earned = max(0.0, now_s - self._at_s) * RATE_PER_S
        self._at_s = now_s
        self.saved = max(min(self.saved + earned, SAVED_MAX) - 1.0, -WAIT_MAX_S * RATE_PER_S)
        return now_s + max(0.0, -self.saved) / RATE_PER_S
