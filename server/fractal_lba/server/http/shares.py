"""Who is served next: bodies of several owners share what is served at once.

Without it whoever keeps the most bodies on their way decides how long everybody waits: each passes
the same threads and commits. One owner alone has no limit; beside others each has an equal share,
and what is above it waits unread, so that a quiet caller meets a short line whatever others send.
"""

from asyncio import Future, get_running_loop
from collections import Counter, deque
from dataclasses import dataclass

from fractal_lba.server.ports import Clock

ACTIVE_NS = 2_000_000_000
"""How long after its last body an owner is counted in: a steady caller's pause is shorter."""

SHARE_MIN = 2
"""One body in its commit, and one that is read meanwhile."""


class Shares:
    """What each owner may have served at once (``pipeline.turns`` is the plain order of a queue).

    Args:
        shared_max: How many bodies are served at once where several owners send.
        monotonic: Nanoseconds of a clock that no one sets.
    """

    def __init__(self, shared_max: int, *, monotonic: Clock) -> None:
        self._shared_max = shared_max
        self._monotonic = monotonic
        self._served: Counter[str] = Counter()
        self._waiting: dict[str, deque[Future[None]]] = {}
        self._seen_ns: dict[str, int] = {}

    def one_of(self, owner: str) -> "Turn":
        """Return what waits for a turn of an owner, and has it while a block runs."""
        return Turn(self, owner)

    async def begin(self, owner: str) -> None:
        """Wait for a turn of an owner, which it must end."""
        self._seen_ns[owner] = self._monotonic()
        if self._served[owner] >= self._share_of(owner):
            turn: Future[None] = get_running_loop().create_future()
            self._waiting.setdefault(owner, deque()).append(turn)
            try:
                await turn
            except BaseException:
                if turn.done() and not turn.cancelled():
                    self.end(owner)  # it was given, and nobody is here to take it
                raise
        else:
            self._served[owner] += 1

    def end(self, owner: str) -> None:
        """End a turn, and give it to whoever waits for one."""
        self._served[owner] -= 1
        waiting = self._waiting.get(owner)
        share = self._share_of(owner)
        while waiting and self._served[owner] < share:
            turn = waiting.popleft()
            if not turn.done():
                self._served[owner] += 1
                turn.set_result(None)
        if waiting is not None and not waiting:
            del self._waiting[owner]
        if not self._served[owner]:
            del self._served[owner]

    def _share_of(self, owner: str) -> float:
        if len(self._seen_ns) == 1 and owner in self._seen_ns:
            return float("inf")
        now_ns = self._monotonic()
        for gone in [
            other
            for other, seen_ns in self._seen_ns.items()
            if now_ns - seen_ns > ACTIVE_NS and other not in self._served
        ]:
            del self._seen_ns[gone]
        others = len(self._seen_ns.keys() - {owner})
        return max(SHARE_MIN, self._shared_max // (others + 1)) if others else float("inf")


@dataclass(slots=True)
class Turn:
    """A turn of an owner, for as long as a block runs."""

    shares: Shares
    owner: str

    async def __aenter__(self) -> None:
        """Wait for it."""
        await self.shares.begin(self.owner)

    async def __aexit__(self, *_: object) -> None:
        """End it."""
        self.shares.end(self.owner)
