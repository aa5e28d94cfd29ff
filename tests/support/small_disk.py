"""File systems of their own, small enough to be filled without harm."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount one of so many megabytes below a folder; skip where that is not allowed."""
    mount = folder / f"disk-of-{megabytes}-megabytes"
    mount.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", mount],  # noqa: S607 - where mount is differs
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"needs the right to mount a tmpfs: {made.stderr.decode().strip()}")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "--lazy", mount], check=True)  # noqa: S607 - as above


def fill(disk: Path) -> Path:
    """Take all of the room that is left, and return the file that has it."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 16, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:  # there is no room for so many
                continue
    return ballast
