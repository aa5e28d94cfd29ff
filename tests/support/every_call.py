"""End a process at every call, cut the power, end its successor at every call, too.

``python -m tests.support.every_call`` runs every pair of calls of each scenario; the suite runs
every first call, with some of the second ones.
"""

import argparse
import logging
import random
import sys
from collections.abc import Iterable
from typing import Final

from tests.support.failing_disk import Effect, FailingDisk
from tests.support.memory_disk import MemoryDisk
from tests.support.power import KINDS
from tests.support.power_cut import cut_power
from tests.support.power_runs import InvariantError, Kind, given_folder, hold_after, live_once

EFFECTS: Final = tuple(Effect)


def calls_of_two_lives(kind: Kind) -> tuple[int, int]:
    """Return how many calls a life makes that follows a sound one, and the life after it."""
    return _run(kind, None, None)


def end_at(kind: Kind, first: int, second: int | None = None) -> None:
    """Have one sound life, one that ends at a call and, if asked for, one that ends at another.

    The power is cut after each; then everything is held to what was acknowledged.

    Raises:
        InvariantError: Something must not be as it is.
        AssertionError: A call was not reached.
    """
    _run(kind, first, second)


def every_pair(kind: Kind, *, step: int) -> int:
    """End a life at every call, the next one at every so-manieth; return how many pairs."""
    firsts, seconds = calls_of_two_lives(kind)
    count = 0
    for first in range(1, firsts + 1):
        for second in _shifted(first, seconds, step):
            end_at(kind, first, second)
            count += 1
    return count


def _shifted(first: int, seconds: int, step: int) -> Iterable[int]:
    # Shifted, so that with any step all pairs of kinds of calls meet.
    return range(1 + first % step, seconds + 1, step)


def _run(kind: Kind, first: int | None, second: int | None) -> tuple[int, int]:
    chance = random.Random(kind.name)  # noqa: S311 - the same in every run up to the first end
    counts: list[int] = []
    with given_folder() as root:
        memory = MemoryDisk(root, chance)
        with kind.make(memory, chance) as scenario:
            live_once(scenario, FailingDisk(memory, is_syncing=True))
            for end in (first, second):
                effect = EFFECTS[(end or 0) % len(EFFECTS)]
                disk = FailingDisk(memory, fail_at=end, error=None, effect=effect, is_syncing=True)
                live_once(scenario, disk)
                # What the second life does depends on where the first one ended.
                assert end is None or disk.has_ended or end == second, f"call {end} not reached"
                counts.append(len(disk.calls))
                cut_power(memory, random.Random(f"{kind.name} {first} {second} {end}"))  # noqa: S311 - to be replayed
                memory.happened["power cut"] += 1
            hold_after(scenario, memory, is_last=True)
    return counts[0], counts[1]


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.every_call",
        description="End two processes in a row at every pair of calls, with a power cut after"
        " each; exit 1 where that breaks an invariant.",
    )
    parser.add_argument("--kind", choices=sorted(KINDS), action="append", help="default: all")
    parser.add_argument("--step", type=int, default=1, help="of the second call")
    given = parser.parse_args()
    logging.disable()
    code = 0
    for name in given.kind or KINDS:
        firsts, seconds = calls_of_two_lives(KINDS[name])
        count = failed = 0
        for first in range(1, firsts + 1):
            for second in _shifted(first, seconds, given.step):
                count += 1
                try:
                    end_at(KINDS[name], first, second)
                except InvariantError as error:
                    failed += 1
                    print(f"{name}: ended at {first}, then at {second}: {error}", flush=True)  # noqa: T201 - a command's output
        print(f"{name}: {count} pairs of {firsts} and {seconds} calls, {failed} failed", flush=True)  # noqa: T201 - a command's output
        code = code or int(failed > 0)
    return code


if __name__ == "__main__":
    sys.exit(main())
