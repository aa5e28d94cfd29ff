"""The programs that a server starts for itself are the installed ones, wherever it was started."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from fractal_lba.server.app import Server
from fractal_lba.server.supervisor.child import COMMAND

assert Server.__init__.__kwdefaults__ is not None
TRIAL = (*Server.__init__.__kwdefaults__["trial"], "no-keyring.json")


@pytest.mark.parametrize("command", [COMMAND, TRIAL])
def test_what_lies_in_the_folder_it_was_started_in_is_not_run(
    tmp_path: Path, command: Sequence[str]
) -> None:
    for name in ("fractal_lba", "msgspec"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(99)")
    done = subprocess.run(command, cwd=tmp_path, input=b"", capture_output=True, check=False)
    # Its own refusal: there is nothing on its standard input, and no keyring.
    assert done.returncode == 1
    assert b"Error" in done.stderr
