"""Each SDK's README holds a whole program, from signing to sending, that runs as it stands."""

import json
import os
import subprocess
from pathlib import Path
from typing import Final

import pytest
from tests.support.sdk_drivers import PATH, SDK, require
from tests.support.server_process import ServerProcess
from tests.support.signed import ACME

PROGRAMS: Final = {
    "go": "example/sign-and-ship/main.go",
    "typescript": "example/sign-and-ship.mjs",
    "rust": "client/examples/sign_and_ship.rs",
    "wasm": "example/sign-and-send.mjs",
}
CARGO: Final = ("cargo", "run", "--quiet", "--release", "--locked", "--example", "sign_and_ship")
COMMANDS: Final = {
    "go": ("go", "run", "./example/sign-and-ship"),
    "typescript": ("node", PROGRAMS["typescript"]),
    "rust": (*CARGO, "--"),
    "wasm": ("node", PROGRAMS["wasm"]),
}
TIMEOUT_S: Final = 300


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_program_in_the_readme_is_the_example(name: str) -> None:
    readme = (SDK / name / "README.md").read_text(encoding="utf-8")
    program = (SDK / name / PROGRAMS[name]).read_text(encoding="utf-8")
    assert f"\n{program}```\n" in readme


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_program_in_the_readme_signs_sends_and_is_answered(
    name: str, shared_server: ServerProcess, tmp_path: Path
) -> None:
    require(name)
    keyring = tmp_path / "agent-keyring.json"
    keyring.write_text(json.dumps({"keys": [ACME.entry()]}))
    data = tmp_path / "data"
    done = subprocess.run(
        [*COMMANDS[name], shared_server.url, str(keyring), ACME.kid, str(data)],
        cwd=SDK / name,
        env={**os.environ, "PATH": PATH},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    said = [line.split() for line in done.stdout.splitlines()]
    assert said == ([["200"]] if name == "wasm" else [["1", "200"], ["waiting", "0"]])
    assert not (data / "dead-letters.ndjson").exists()
