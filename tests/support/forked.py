"""Processes forked from one that has imported everything, so that a start costs little.

Each is a process of its own all the same: it is signalled, killed and waited for by its id, and
shares nothing with the tests but the bytes it writes.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import IO

from fractal_lba.server.start import start

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    ["pytest", "fractal_lba.server.__main__", "tests.support.faulty_server"]
)
# A start asks after every other process's end, and an end can be read only once.
_starting = threading.Lock()

Pipe = _processes.Pipe


class Forked:
    """A process that runs a function; spelled as ``subprocess.Popen`` where both can do it."""

    def __init__(self, target: Callable[..., None], *args: object) -> None:
        self._run = _processes.Process(target=target, args=args)
        with _starting:
            self._run.start()

    @property
    def pid(self) -> int:
        assert self._run.pid is not None
        return self._run.pid

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or ``None`` while it runs."""
        with _starting:
            return self._run.exitcode

    def wait(self, timeout: float) -> int:
        """Return the exit code once it has ended.

        Raises:
            subprocess.TimeoutExpired: It has not, in so many seconds.
        """
        if not wait([self._run.sentinel], timeout):
            raise subprocess.TimeoutExpired(str(self._run), timeout)
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Signal it, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


class ForkedServerCommand(Forked):
    """``fractal-server`` with its arguments, its standard output piped to ``stdout``."""

    stdout: IO[str]

    def __init__(self, arguments: list[str], *, stderr: Path) -> None:
        ours, theirs = Pipe(duplex=False)
        try:
            super().__init__(_command, arguments, stderr, theirs, dict(os.environ), Path.cwd())
        finally:
            theirs.close()
            self.stdout = os.fdopen(os.dup(ours.fileno()), "r", encoding="utf-8")
            ours.close()


def _command(
    arguments: list[str],
    stderr: Path,
    stdout: Connection,
    environment: Mapping[str, str],
    cwd: Path,
) -> None:
    errors = os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(stdout.fileno(), 1)
    os.dup2(errors, 2)
    os.close(errors)
    stdout.close()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[:] = ["fractal-server", *arguments]
    start()
