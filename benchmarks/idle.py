"""What a dead server costs: the processor time of an agent whose server refuses every connection.

A real ``fractal-agent`` with windows in its outbox and a port behind which nobody listens. What it
takes to start and to observe is not counted; requests are those of its own metrics.
"""

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil
from benchmarks.figures import Figure

from fractal_lba.cli.app import fractal_lba

ROUNDS: Final = 5
ROUND_S: Final = 12.0
SETTLED_S: Final = 20.0
"""By then the breaker is open, and waits for 16 s and more."""
WINDOWS: Final = 1_000
STARTS_S_MAX: Final = 60.0


def refused_port() -> int:
    """Return a port behind which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@contextmanager
def agent(folder: Path) -> Iterator[tuple[psutil.Process, str]]:
    """Run an agent beside a dead server; gives its process and the URL of its metrics."""
    folder.mkdir()
    source = folder / "x.csv"
    rows = "".join(f"{at},{at * at % 101}\n" for at in range(3 * WINDOWS))
    source.write_text(f"a,b\n{rows}", encoding="utf-8")
    fractal_lba(
        ["keys", "generate", "--tenant", "t", "--kid", "k", "--keyring", str(folder / "ring")],
        standalone_mode=False,
    )
    log = folder / "log"
    command = [
        sys.executable, "-m", "fractal_lba.agent", "run", str(source), "--window", "3",
        "--data", str(folder / "data"), "--keyring", str(folder / "ring"),
        "--url", f"http://127.0.0.1:{refused_port()}", "--metrics", "127.0.0.1:0", "--grace", "0",
    ]  # fmt: skip
    with log.open("wb") as said, subprocess.Popen(command, stdout=said, stderr=said) as process:
        try:
            yield psutil.Process(process.pid), _metrics_url(log)
        finally:
            process.send_signal(signal.SIGTERM)


def _metrics_url(log: Path) -> str:
    until_s = time.monotonic() + STARTS_S_MAX
    while time.monotonic() < until_s:
        found = re.search(r"metrics on (\S+)", log.read_text(encoding="utf-8"))
        if found:
            return found[1]
        time.sleep(0.1)
    raise RuntimeError(f"{log}: expected an agent that says where its metrics are, got none")


def counted(url: str, name: str) -> float:
    """Return a number of the agent's metrics."""
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - the agent's own address
        text = answer.read().decode()
    return sum(
        float(value) for value in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
    )


def measure(folder: Path) -> list[Figure]:
    """Return the figures of an agent that waits."""
    shares, requests = [], []
    with agent(folder / "idle") as (process, url):
        while counted(url, "flk_agent_windows_observed_total") < WINDOWS:
            time.sleep(0.5)
        time.sleep(SETTLED_S)
        for _ in range(ROUNDS):
            begun_s, sent = time.monotonic(), counted(url, "flk_agent_requests_total")
            before = sum(process.cpu_times()[:2])
            time.sleep(ROUND_S)
            taken = sum(process.cpu_times()[:2]) - before
            shares.append(100 * taken / (time.monotonic() - begun_s))
            requests.append(counted(url, "flk_agent_requests_total") - sent)
    of = f"{WINDOWS:,} windows wait, the port is refused, {ROUND_S:g} s each time"
    return [
        Figure(
            name=f"agent beside a dead server: processor ({of})",
            unit="% of a core",
            samples=tuple(shares),
            at_most=1.0,
        ),
        Figure(
            name=f"agent beside a dead server: requests ({of})",
            unit="requests",
            samples=tuple(requests),
        ),
    ]
