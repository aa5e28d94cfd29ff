"""``submit`` over HTTP at 64 and 256 connections, against an empty handler that reads the bodies.

Three processes: the server under measurement, the load generator, and this one, which waits. The
real server runs as a user would run it: fsync on, dedup on, Ed25519 signatures, every record
distinct. Its rate limit for one address is lifted, because the whole load comes from one. Both have
as many workers as ``FLBA_WORKERS`` says, by default as many as the server takes of its own accord.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psutil
from benchmarks.corpus import signed_bodies
from benchmarks.figures import Figure, ratios

from fractal_lba.keyfile import load_keyring
from fractal_lba.server.config import SHARDS_DEFAULT, Settings, shard_set, workers_of

CONNECTIONS: Final = 64
# What `submit` is to reach of the empty handler, by the number of connections.
OF_EMPTY_MIN: Final = {CONNECTIONS: 0.45, 256: 0.6}
RECORDS: Final = 4000
ROUNDS: Final = 5
SECONDS_MAX: Final = 120
ANSWER_BYTES: Final = 300
WORKERS: Final = int(
    os.environ.get("FLBA_WORKERS") or workers_of(Settings(), len(shard_set(SHARDS_DEFAULT)))
)
LIMITS_LIFTED: Final = {
    "FLBA_ADDRESS_RATE_PER_S": "0",
    "FLBA_LOG_LEVEL": "warning",
    "FLBA_WORKERS": str(WORKERS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One load: all bodies sent once and answered."""

    per_second: float
    server_cpu_us: float
    client_cpu_us: float
    p50_ms: float
    p99_ms: float


@contextmanager
def serving(command: list[str], log: Path) -> Iterator[tuple[int, int]]:
    """Start a server, yield its process id and port, stop it.

    Raises:
        RuntimeError: It did not become ready, or did not stop with exit code 0.
    """
    environment = {**os.environ, **LIMITS_LIFTED}
    with (
        log.open("ab") as stream,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stream, env=environment
        ) as process,
    ):
        try:
            assert process.stdout is not None  # noqa: S101 - asked for as a pipe
            waiting, _, _ = select.select([process.stdout], [], [], SECONDS_MAX)
            line = process.stdout.readline() if waiting else b""
            if not line:
                raise RuntimeError(f"{command}: no ready line; it says {log.read_text()[-2000:]}")
            yield process.pid, int(urlsplit(json.loads(line)["url"]).port or 0)
            process.send_signal(signal.SIGTERM)
            if process.wait(SECONDS_MAX) != 0:
                raise RuntimeError(f"{command}: expected exit code 0, got {process.returncode}")
        finally:
            process.kill()


def cpu_s(pid: int) -> float:
    """Return the processor's seconds that a server and its workers have had so far."""
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def load(pid: int, port: int, bodies: Path, token: str, *, connections: int = CONNECTIONS) -> Run:
    """Send every body of a file to a server, as a caller with ``token``; return what both spent.

    Raises:
        RuntimeError: An answer was not ``200``, or was a repeat's: both are quicker than the work.
    """
    before = cpu_s(pid)
    command = [sys.executable, "-m", "benchmarks.load", "--port", str(port), f"--token={token}"]
    done = subprocess.run(
        [*command, "--connections", str(connections), str(bodies)],
        check=True,
        stdout=subprocess.PIPE,
        timeout=SECONDS_MAX,
    )
    server_cpu = cpu_s(pid) - before
    result: dict[str, Any] = json.loads(done.stdout)
    if result["statuses"] != {"200": RECORDS}:
        raise RuntimeError(f"submit: expected {RECORDS} × 200, got {result['statuses']}")
    if result["repeats"]:
        raise RuntimeError(f"submit: expected distinct records, got {result['repeats']} repeats")
    return Run(
        per_second=RECORDS / result["seconds"],
        server_cpu_us=server_cpu / RECORDS * 1e6,
        client_cpu_us=result["cpu_seconds"] / RECORDS * 1e6,
        p50_ms=result["p50_ms"],
        p99_ms=result["p99_ms"],
    )


