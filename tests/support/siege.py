"""What every siege of a server is held to: its memory, and that honest callers are served."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from tests.support.load import Connection
from tests.support.server_process import Folder, ServerProcess
from tests.support.signed import body

MIB: Final = 1 << 20
HONEST_EPOCHS: Final = 500_000_000
_WAIT_S: Final = 60.0


def resident(pid: int, name: str = "VmRSS") -> int:
    """Return the bytes of a process that are in memory; ``VmHWM`` for the most there ever were."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"{name} of a process that is gone")


class Peak:
    """How much more memory a process takes, at its highest, than when this began."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        # 5: begin the high-water mark anew (proc_pid_clear_refs(5)).
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
        self._begin = resident(pid)

    @property
    def growth(self) -> int:
        """Bytes, at least 0."""
        return resident(self._pid, "VmHWM") - self._begin


class Honest:
    """A caller that submits one record after another as long as the siege lasts."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._is_over = threading.Event()
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._send, name="honest")
        self.count = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(_WAIT_S)
        assert not self._thread.is_alive(), "the honest caller hangs"
        assert self._error is None, self._error

    def served(self, more: int = 5) -> None:
        """Return once it was answered so many times more than when this was called."""
        with self._changed:
            enough = self.count + more
            reached = self._changed.wait_for(
                lambda: self._error is not None or self.count >= enough, timeout=_WAIT_S
            )
        assert self._error is None, self._error
        assert reached, f"the honest caller was answered {self.count} times, not {enough}"

    def _send(self) -> None:
        first = HONEST_EPOCHS + time.monotonic_ns() % 400_000_000
        try:
            connection = Connection(self._server)
            while not self._is_over.is_set():
                reply = connection.submit(body(first + self.count))
                assert reply.status == 200, reply
                with self._changed:
                    self.count += 1
                    self._changed.notify_all()
            connection.close()
        except BaseException as error:  # noqa: BLE001 - raised by whoever waits for this thread
            with self._changed:
                self._error = error
                self._changed.notify_all()


def open_connections(server: ServerProcess) -> int:
    """Return how many sockets of the server are connected to somebody."""
    connected = 0
    port = f":{server.address[1]:04X}"
    table = Path(f"/proc/{server.process.pid}/net/tcp").read_text(encoding="ascii")
    for line in table.splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        connected += local.endswith(port) and state == "01"
    return connected


@contextmanager
def besieged(folder: Folder, *flags: str) -> Iterator[ServerProcess]:
    """Run a server that must come out of it whole.

    It stops when it is told to, met no bug, logged no error, and its index agrees with its ledger.
    """
    with ServerProcess(folder, *flags) as server:
        yield server
        assert server.stop() == 0
        errors = [line for line in server.log_lines() if line["level"] in {"error", "critical"}]
        assert not errors, (len(errors), errors[0])
        assert "Traceback" not in server.log.read_text()
    code, report = folder.fsck()
    assert (code, report["undecided_inbox"]) == (0, 0), report
