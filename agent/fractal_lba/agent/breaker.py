"""The circuit breaker: whether an endpoint is asked at all.

Pure: time and chance are arguments. The states and what leads from one to the next::

            too many of the last calls failed, or were slow
    closed ─────────────────────────────────────────────────► open ◄────────┐
      ▲                                                        │ wait over  │ it failed,
      │                     it was answered                    ▼            │ or was slow
      └──────────────────────────────────────────────────── half open ──────┘
                                                         exactly one call

What was sent before the breaker changed its state says nothing in the next one. The waits double
with each opening in a row, and half of each is chance, so that a fleet does not come back at once.

Source: Nygard (2018), "Release It!", 2nd edition, section "Circuit Breaker".
"""

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Of a breaker."""

    CLOSED = "closed"  # every call goes out
    OPEN = "open"  # none does
    HALF_OPEN = "half_open"  # one is under way, and its end decides


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRule:
    """When a breaker opens, and for how long.

    Attributes:
        calls_min: Fewer calls say nothing: one answer that was lost is no outage.
        calls_max: So many of the last calls count.
        window_s: Calls count for so long.
        failed_share: Of the calls that count; as many failures open it.
        slow_s: A call that took as long is slow: half of what a client waits at the most.
        slow_share: As many slow calls open it. More than for failures, because they are answers.
        open_first_s: The first wait is up to twice as long, and each further one twice the one
            before.
        open_max_s: Where the doubling ends. A server that is dead for an hour is asked some 150
            times; one that is back is noticed within 32 s.
    """

    calls_min: int = 5
    calls_max: int = 100
    window_s: float = 60.0
    failed_share: float = 0.5
    slow_s: float = 15.0
    slow_share: float = 0.8
    open_first_s: float = 1.0
    open_max_s: float = 16.0


DEFAULT: Final = BreakerRule()


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to make one call; ``settle`` takes it back."""

    generation: int
    is_probe: bool


@dataclass(frozen=True, slots=True)
class _Call:
    ended_s: float
    is_failed: bool
    is_slow: bool


@dataclass(slots=True)
class Breaker:
    """The breaker of one endpoint.

    Attributes:
        rule: When it opens.
        state: Half open exactly while its one call is under way.
        until_s: No call before; counts while it is open.
        openings: In a row, without a call that was answered in between.
    """

    rule: BreakerRule = DEFAULT
    state: State = State.CLOSED
    until_s: float = 0.0
    openings: int = 0
    _generation: int = 0
    _calls: deque[_Call] = field(default_factory=deque)

    def is_due(self, now_s: float) -> bool:
        """Return whether ``permit`` would give one now."""
        return self.state is State.CLOSED or (self.state is State.OPEN and now_s >= self.until_s)

    def permit(self, now_s: float) -> Permit | None:
        """Return the right to make a call, None where none may be made now."""
        if not self.is_due(now_s):
            return None
        if self.state is State.OPEN:
            self._go(State.HALF_OPEN)
        return Permit(self._generation, is_probe=self.state is State.HALF_OPEN)

    def settle(  # noqa: PLR0913 - the end of a call, each by name
        self,
        permit: Permit,
        *,
        is_failed: bool,
        took_s: float,
        now_s: float,
        chance: float,
        asked_s: float = 0.0,
    ) -> None:
        """Note how a call ended.

        Args:
            permit: Its right, used once.
            is_failed: Nothing came that says the endpoint works.
            took_s: How long it was under way.
            now_s: When it ended.
            chance: 0 … 1, evenly distributed.
            asked_s: How long the endpoint asked to be left alone.
        """
        if permit.generation != self._generation:
            return
        call = _Call(now_s, is_failed, not is_failed and took_s >= self.rule.slow_s)
        if permit.is_probe:
            if call.is_failed or call.is_slow:
                self._open(now_s, chance, asked_s)
            else:
                self._close()
            return
        self._calls.append(call)
        while len(self._calls) > self.rule.calls_max:
            self._calls.popleft()
        while self._calls[0].ended_s <= now_s - self.rule.window_s:
            self._calls.popleft()
        if (call.is_failed or call.is_slow) and self._is_too_much():
            self._open(now_s, chance, asked_s)

    def release(self, permit: Permit, now_s: float) -> None:
        """Note that a call was not made after all, or says nothing."""
        if permit.generation == self._generation and permit.is_probe:
            self._go(State.OPEN)
            self.until_s = now_s

    def _is_too_much(self) -> bool:
        calls = len(self._calls)
        failed = sum(call.is_failed for call in self._calls)
        slow = sum(call.is_slow for call in self._calls)
        return calls >= self.rule.calls_min and (
            failed >= calls * self.rule.failed_share or slow >= calls * self.rule.slow_share
        )

    def _open(self, now_s: float, chance: float, asked_s: float) -> None:
        doubled = self.rule.open_first_s * 2.0 ** min(self.openings, 32)
        wait_s = min(doubled, self.rule.open_max_s)
        self.until_s = now_s + max(asked_s, wait_s) + chance * wait_s
        self.openings += 1
        self._go(State.OPEN)

    def _close(self) -> None:
        self.openings = 0
        self._go(State.CLOSED)

    def _go(self, state: State) -> None:
        self.state = state
        self._generation += 1
        self._calls.clear()