def prepare_server(folder: Path) -> None:
    """Make the folder of a server, where there is none yet; its token may also submit."""
    if (folder / "server").exists():
        return
    command = [str(Path(sys.executable).parent / "fractal-server"), "init", str(folder / "server")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    # The load is a known caller's: the lane of the others is not what is measured.
    ring = folder / "server" / "keyring.json"
    ring.write_text(ring.read_text(encoding="utf-8").replace('"read"', '"read","submit"'))


def prepare(folder: Path) -> list[Path]:
    """Return files of distinct signed bodies: for each load one to warm up with, and its rounds."""
    prepare_server(folder)
    keyring = load_keyring(folder / "server" / "agent-keyring.json")
    (key,) = keyring.keys.values()
    count = (ROUNDS + 1) * len(OF_EMPTY_MIN)
    # From the microsecond on, so that no two loads of one folder have a record in common.
    bodies = signed_bodies(key, RECORDS * count, first_epoch=time.time_ns() // 1000)
    files = []
    for index in range(count):
        path = folder / f"bodies-{index}"
        path.write_bytes(b"".join(body + b"\n" for body in islice(bodies, RECORDS)))
        files.append(path)
    return files


def real_command(folder: Path) -> list[str]:
    """Return the command of the server that ``prepare`` made in a folder."""
    binary = str(Path(sys.executable).parent / "fractal-server")
    config = str(folder / "server" / "server.toml")
    return [binary, "run", "--config", config, "--listen", "127.0.0.1:0"]


def token_of(folder: Path) -> str:
    """Return the token of that server's tenant, good for reading and submitting."""
    return (folder / "server" / "token").read_text(encoding="ascii").strip()


def measure(folder: Path) -> list[Figure]:
    """Return the figures of this module."""
    files = prepare(folder)
    bare_command = [sys.executable, "-m", "benchmarks.bare_server"]
    bare_command += ["--answer-bytes", str(ANSWER_BYTES), "--workers", str(WORKERS)]
    figures = []
    for number, connections in enumerate(OF_EMPTY_MIN):
        with (
            serving(real_command(folder), folder / "server.log") as real,
            serving(bare_command, folder / "bare.log") as bare,
        ):
            token = token_of(folder)
            runs = [
                tuple(load(*each, path, token, connections=connections) for each in (real, bare))
                for path in files[number :: len(OF_EMPTY_MIN)]
            ]
        ours, theirs = ([pair[side] for pair in runs[1:]] for side in (0, 1))
        figures += compared(connections, ours, theirs)
    return figures


def compared(connections: int, ours: list[Run], theirs: list[Run]) -> list[Figure]:
    """Return the figures of one number of connections."""
    load_is = f"{connections} connections, workers: {WORKERS}"
    name = f"`submit`, {load_is}"
    per_second = [[run.per_second for run in runs] for runs in (ours, theirs)]
    figures: dict[str, tuple[str, list[float]]] = {
        f"{name}, distinct records": ("records/s", per_second[0]),
        f"empty aiohttp handler, {load_is}": ("requests/s", per_second[1]),
        f"{name}: server CPU for each record": ("µs", [run.server_cpu_us for run in ours]),
        f"empty aiohttp handler, {load_is}: CPU for each request": (
            "µs",
            [run.server_cpu_us for run in theirs],
        ),
        f"{name}: answer time, median": ("ms", [run.p50_ms for run in ours]),
        f"{name}: answer time, 99th percentile": ("ms", [run.p99_ms for run in ours]),
        f"load generator, {load_is}: CPU for each request (its own process)": (
            "µs",
            [run.client_cpu_us for run in ours],
        ),
    }
    return [
        Figure(
            name=f"{name} ÷ empty aiohttp handler (rate, same bodies)",
            unit="×",
            samples=ratios(*per_second),
            at_least=OF_EMPTY_MIN[connections],
        ),
        *(
            Figure(name=each, unit=unit, samples=tuple(samples))
            for each, (unit, samples) in figures.items()
        ),
    ]
