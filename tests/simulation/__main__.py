"""Live through simulated worlds: ``python -m tests.simulation --help``.

A seed that breaks something is printed with what broke and the command that replays it.
"""

import argparse
import sys
import time
import traceback
from typing import Final

from tests.support.sim_lived import Lived, kinds_missing, summary
from tests.support.sim_world import live, replayed_by

NIGHTLY: Final = 10_000
"""Seeds."""
ENOUGH: Final = 1_000
"""So many seeds meet every kind of fault there is."""
LAST: Final = 20


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        description="Live through the worlds of seeds; exit 1 where one breaks an invariant, or "
        f"where {ENOUGH} and more never met a kind of fault.",
    )
    parser.add_argument("--seed", type=int, action="append", help="this one; once or more")
    parser.add_argument("--first", type=int, default=0, help="the first of several")
    parser.add_argument("--seeds", type=int, default=NIGHTLY, help="how many")
    parser.add_argument("--trace", action="store_true", help="print every event")
    parser.add_argument("--to-the-first", action="store_true", help="end where one breaks")
    given = parser.parse_args()
    seeds = given.seed or range(given.first, given.first + given.seeds)
    all_of_them = Lived()
    broken = 0
    started = time.perf_counter()
    lived_through = 0
    for seed in seeds:
        lived, error = live(seed)
        lived_through += 1
        all_of_them += lived
        if error is not None:
            broken += 1
            if given.seed:
                traceback.print_exception(error)
            shown = lived.trace if given.trace else lived.trace[-LAST:]
            _print("\n".join(shown))
            _print(f"seed {seed}: {error}\n  {replayed_by(seed)}")
            if given.to_the_first:
                break
        elif given.trace:
            _print("\n".join(lived.trace))
        if given.seed:
            _print(f"seed {seed}: {lived.digest}")
    took_s = time.perf_counter() - started
    _print(f"{lived_through} seeds, {broken} broken: {summary(all_of_them)}; {took_s:.1f} s")
    missing = kinds_missing(all_of_them.happened) if lived_through >= ENOUGH else []
    for kind in missing:
        _print(f"never met: {kind}")
    return 1 if broken or missing else 0


def _print(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
