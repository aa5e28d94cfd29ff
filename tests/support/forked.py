"""Processes forked from one that has imported everything, so that a start costs little.

Each is a process of its own all the same: it is signalled, killed and waited for by its id, and
shares nothing with the tests but the bytes it writes.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import IO, Final

from fractal_lba.agent.__main__ import main as fractal_agent
from fractal_lba.cli.__main__ import main as fractal_lba
from fractal_lba.server.start import start as fractal_server

MAINS: Final[dict[str, Callable[[], None]]] = {
    "fractal-lba": fractal_lba,
    "fractal-agent": fractal_agent,
    "fractal-server": fractal_server,
}
"""As the installed scripts call them."""
COMMAND_TIMEOUT_S: Final = 120.0

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    [
        "pytest",
        "fractal_lba.cli.app",
        "fractal_lba.agent.cli",
        "fractal_lba.server.__main__",
        "tests.support.faulty_server",
    ]
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
        # Whoever forked it learns of its end first, and its id is gone from then on.
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


class ForkedServer(Forked):
    """``fractal-server`` with its arguments, its standard output piped to ``stdout``."""

    stdout: IO[str]

    def __init__(
        self, *arguments: str | Path, stderr: Path, plant: Callable[[], None] | None = None
    ) -> None:
        ours, theirs = Pipe(duplex=False)
        call = Call(["fractal-server", *arguments], stdout=theirs, stderr=stderr, plant=plant)
        try:
            super().__init__(call)
        finally:
            theirs.close()
            self.stdout = os.fdopen(os.dup(ours.fileno()), "r", encoding="utf-8")
            ours.close()


def run_command(
    program: str,
    *arguments: str | Path,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run one of the project's commands to its end, as ``subprocess.run`` would.

    Raises:
        subprocess.TimeoutExpired: It did not end.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, out, err = (Path(folder, name) for name in ("in", "out", "err"))
        given.write_bytes(stdin)
        call = Call([program, *arguments], stdin=given, stdout=out, stderr=err, more=environment)
        process = Forked(call)
        try:
            code = process.wait(COMMAND_TIMEOUT_S)
        finally:
            process.kill()
        return subprocess.CompletedProcess(
            [program, *arguments], code, out.read_bytes(), err.read_bytes()
        )


class Call:
    """One of the project's commands, to be called in a process of its own.

    Args:
        argv: Its name and its arguments.
        stdin: What it reads; nothing by default.
        stdout: Where it writes.
        stderr: Where it complains.
        more: Of the environment.
        plant: Called before it, to put a bug into its code.
    """

    def __init__(  # noqa: PLR0913 - each is named at the call
        self,
        argv: Sequence[str | Path],
        *,
        stdin: Path | None = None,
        stdout: Path | Connection,
        stderr: Path,
        more: Mapping[str, str] | None = None,
        plant: Callable[[], None] | None = None,
    ) -> None:
        self._plant = plant
        self._argv = [str(word) for word in argv]
        self._stdin = stdin or Path(os.devnull)
        self._stdout = stdout
        self._stderr = stderr
        self._environment = {**os.environ, **(more or {})}
        self._cwd = Path.cwd()

    def __call__(self) -> None:
        """Become the command."""
        _redirect(os.open(self._stdin, os.O_RDONLY), 0)
        if isinstance(self._stdout, Path):
            _redirect(_opened(self._stdout), 1)
        else:
            os.dup2(self._stdout.fileno(), 1)
            self._stdout.close()
        _redirect(_opened(self._stderr), 2)
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
        os.chdir(self._cwd)
        os.environ.clear()
        os.environ.update(self._environment)
        sys.argv[:] = self._argv
        if self._plant is not None:
            self._plant()
        MAINS[self._argv[0]]()


def _opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _redirect(descriptor: int, to: int) -> None:
    os.dup2(descriptor, to)
    os.close(descriptor)
