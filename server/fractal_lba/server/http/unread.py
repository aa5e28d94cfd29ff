"""Answers that their readers have not taken: how many bytes of them wait, and for how long.

What the system's own buffers take is gone from here. The rest is memory that a caller holds by not
reading, so that it has a bound in bytes, and each answer an end.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol


class Slow(Protocol):
    """A connection whose reader is slow."""

    def cut(self) -> None:
        """End it at once; ``leave`` is called before this returns."""
        ...


@dataclass(slots=True)
class Unread:
    """The bytes of answers that wait for their readers.

    Attributes:
        bytes_max: Over it the address that holds most loses what waited longest.
        told: Called for each answer that is cut, for this reason or its time.
    """

    bytes_max: int
    told: Callable[[], None]
    total: int = 0
    by_address: Counter[str] = field(default_factory=Counter)
    _waiting: dict[str, OrderedDict[Slow, int]] = field(default_factory=dict)

    def enter(self, slow: Slow, address: str, size: int) -> None:
        """Count an answer that waits; cut others, or this one, where it is too much."""
        self._waiting.setdefault(address, OrderedDict())[slow] = size
        self.by_address[address] += size
        self.total += size
        while self.total > self.bytes_max:
            most = max(self.by_address, key=self.by_address.__getitem__)
            next(iter(self._waiting[most])).cut()

    def leave(self, slow: Slow, address: str) -> None:
        """Count it no longer, where it was counted."""
        waiting = self._waiting.get(address)
        size = None if waiting is None else waiting.pop(slow, None)
        if waiting is None or size is None:
            return
        self.total -= size
        self.by_address[address] -= size
        if not waiting:
            del self._waiting[address]
            del self.by_address[address]
