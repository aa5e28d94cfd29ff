"""The demo's processes: the server and the agents as a user would start them."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

START_SECONDS_MAX: Final = 30.0
STOP_SECONDS_MAX: Final = 30.0
COMMAND_SECONDS_MAX: Final = 60.0
LOG_LINES_SHOWN: Final = 15


class DemoError(Exception):
    """The demo could not show what it is for; the message says which step failed."""


def program(name: str) -> str:
    """Return the path of one of the project's commands, from the environment that runs this."""
    return str(Path(sys.executable).parent / name)


def last_lines(log: Path) -> str:
    """Return the end of a log, for a message that has to explain a failure."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-LOG_LINES_SHOWN:])


def command_output(*command: str, codes: tuple[int, ...] = (0,)) -> str:
    """Run a command to its end and return what it printed.

    Raises:
        DemoError: It ended with another exit code than ``codes``.
    """
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS_MAX
    )
    if done.returncode not in codes:
        raise DemoError(
            f"{Path(command[0]).name} {command[1]}: expected exit code {codes}, got "
            f"{done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done.stdout


class Server:
    """One run of ``fractal-server run``, ready to answer."""

    def __init__(self, config: Path, log: Path, *, listen: str) -> None:
        self._log = log
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                [program("fractal-server"), "run", "--config", str(config), "--listen", listen],
                stdout=subprocess.PIPE,
                stderr=stream,
            )
        try:
            self.url = self._await_ready()
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        """The process id, to name what is killed."""
        return self._process.pid

    def _await_ready(self) -> str:
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101 - it was asked for as a pipe
        waiting, _, _ = select.select([stdout], [], [], START_SECONDS_MAX)
        line = stdout.readline() if waiting else b""
        if not line:
            raise DemoError(
                f"fractal-server run: expected its ready line, got none; it says\n"
                f"{last_lines(self._log)}"
            )
        ready: dict[str, Any] = json.loads(line)
        return str(ready["url"])

    def kill(self) -> None:
        """Kill the process as a power button would: no signal it could answer."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            # Its workers end with it and hold this pipe, too: once it ends, they have.
            self._process.stdout.read()
            self._process.stdout.close()

    def stop(self) -> None:
        """Ask the server to finish and wait for it.

        Raises:
            DemoError: It did not end with exit code 0; it has been killed.
        """
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(timeout=STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise DemoError("fractal-server: SIGTERM did not stop it") from None
        if code != 0:
            raise DemoError(
                f"fractal-server: expected exit code 0 after SIGTERM, got {code}; it says\n"
                f"{last_lines(self._log)}"
            )


class Agent:
    """One run of ``fractal-agent run`` with its own outbox."""

    def __init__(self, name: str, folder: Path, arguments: list[str]) -> None:
        self.name = name
        self.outbox = folder / f"outbox-{name}"
        self._log = folder / f"agent-{name}.log"
        environment = {**os.environ, "NO_COLOR": "1"}
        with self._log.open("ab") as stream:
            self._process = subprocess.Popen(
                [program("fractal-agent"), "run", "--data", str(self.outbox), "--json", *arguments],
                stdout=subprocess.PIPE,
                stderr=stream,
                env=environment,
            )

    @property
    def is_running(self) -> bool:
        """Whether the process still has work."""
        return self._process.poll() is None

    def report(self, seconds_max: float) -> dict[str, Any]:
        """Wait for the end and return the closing report.

        Raises:
            DemoError: The agent did not end well in time.
        """
        try:
            stdout, _ = self._process.communicate(timeout=seconds_max)
        except subprocess.TimeoutExpired:
            raise DemoError(f"agent {self.name}: not done after {seconds_max:.0f} s") from None
        if self._process.returncode != 0:
            raise DemoError(
                f"agent {self.name}: expected exit code 0, got {self._process.returncode}; "
                f"it says\n"
                f"{last_lines(self._log)}"
            )
        report: dict[str, Any] = json.loads(stdout)
        return report

    def states(self) -> dict[str, str]:
        """Return pcs_id → state as the outbox has it on disk, read by another process."""
        command = [program("fractal-agent"), "status", "--data", str(self.outbox)]
        status = json.loads(command_output(*command, "--json", "--ids"))
        return {entry["pcs_id"]: entry["state"] for entry in status["ids"]}

    def stop(self) -> None:
        """End the process whatever it does; for the way out of a failure."""
        if self.is_running:
            self._process.kill()
        self._process.wait()
