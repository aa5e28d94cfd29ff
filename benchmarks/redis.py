"""Redis as a durable insert-if-absent, driven by its own redis-benchmark."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.inserting import Insert, Load
from benchmarks.postgres import free_port
from benchmarks.started import started

SECONDS_MAX: Final = 120

_IDS: Final = "1000000000000"
"""Its ``-r``: ids are drawn from so many, so that hardly one is drawn twice."""


_FIGURES: Final = 7
"""What stands behind the command in its line, the rate first."""


def missing() -> str | None:
    """Return why it cannot be measured here, or ``None``."""
    if shutil.which("redis-server") and shutil.which("redis-benchmark"):
        return None
    return "Redis: expected redis-server and redis-benchmark (Debian: redis-server), got none"


@contextmanager
def serving(folder: Path) -> Iterator[Insert]:
    """Start a server of its own below a folder, yield what inserts, stop it.

    Raises:
        RuntimeError: It did not start.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(dir=folder, prefix="redis-") as name:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", name]
        command += ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        with started(command, port, Path(name) / "log"):
            yield lambda load: _insert(port, load)


def _insert(port: int, load: Load) -> float:
    command = ["redis-benchmark", "-h", "127.0.0.1", "-p", str(port), "--csv", "-r", _IDS]
    command += ["-c", str(load.connections), "-n", str(load.records), "-P", str(load.batch)]
    command += ["SET", "pcs:__rand_int__", load.body.decode("ascii"), "NX"]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=SECONDS_MAX
    ).stdout
    # The command stands before the figures, with the quotes of its body as they are.
    return float(done.splitlines()[1].rsplit('","', _FIGURES)[1])
