"""``submit`` over HTTP at 64 connections, against an empty handler that reads the same bodies.

Three processes: the server under measurement, the load generator, and this one, which waits. The
real server runs as a user would run it: fsync on, dedup on, Ed25519 signatures, every record
distinct. Its rate limit for one address is lifted, because the whole load comes from one.
"""

import json
import os
import select
import signal
import subprocess
import sys
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

CONNECTIONS: Final = 64
RECORDS: Final = 4000
ROUNDS: Final = 5
SECONDS_MAX: Final = 120
ANSWER_BYTES: Final = 300
LIMITS_LIFTED: Final = {"FLBA_ADDRESS_RATE_PER_S": "0", "FLBA_LOG_LEVEL": "warning"}


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


def load(pid: int, port: int, bodies: Path, token: str) -> Run:
    """Send every body of a file to a server, as a caller with ``token``; return what both spent.

    Raises:
        RuntimeError: An answer was not ``200``, or was a repeat's: both are quicker than the work.
    """
    server = psutil.Process(pid)
    before = server.cpu_times()
    command = [sys.executable, "-m", "benchmarks.load", "--port", str(port), f"--token={token}"]
    done = subprocess.run(
        [*command, "--connections", str(CONNECTIONS), str(bodies)],
        check=True,
        stdout=subprocess.PIPE,
        timeout=SECONDS_MAX,
    )
    after = server.cpu_times()
    result: dict[str, Any] = json.loads(done.stdout)
    if result["statuses"] != {"200": RECORDS}:
        raise RuntimeError(f"submit: expected {RECORDS} × 200, got {result['statuses']}")
    if result["repeats"]:
        raise RuntimeError(f"submit: expected distinct records, got {result['repeats']} repeats")
    server_cpu = after.user + after.system - before.user - before.system
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
    """Return one file of distinct signed bodies for each round, the first one to warm up with."""
    prepare_server(folder)
    keyring = load_keyring(folder / "server" / "agent-keyring.json")
    (key,) = keyring.keys.values()
    bodies = signed_bodies(key, RECORDS * (ROUNDS + 1))
    files = []
    for index in range(ROUNDS + 1):
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
    bare_command += ["--answer-bytes", str(ANSWER_BYTES)]
    with (
        serving(real_command(folder), folder / "server.log") as real,
        serving(bare_command, folder / "bare.log") as bare,
    ):
        token = token_of(folder)
        runs = [(load(*real, path, token), load(*bare, path, token)) for path in files]
    ours, theirs = ([pair[side] for pair in runs[1:]] for side in (0, 1))
    name = f"`submit`, {CONNECTIONS} connections"
    return [
        Figure(
            name=f"empty aiohttp handler ÷ {name} (rate, same bodies)",
            unit="×",
            samples=ratios([run.per_second for run in theirs], [run.per_second for run in ours]),
        ),
        Figure(
            name=f"{name}, distinct records",
            unit="records/s",
            samples=tuple(run.per_second for run in ours),
        ),
        Figure(
            name="empty aiohttp handler, same load",
            unit="requests/s",
            samples=tuple(run.per_second for run in theirs),
        ),
        Figure(
            name=f"{name}: server CPU for each record",
            unit="µs",
            samples=tuple(run.server_cpu_us for run in ours),
        ),
        Figure(
            name="empty aiohttp handler: CPU for each request",
            unit="µs",
            samples=tuple(run.server_cpu_us for run in theirs),
        ),
        Figure(
            name=f"{name}: answer time, median",
            unit="ms",
            samples=tuple(run.p50_ms for run in ours),
        ),
        Figure(
            name=f"{name}: answer time, 99th percentile",
            unit="ms",
            samples=tuple(run.p99_ms for run in ours),
        ),
        Figure(
            name="load generator: CPU for each request (its own process)",
            unit="µs",
            samples=tuple(run.client_cpu_us for run in ours),
        ),
    ]
