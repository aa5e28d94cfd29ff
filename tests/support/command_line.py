"""``fractal-lba`` in a process of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.forked import run_command

FRACTAL_LBA = Path(sys.executable).with_name("fractal-lba")
SECONDS_MAX = 120


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: bytes
    err: str

    @property
    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        return document


def fractal_lba(*arguments: str | Path, stdin: bytes = b"") -> Ended:
    """Run one command line."""
    return _ended(run_command("fractal-lba", *arguments, stdin=stdin))


def installed_fractal_lba(
    *arguments: str | Path, stdin: bytes, environment: dict[str, str]
) -> Ended:
    """Run one command line of the installed program, where what it can import is the question."""
    return _ended(
        subprocess.run(
            [FRACTAL_LBA, *arguments],
            input=stdin,
            capture_output=True,
            check=False,
            timeout=SECONDS_MAX,
            env={**os.environ, **environment},
        )
    )


def _ended(done: subprocess.CompletedProcess[bytes]) -> Ended:
    return Ended(done.returncode, done.stdout, done.stderr.decode())


def assert_unusable(ended: Ended, expected: str) -> None:
    """Assert exit 2 with nothing but one line on standard error, which holds the text."""
    assert ended.code == 2, ended
    assert_one_line(ended, expected)


def assert_refused(ended: Ended, expected: str) -> None:
    """Assert exit 1 with nothing but one line on standard error, which holds the text."""
    assert ended.code == 1, ended
    assert_one_line(ended, expected)


def assert_one_line(ended: Ended, expected: str) -> None:
    assert ended.out == b""
    assert ended.err.startswith("fractal-lba: ")
    assert ended.err.endswith("\n")
    assert ended.err.count("\n") == 1, ended.err
    assert expected in ended.err
