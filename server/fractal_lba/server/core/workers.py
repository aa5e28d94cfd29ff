"""What belongs to which worker.

Shard i, in the order of the folder, belongs to worker i mod N; inbox j to worker j. A start with
fewer workers than there are inboxes gives each of the others to worker j mod N, which settles and
trims what it holds and takes nothing new into it.
"""

from collections.abc import Iterable, Sequence
from typing import Final

RESTART_WAIT_MIN_S: Final = 0.1
RESTART_WAIT_MAX_S: Final = 10.0
"""A worker that dies at once, every time, costs a start each ten seconds and no more."""


def owner_of_shard(number: int, workers: int) -> int:
    """Return the worker that decides for a shard, given by its number in the folder's order."""
    return number % workers


def shards_of(worker: int, workers: int, names: Sequence[str]) -> list[str]:
    """Return the shards that a worker decides for."""
    return [name for number, name in enumerate(names) if owner_of_shard(number, workers) == worker]


def left_inboxes_of(worker: int, workers: int, inboxes: Iterable[int]) -> list[int]:
    """Return the inboxes without a worker of their own that a worker settles and trims."""
    return sorted(each for each in inboxes if each >= workers and each % workers == worker)


def restart_wait_s(deaths: int) -> float:
    """Return how long a worker is waited with that died so often without having served for long.

    The first time it is started again at once.
    """
    if deaths <= 1:
        return 0.0
    return min(RESTART_WAIT_MAX_S, RESTART_WAIT_MIN_S * 2.0 ** min(deaths - 2, 16))


def late_s(since_s: float, *, look_s: float) -> float:
    """Return how long whoever looks every ``look_s`` was stopped, so long since its last look.

    A look that is late by less than one is a busy machine's, and counts as none.
    """
    late = since_s - look_s
    return late if late > look_s else 0.0
