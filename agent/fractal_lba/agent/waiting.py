"""What waits to be sent: by stream, in turn.

Pure but for what it remembers: time is an argument. The rules:

- streams take turns, one behind the other, so that the long queue of one keeps no other waiting for
  more than a request;
- a window that got no final answer where others of its stream did waits by itself;
- a stream none of whose windows got one is *stuck*: it waits as a whole, and then goes out window
  by window, another one each time, until an answer is final; twice as many with each from there. So
  what one stream is refused for hours costs a request now and then, and the others nothing;
- in order, a stream's next window goes out only when the one before it is final.
"""

import heapq
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count


@dataclass(slots=True)
class _Stream:
    """The windows of one stream that are not final yet.

    Attributes:
        seqs: Waiting, the next one first.
        sent: Under way.
        delayed: Waiting by themselves.
        failures: Answers in a row that left it stuck.
        allowed: Windows of a stuck stream that may be under way; infinite for any other.
        held: Waits as a whole.
        is_listed: Has a place in the row of those that can be sent.
    """

    seqs: deque[int] = field(default_factory=deque)
    sent: int = 0
    delayed: int = 0
    failures: int = 0
    allowed: float = math.inf
    held: bool = False
    is_listed: bool = False


class Waiting:
    """The windows of a run that are not final yet.

    Attributes:
        count: How many there are, those under way included.
    """

    def __init__(self, *, is_ordered: bool = False) -> None:
        """Begin empty; ``is_ordered`` keeps the order within each stream."""
        self.count = 0
        self._is_ordered = is_ordered
        self._streams: dict[str, _Stream] = {}
        self._row: deque[str] = deque()
        self._later: list[tuple[float, int, str, Sequence[int]]] = []
        self._numbers = count()

    @property
    def is_ready(self) -> bool:
        """Whether a window could be sent now, as of the last ``wake``."""
        return bool(self._row)

    @property
    def due_s(self) -> float | None:
        """When ``wake`` has something to do; None for never."""
        return self._later[0][0] if self._later else None

    def add(self, shard_id: str, seq: int) -> None:
        """Let a window wait behind those of its stream."""
        self.count += 1
        stream = self._streams.setdefault(shard_id, _Stream())
        stream.seqs.append(seq)
        self._list(shard_id, stream)

    def wake(self, now_s: float) -> None:
        """Let what has waited long enough be sent."""
        while self._later and self._later[0][0] <= now_s:
            _, _, shard_id, seqs = heapq.heappop(self._later)
            stream = self._streams[shard_id]
            if seqs:
                stream.delayed -= len(seqs)
                stream.seqs.extendleft(reversed(seqs))
            else:
                stream.held = False
            self._list(shard_id, stream)

    def take(self, most: int) -> list[tuple[str, int]]:
        """Return up to so many windows of the streams whose turn it is, each with its stream."""
        taken: list[tuple[str, int]] = []
        while self._row and len(taken) < most:
            shard_id = self._row.popleft()
            stream = self._streams[shard_id]
            stream.is_listed = False
            some = int(min(len(stream.seqs), self._allowed(stream), most - len(taken)))
            taken += [(shard_id, stream.seqs.popleft()) for _ in range(some)]
            stream.sent += some
            self._list(shard_id, stream)
        return taken

    def end(self, shard_id: str) -> None:
        """Note that a window which was under way is final."""
        stream = self._streams[shard_id]
        stream.failures = 0
        stream.allowed *= 2
        self._return(shard_id, stream, 1)
        self.count -= 1

    def lose(self, shard_id: str) -> None:
        """Note that a window which was under way is not final, and not sent again in this run.

        In order, nothing of its stream may overtake it.
        """
        stream = self._streams[shard_id]
        if self._is_ordered:
            self._hold(shard_id, stream)
        self._return(shard_id, stream, 1)
        self.count -= 1

    def give_back(self, shard_id: str, seqs: Sequence[int]) -> None:
        """Let windows that were under way wait again, before the others of their stream."""
        stream = self._streams[shard_id]
        stream.seqs.extendleft(reversed(seqs))
        self._return(shard_id, stream, len(seqs))

    def delay(self, shard_id: str, seqs: Sequence[int], until_s: float) -> None:
        """Let windows that were under way wait by themselves."""
        stream = self._streams[shard_id]
        stream.delayed += len(seqs)
        heapq.heappush(self._later, (until_s, next(self._numbers), shard_id, seqs))
        self._return(shard_id, stream, len(seqs))

    def failures(self, shard_id: str) -> int:
        """Return how often in a row a stream with windows under way was stuck."""
        return self._streams[shard_id].failures

    def hold(self, shard_id: str, seqs: Sequence[int], until_s: float) -> None:
        """Note that a stream is stuck: windows that were under way wait, and the others with them.

        Args:
            shard_id: The stream.
            seqs: Its windows that got no final answer.
            until_s: When one of its windows is sent again.
        """
        stream = self._streams[shard_id]
        if stream.failures and not self._is_ordered:
            # Another one is tried next: this one may be what is wrong.
            stream.seqs.extend(seqs)
        else:
            stream.seqs.extendleft(reversed(seqs))
        # What comes back while it waits already was sent before that was known.
        if not stream.held:
            stream.failures += 1
            stream.allowed = 1
            self._hold(shard_id, stream)
            heapq.heappush(self._later, (until_s, next(self._numbers), shard_id, ()))
        self._return(shard_id, stream, len(seqs))

    def _hold(self, shard_id: str, stream: _Stream) -> None:
        stream.held = True
        if stream.is_listed:
            stream.is_listed = False
            self._row.remove(shard_id)

    def _return(self, shard_id: str, stream: _Stream, windows: int) -> None:
        stream.sent -= windows
        self._list(shard_id, stream)

    def _list(self, shard_id: str, stream: _Stream) -> None:
        """Give a stream its place in the row, or drop what has nothing left."""
        if stream.is_listed:
            return
        if stream.seqs:
            if not stream.held and self._allowed(stream) > 0:
                stream.is_listed = True
                self._row.append(shard_id)
        elif not (stream.sent or stream.delayed or stream.held):
            del self._streams[shard_id]

    def _allowed(self, stream: _Stream) -> float:
        """Return how many windows of a stream may be sent beside those under way."""
        if self._is_ordered:
            return 0 if stream.sent or stream.delayed else 1
        return stream.allowed - stream.sent
