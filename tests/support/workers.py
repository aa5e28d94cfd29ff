"""The workers of a server in several processes: which they are, and who answered."""

import os
import signal

from tests.support.server_process import ServerProcess, until


def pids(server: ServerProcess) -> dict[int, int]:
    """Return the process of each worker, by its number, as the log says."""
    return {
        line["worker"]: line["pid"]
        for line in server.log_lines()
        if line["event"] == "worker started"
    }


def signalled(server: ServerProcess, worker: int, number: signal.Signals) -> int:
    """Signal a worker; return the process it was."""
    pid = pids(server)[worker]
    os.kill(pid, number)
    return pid


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended; one that nobody reaped yet has."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:  # noqa: PTH123 - no file of a disk
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True  # the second: reaped between the opening and the reading


def until_replaced(server: ServerProcess, worker: int, pid: int) -> None:
    """Return once another process serves in a worker's place, and everything is served."""
    until(lambda: pids(server)[worker] != pid, f"worker {worker} started again")
    until(
        lambda: any(
            line["event"] == "ready" and line.get("worker") == worker
            for line in _since(server, pids(server)[worker])
        ),
        f"worker {worker} serves again",
    )


def _since(server: ServerProcess, pid: int) -> list[dict[str, object]]:
    """Return the lines of the log since a worker was started."""
    lines = server.log_lines()
    begin = max(
        at
        for at, line in enumerate(lines)
        if line["event"] == "worker started" and line["pid"] == pid
    )
    return lines[begin:]
