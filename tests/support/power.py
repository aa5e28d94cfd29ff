"""Cut the power over and over: ``python -m tests.support.power --help``.

A seed that broke an invariant is printed with the command that replays it.
"""

import argparse
import logging
import sys
import time
import traceback
from collections import Counter
from typing import Final

from tests.support.power_agent import AGENT
from tests.support.power_files import FILES
from tests.support.power_outbox import OUTBOX
from tests.support.power_runs import InvariantError, Kind, run_seed
from tests.support.power_server import SERVER
from tests.support.power_stream import STREAM

KINDS: Final[dict[str, Kind]] = {kind.name: kind for kind in (STREAM, OUTBOX, AGENT, SERVER, FILES)}
NIGHTLY: Final = 10_000
"""Seeds of each kind."""


def replayed_by(kind: Kind, seed: int) -> str:
    """Return the command that runs one seed again."""
    return f"python -m tests.support.power --kind {kind.name} --first {seed} --seeds 1"


def run_seeds(kind: Kind, seeds: range) -> Counter[str]:
    """Run seeds and return how often each kind of fault came to something.

    Raises:
        InvariantError: Of the first seed that broke one, with how to replay it.
    """
    happened: Counter[str] = Counter()
    for seed in seeds:
        try:
            happened += run_seed(kind, seed).happened
        except InvariantError as error:
            error.add_note(f"seed {seed} of {kind.name}: {replayed_by(kind, seed)}")
            raise
    return happened


def summary(kind: Kind, seeds: range, happened: Counter[str]) -> str:
    """Say in one line what seeds came to."""
    counts = ", ".join(f"{name} {count}" for name, count in happened.most_common())
    return f"{kind.name}: seeds {seeds.start} to {seeds.stop - 1}: {counts}"


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.power",
        description="Run seeds of processes over a disk that loses power; exit 1 where one breaks "
        "an invariant.",
    )
    parser.add_argument("--kind", choices=sorted(KINDS), action="append", help="default: all")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=NIGHTLY, help="how many of each kind")
    given = parser.parse_args()
    logging.disable()
    code = 0
    for name in given.kind or KINDS:
        seeds = range(given.first, given.first + given.seeds)
        started = time.perf_counter()
        try:
            line = summary(KINDS[name], seeds, run_seeds(KINDS[name], seeds))
        except InvariantError as error:
            traceback.print_exception(error)
            code = 1
            continue
        print(f"{line}; {time.perf_counter() - started:.1f} s", flush=True)  # noqa: T201 - a command's output
    return code


if __name__ == "__main__":
    sys.exit(main())
