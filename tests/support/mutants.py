"""Known bugs kept as patches: each is applied to a copy of the sources, which are then lived with.

A patch says above its first ``diff`` what it is (``name:``), which invariant it breaks
(``invariant:``) and seeds that are known to show it (``seeds:``), all of which are sound without
it. ``python -m tests.support.mutants`` searches for each among the first ``SEEDS_MAX`` seeds.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PATCHES: Final = sorted((ROOT / "tests/simulation/mutants").glob("*.patch"))
SOURCES: Final = ("sdk/python", "agent", "server")
SEEDS_MAX: Final = 500
_TIMEOUT_S: Final = 900.0


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A known bug.

    Attributes:
        invariants: The names of those any of which it breaks, as ``Law`` has them.
        seeds: Each shows it.
    """

    path: Path
    name: str
    invariants: tuple[str, ...]
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, path: Path) -> "Mutant":
        """Read a patch's head."""
        head = path.read_text(encoding="utf-8").split("\ndiff ", 1)[0].splitlines()
        said = [line.split(": ", 1) for line in head if ": " in line]
        seeds = " ".join(value for key, value in said if key == "seeds")
        return cls(
            path=path,
            name=next(value for key, value in said if key == "name"),
            invariants=tuple(value for key, value in said if key == "invariant"),
            seeds=tuple(map(int, seeds.split())),
        )


def plant(mutant: Mutant, folder: Path) -> None:
    """Copy the sources to a folder and apply a patch to the copy.

    Raises:
        CalledProcessError: It does not apply.
    """
    for source in SOURCES:
        shutil.copytree(ROOT / source, folder / source, symlinks=True)
    subprocess.run(
        ["git", "apply", "--whitespace=nowarn", str(mutant.path)],  # noqa: S607 - the machine's
        cwd=folder,
        check=True,
        capture_output=True,
        # Inside another repository git would pass over what is not of it.
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)},
    )


def lived_with(folder: Path, arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Run the simulation over a copy of the sources."""
    paths = [*(str(folder / source) for source in SOURCES), str(ROOT)]
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )


def broken_in(output: str) -> dict[int, str]:
    """Return which seeds broke what, from what the simulation printed."""
    found = {}
    for line in output.splitlines():
        if line.startswith("seed ") and line.count(": ") > 1:
            seed, what = line.removeprefix("seed ").split(": ", 1)
            found[int(seed)] = what
    return found


def main() -> int:
    """Search for each, and say which seed shows it; exit 1 where one is not found.

    Arguments are parts of the names of those that are asked for; without any all are.
    """
    code = 0
    asked = sys.argv[1:] or [""]
    for mutant in map(Mutant.of, PATCHES):
        if not any(each in mutant.path.stem for each in asked):
            continue
        with tempfile.TemporaryDirectory(prefix="mutant-") as name:
            plant(mutant, Path(name))
            ran = lived_with(Path(name), ["--seeds", str(SEEDS_MAX), "--to-the-first"])
        if ran.returncode not in {0, 1}:
            sys.stderr.write(ran.stderr)
        found = broken_in(ran.stdout)
        is_named = any(what.startswith(mutant.invariants) for what in found.values())
        code = code if found and is_named else 1
        what = found or f"not found in {SEEDS_MAX} seeds"
        print(f"{mutant.name}: {'' if is_named else 'FAIL: '}{what}", flush=True)  # noqa: T201 - a command's output
    return code


if __name__ == "__main__":
    sys.exit(main())
