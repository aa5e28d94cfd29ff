"""The samples of the Python SDK's README run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.support.server_process import ServerProcess
from tests.support.signed import body

README: Final = Path(__file__).parents[2] / "sdk" / "python" / "README.md"
SAMPLE: Final = re.compile(r"```python\n(.*?)```", re.DOTALL)
TIMEOUT_S: Final = 60


def samples() -> list[str]:
    return SAMPLE.findall(README.read_text(encoding="utf-8"))


def printed(sample: str, folder: Path, *arguments: str) -> list[str]:
    path = folder / "sample.py"
    path.write_text(sample, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    return [line.rstrip() for line in done.stdout.splitlines()]


def test_the_sample_that_signs_a_record_prints_what_it_says(tmp_path: Path) -> None:
    signing, _ = samples()
    said = re.search(r"^# prints: (.*)$", signing, re.MULTILINE)
    assert said is not None
    assert printed(signing, tmp_path) == [said[1]]


def test_the_sample_that_sends_prints_each_answer(
    tmp_path: Path, shared_server: ServerProcess
) -> None:
    _, sending = samples()
    sound = body(1, shard_id="readme")
    conflict = body(1, shard_id="readme", seed=7)
    bodies = [each.decode() for each in (sound, sound, conflict, b"{}")]
    assert printed(sending, tmp_path, shared_server.url, *bodies) == [
        "200",
        "200",
        "409 pcs_id_conflict",
        "400 invalid_record",
    ]
