"""The same bytes to every SDK's parsers: ``python -m tests.support.sdk_fuzz [COUNT] [SEED]``.

All must take an input with the same values, or all refuse it with the same code, reason and member.
What differs is printed as the case that a generator of golden vectors is given.
"""

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import orjson
from tests.support.sdk_drivers import available
from tests.support.sdk_inputs import Input, Inputs
from tests.support.sdk_matrix import Drivers

COUNT: Final = 20_000
NIGHTLY: Final = 1_000_000
SEED: Final = 20_261_122
PIECE: Final = 5_000
"""Inputs that are in memory at a time, with their answers."""

SHOWN_MAX: Final = 5
SHOWN_CHARACTERS_MAX: Final = 6_000
_REFERENCE: Final = "python"


class DifferError(AssertionError):
    """SDKs say different things to an input."""


@dataclass(slots=True)
class Fuzzed:
    """What was fed to the SDKs, and what became of it."""

    sdks: Sequence[str]
    count: int = 0
    accepted: int = 0
    seconds: float = 0.0
    files: Counter[str] = field(default_factory=Counter)
    ends: set[str] = field(default_factory=set)

    @property
    def lines(self) -> list[str]:
        """Say it."""
        files = ", ".join(f"{name} {count:,}" for name, count in sorted(self.files.items()))
        told = (
            f"{self.count:,} inputs to each of {', '.join(self.sdks)}: {self.accepted:,} taken, "
            f"{self.count - self.accepted:,} refused, {len(self.ends):,} different refusals; all "
            f"alike; {self.seconds:.0f} s"
        )
        return [told, files]


def run(names: Sequence[str], *, count: int = COUNT, seed: int = SEED) -> Fuzzed:
    """Feed inputs to the SDKs.

    Raises:
        DifferError: With the first differences.
        DriverError: A driver ended or hung.
    """
    began = time.perf_counter()
    found = Fuzzed(names)
    source = iter(Inputs(seed))
    with Drivers(names) as drivers:
        while found.count < count:
            piece = list(islice(source, min(PIECE, count - found.count)))
            _feed(drivers, piece, found)
    found.seconds = time.perf_counter() - began
    return found


def _feed(drivers: Drivers, piece: Sequence[Input], found: Fuzzed) -> None:
    answers = drivers.ask([each.line for each in piece])
    read = {name: [orjson.loads(line) for line in lines] for name, lines in answers.items()}
    expected = read[_REFERENCE]
    wrong = [at for at, said in enumerate(expected) if not _is_answer(said)]
    wrong += [
        at
        for at in range(len(piece))
        if at not in wrong and any(said[at] != expected[at] for said in read.values())
    ]
    if wrong:
        shown = "\n".join(
            _told(piece[at], {name: said[at] for name, said in read.items()})
            for at in wrong[:SHOWN_MAX]
        )
        raise DifferError(f"{len(wrong):,} of {len(piece):,} inputs differ:\n{shown}")
    for each, said in zip(piece, expected, strict=True):
        found.count += 1
        found.files[each.file.removesuffix(".json")] += 1
        if said["result"] == "valid":
            found.accepted += 1
        else:
            found.ends.add(f"{each.file} {said['expected']}")


def _is_answer(said: Mapping[str, Any]) -> bool:
    return said.keys() == {"result", "expected"} and said["result"] in {"valid", "invalid"}


def _told(given: Input, said: Mapping[str, object]) -> str:
    answers = "\n".join(f"  {name}: {str(each)[-600:]}" for name, each in said.items())
    return f"{given.file} {orjson.dumps(given.given).decode()[:SHOWN_CHARACTERS_MAX]}\n{answers}"


def main() -> int:
    """Run the nightly size, or what the command line says."""
    given = [int(each) for each in sys.argv[1:]]
    count, seed = (*given, *(NIGHTLY, SEED)[len(given) :])
    for line in run(available(), count=count, seed=seed).lines:
        print(line)  # noqa: T201 - a command's output
    return 0


if __name__ == "__main__":
    sys.exit(main())
