"""NATS JetStream as a durable insert-if-absent: its dedup by ``Nats-Msg-Id``, each message synced.

The client is a process of its own, ``benchmarks.jetstream_load``.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final

from benchmarks.inserting import Insert, Load
from benchmarks.postgres import free_port
from benchmarks.started import started

SECONDS_MAX: Final = 120

_SETTINGS: Final = """\
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "{folder}", sync_interval: always }}
"""


def _binary() -> str | None:
    beside = Path(sys.executable).parent / "nats-server"
    return str(beside) if beside.exists() else shutil.which("nats-server")


def missing() -> str | None:
    """Return why it cannot be measured here, or ``None``: before 2.10 it had no such setting."""
    binary = _binary()
    if binary is None:
        return "NATS: expected nats-server (make bench-tools), got none"
    said = subprocess.run([binary, "--version"], check=True, capture_output=True, text=True).stdout
    version = tuple(int(part) for part in said.rpartition("v")[2].split(".")[:2])
    if version < (2, 10):
        return f"NATS: expected nats-server 2.10 or newer (make bench-tools), got {said.strip()}"
    return None


@contextmanager
def serving(folder: Path) -> Iterator[Insert]:
    """Start a server of its own below a folder, yield what inserts, stop it.

    Raises:
        RuntimeError: It did not start.
    """
    binary = _binary()
    assert binary is not None  # noqa: S101 - asked for with missing
    port = free_port()
    rounds = count()
    with tempfile.TemporaryDirectory(dir=folder, prefix="nats-") as name:
        settings = Path(name) / "nats.conf"
        settings.write_text(_SETTINGS.format(port=port, folder=name), encoding="utf-8")
        with started([binary, "-c", str(settings)], port, Path(name) / "log"):
            yield lambda load: _insert(port, load, next(rounds))


def _insert(port: int, load: Load, index: int) -> float:
    command = [sys.executable, "-m", "benchmarks.jetstream_load", "--port", str(port)]
    command += ["--connections", str(load.connections), "--records", str(load.records)]
    command += ["--at-once", str(load.batch), "--prefix", f"round-{index}"]
    done = subprocess.run(
        command, check=True, input=load.body, stdout=subprocess.PIPE, timeout=SECONDS_MAX
    )
    result = json.loads(done.stdout)
    if result["acknowledged"] != load.records:
        raise RuntimeError(f"NATS: expected {load.records} acknowledged, got {result}")
    return load.records / float(result["seconds"])
