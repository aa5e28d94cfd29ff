"""Write Cargo.lock from crates.lock, which holds the same and names no registry.

``crates.lock`` is what is committed: a line for each crate from outside, ``name version checksum``.
Cargo's own lock names the registry it was made with, and is not. This turns the one into the other
and fails where cargo would then use anything else::

    python3 lock.py            write Cargo.lock; nothing where it is already right
    python3 lock.py --update   write crates.lock, after a change of a Cargo.toml

How the registry is called comes from a lock that cargo makes itself.
"""

# ruff: noqa: INP001 - a script beside the crates, and no package

import re
import subprocess
import sys
from pathlib import Path
from typing import Final, NoReturn

FOLDER: Final = Path(__file__).resolve().parent
COMMITTED: Final = FOLDER / "crates.lock"
CARGO: Final = FOLDER / "Cargo.lock"

_FIELD: Final = re.compile(r'^(name|version|source|checksum) = "([^"]*)"$', re.MULTILINE)
_HEADER: Final = "# Written by lock.py --update: name, version and SHA-256 of each crate.\n"
_CARGO_TIMEOUT_S: Final = 300  # a fresh index over a slow line

Crates = list[tuple[str, str, str]]


def main(arguments: list[str]) -> None:
    """Do what the module says."""
    if arguments == ["--update"]:
        resolve()
        crates, _ = read_cargo()
        COMMITTED.write_text(
            _HEADER + "".join(f"{' '.join(crate)}\n" for crate in crates), encoding="utf-8"
        )
        return
    if arguments:
        fail(f"arguments: expected --update or none, got {len(arguments)}")
    wanted = read_committed()
    # Cargo is asked in any case: its lock may also be older than a change of Cargo.toml.
    if not CARGO.is_file() or read_cargo()[0] != wanted:
        CARGO.unlink(missing_ok=True)
        resolve()
        write_cargo(wanted, read_cargo()[1])
    resolve()
    found, _ = read_cargo()
    for name, version, _ in sorted(set(found) ^ set(wanted)):
        CARGO.unlink(missing_ok=True)
        fail(f"{name} {version}: expected crates.lock to hold what cargo uses, got a difference")


def read_committed() -> Crates:
    """Return the crates of crates.lock, sorted."""
    lines = COMMITTED.read_text(encoding="utf-8").splitlines()
    crates = [tuple(line.split()) for line in lines if not line.startswith("#")]
    if any(len(crate) != 3 for crate in crates):  # noqa: PLR2004 - name, version, checksum
        fail("crates.lock: expected a name, a version and a checksum on each line, got another")
    return sorted(crates)  # type: ignore[arg-type]


def read_cargo() -> tuple[Crates, str]:
    """Return the crates Cargo.lock has from outside, sorted, and what it calls the registry."""
    crates: Crates = []
    sources: set[str] = set()
    for entry in CARGO.read_text(encoding="utf-8").split("[[package]]")[1:]:
        fields = dict(_FIELD.findall(entry))
        if "source" in fields:
            crates.append((fields["name"], fields["version"], fields["checksum"]))
            sources.add(fields["source"])
    if len(sources) > 1:
        fail(f"Cargo.lock: expected one registry, got {len(sources)}")
    return sorted(crates), "".join(sources)


def write_cargo(crates: Crates, source: str) -> None:
    """Write a lock that prefers exactly these crates; cargo adds who needs which of them."""
    entries = [
        f'[[package]]\nname = "{name}"\nversion = "{version}"\nsource = "{source}"\n'
        f'checksum = "{checksum}"\n'
        for name, version, checksum in crates
    ]
    CARGO.write_text("version = 4\n\n" + "\n".join(entries), encoding="utf-8")


def resolve() -> None:
    """Let cargo write or complete its lock."""
    done = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--quiet"],  # noqa: S607 - the caller's
        cwd=FOLDER,
        stdout=subprocess.DEVNULL,
        check=False,
        timeout=_CARGO_TIMEOUT_S,
    )
    if done.returncode != 0:
        fail(f"cargo metadata: expected a lock, got status {done.returncode}")


def fail(message: str) -> NoReturn:
    """End with a message."""
    sys.exit(f"lock.py: {message}")


if __name__ == "__main__":
    main(sys.argv[1:])
