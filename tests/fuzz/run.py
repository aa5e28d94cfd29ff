"""Feed bent inputs to the fuzz targets: ``python -m tests.fuzz.run --help``.

Without more the inputs are bent by `Mutator`, which also bends each input again that met an end no
input had met before. With ``--engine atheris`` (the dependency group ``fuzz``) libFuzzer chooses
them by the code they reach. ``auto`` takes atheris where it is installed.
"""

import argparse
import importlib.util
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.fuzz.mutate import Mutator
from tests.fuzz.targets import TARGETS, Target, escaped

KEPT_MAX: Final = 2_000
"""How many found inputs a run bends again; an end may name what the input chose."""

SEED: Final = 20_261_121
NIGHTLY: Final = 1_000_000


@dataclass(slots=True)
class Found:
    """What became of the inputs of one run."""

    count: int = 0
    seconds: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)

    @property
    def line(self) -> str:
        """Say it in one line."""
        rate = self.count / self.seconds if self.seconds else 0
        accepted = sum(count for end, count in self.ends.items() if is_accepted(end))
        return (
            f"{self.count:,} inputs, {accepted:,} accepted, {len(self.ends):,} different ends, "
            f"{self.seconds:.1f} s, {rate:,.0f} a second"
        )


class FoundError(AssertionError):
    """An input broke what a target holds."""

    def __init__(self, target: str, data: bytes) -> None:
        self.data = data
        super().__init__(f"{target}: broken by {len(data)} bytes")


def is_accepted(end: str) -> bool:
    """Return whether an end means that the input was taken for what it claims to be."""
    return end.startswith(("accepted", "verified", "header True", "received True", "mark")) or (
        end in {"Decision", "Conflict", "Resolution"}
    )


def run(target: Target, count: int, seed: int = SEED) -> Found:
    """Feed the seeds of a target and ``count`` bent inputs to it.

    Raises:
        FoundError: With the input, as a corpus file would hold it.
    """
    rng = random.Random(f"{target.name} {seed}")  # noqa: S311 - replayed, not secret
    mutate = Mutator(rng, target.seeds, target.pieces, is_text=target.is_text)
    found = Found()
    seen: set[str] = set()
    started = time.perf_counter()
    for data in target.seeds:
        seen.add(_end(target, data))
    for _ in range(count):
        data = mutate()
        end = _end(target, data)
        found.ends[end] += 1
        if end not in seen and len(seen) < KEPT_MAX:
            seen.add(end)
            mutate.keep(data)
    found.count = count
    found.seconds = time.perf_counter() - started
    return found


def _end(target: Target, data: bytes) -> str:
    try:
        return target.read(data)
    except Exception as error:
        raise FoundError(target.name, data) from error


def fuzz_by_coverage(target: Target, count: int, seed: int) -> int:
    """Let libFuzzer choose the inputs; return its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        for index, data in enumerate(target.seeds):
            (Path(folder) / f"{index:04d}").write_bytes(data)
        words = Path(folder).with_suffix(".dict")
        words.write_text(
            "".join('"' + "".join(f"\\x{b:02X}" for b in piece) + '"\n' for piece in target.pieces)
        )
        try:
            command = [
                sys.executable, "-m", "tests.fuzz.atheris_target", target.name, folder,
                f"-runs={count}", f"-seed={seed}", f"-dict={words}", "-max_len=4096",
                "-print_final_stats=1", f"-artifact_prefix={tempfile.gettempdir()}/{target.name}-",
            ]  # fmt: skip
            return subprocess.run(command, check=False).returncode
        finally:
            words.unlink()


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz.run",
        description="Feed bent inputs to the fuzz targets; exit 1 where one is broken.",
    )
    parser.add_argument("--target", choices=sorted(TARGETS), action="append", help="default: all")
    parser.add_argument("--count", type=int, default=NIGHTLY, help="inputs for each target")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--engine", choices=("auto", "plain", "atheris"), default="auto")
    given = parser.parse_args()
    by_coverage = given.engine == "atheris" or (
        given.engine == "auto" and importlib.util.find_spec("atheris") is not None
    )
    code = 0
    for name in given.target or TARGETS:
        target = TARGETS[name]
        if by_coverage:
            code = fuzz_by_coverage(target, given.count, given.seed) or code
            continue
        try:
            print(f"{name}: {run(target, given.count, given.seed).line}", flush=True)  # noqa: T201 - a command's output
        except FoundError as error:
            traceback.print_exception(error.__cause__)
            print(f"{error}, as a line of its corpus:\n{escaped(error.data)}", flush=True)  # noqa: T201 - a command's output
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
