"""System calls of a real process, counted and made to fail by strace.

strace counts the calls of each thread and of each name by itself, so a call is told by three
things: the thread, the name, and the how-manieth of that name in that thread it is.
"""

import re
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple, Self

import pytest
from tests.support.server_process import until

STRACE: Final = shutil.which("strace")
CALLS: Final = (
    *("openat", "pread64", "pwrite64", "pwritev", "writev", "lseek", "getdents64", "flock"),
    *("fdatasync", "fsync", "msync", "ftruncate", "fallocate", "rename", "unlink", "mkdir"),
)
"""What the logs and LMDB ask of the file system, and sockets do not, in the threads of the logs."""

_COMM_MAX: Final = 15
_LOGS: Final = ("inbox-", "shard-")
_LINE: Final = re.compile(r"^(?:(\d+) +)?([a-z0-9_]+)\(")


class Strike(NamedTuple):
    """A call that fails, or at which the process is killed."""

    name: str
    number: int
    fault: str

    @property
    def option(self) -> str:
        """What strace is told."""
        what = "signal=KILL" if self.fault == "SIGKILL" else f"error={self.fault}"
        return f"inject={self.name}:{what}:when={self.number}"


def can_trace() -> bool:
    """Tell whether strace is there and may trace here."""
    if STRACE is None:
        return False
    done = subprocess.run([STRACE, "-o", "/dev/null", "true"], check=False, capture_output=True)
    return done.returncode == 0


def name_threads() -> None:
    """Have every thread that this process starts from now on tell the system its name."""
    run = threading.Thread.run

    def named(self: threading.Thread) -> None:
        Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(self.name[:_COMM_MAX])
        run(self)

    pytest.MonkeyPatch().setattr(threading.Thread, "run", named)


def threads_of_logs(pid: int) -> dict[str, int]:
    """Return the thread of each log of a server that names its threads."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    names = {(task / "comm").read_text().strip(): int(task.name) for task in tasks}
    return {name: thread for name, thread in names.items() if name.startswith(_LOGS)}


class Tracer:
    """strace on some threads.

    Args:
        log: Where it writes.
        threads: Of one process; what they start is followed only if asked for.
        strike: What is to fail; by default nothing.
        is_following: Trace every thread that these start, too.
    """

    STRUCK: Final = ("(INJECTED)", "+++ killed by SIGKILL +++")

    def __init__(
        self,
        log: Path,
        threads: Iterable[int],
        strike: Strike | None = None,
        *,
        is_following: bool = False,
    ) -> None:
        assert STRACE is not None
        self._log = log
        log.unlink(missing_ok=True)
        asked = list(threads)
        options = [word for thread in asked for word in ("-p", str(thread))]
        self._process = subprocess.Popen(
            [
                *(STRACE, "-q", "-o", str(log), "-e", f"trace={','.join(CALLS)}"),
                *(("-e", strike.option) if strike else ()),
                *(("-f",) if is_following else ()),
                *options,
            ],
            stderr=subprocess.DEVNULL,
        )
        until(lambda: all(map(_is_traced, asked)), "traced")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Trace no more; what is traced goes on."""
        self._process.terminate()
        self._process.wait()

    def calls(self) -> Counter[str]:
        """Return how many calls of each name were made."""
        found = (_LINE.match(line) for line in self._lines())
        return Counter(match[2] for match in found if match)

    def has_struck(self) -> bool:
        """Tell whether the fault came to pass."""
        return any(word in line for line in self._lines() for word in self.STRUCK)

    def _lines(self) -> list[str]:
        return self._log.read_text(errors="replace").splitlines() if self._log.exists() else []


def _is_traced(thread: int) -> bool:
    try:
        status = Path(f"/proc/{thread}/status").read_text()
    except FileNotFoundError:
        return True
    return "TracerPid:\t0\n" not in status
