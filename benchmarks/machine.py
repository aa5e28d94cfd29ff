"""The machine a figure was taken on, as far as a reader needs it to judge the figure."""

import os
import platform
import statistics
import subprocess
import time
from pathlib import Path
from typing import Final

BLOCK: Final = b"\xa5" * 4096
SYNCS: Final = 200


def commit() -> str:
    """Return the commit measured; ``+`` says that files differ from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments],  # noqa: S607 - found on PATH
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip()

    revision = git("rev-parse", "--short=12", "HEAD") or "unknown"
    return revision + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def processor() -> str:
    """Return the processor's name, where the system tells it."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def fdatasyncs_per_second(folder: Path) -> float:
    """Return how often a second the disk makes an appended 4 KiB block durable (by the median)."""
    path = folder / "fdatasync-rate"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        taken = []
        for _ in range(SYNCS):
            started = time.perf_counter()
            os.write(descriptor, BLOCK)
            os.fdatasync(descriptor)
            taken.append(time.perf_counter() - started)
    finally:
        os.close(descriptor)
        path.unlink()
    return 1.0 / statistics.median(taken)


def header(folder: Path, *, batch_records_max: int) -> str:
    """Return the lines that must stand above any table of figures."""
    facts = {
        "commit": commit(),
        "cores": f"{len(os.sched_getaffinity(0))} ({processor()})",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "fsync": "on",
        "dedup": "on, every record distinct",
        "batch": f"group commit, at most {batch_records_max} records",
        "disk": f"{fdatasyncs_per_second(folder):,.0f} × (append 4 KiB + fdatasync) a second",
        "client": "its own process, on the same machine",
    }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())
