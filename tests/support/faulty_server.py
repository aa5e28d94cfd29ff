"""The real server over a disk that fails, each in a process of its own.

Faults count the calls of ``failing_disk``; they are told before the start or while the server runs.
"""

import asyncio
import errno
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, TypeVar

import uvloop
from tests.support.failing_disk import Call, Effect, FailingDisk, FailingFile
from tests.support.forked import Forked, Pipe
from tests.support.server_process import Folder, NotStartedError, ServerProcess
from typing_extensions import override

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.server.app import Server
from fractal_lba.server.config import load_settings
from fractal_lba.server.core.problems import Report
from fractal_lba.server.offline import fsck
from fractal_lba.server.telemetry.logs import configure
from fractal_lba.wal import File, RealDisk

_T = TypeVar("_T")
_TIMEOUT_S: Final = 60.0
QUICK: Final = {"mend_interval_s": "0.02", "inbox_trim_s": "3600", "scrub_bytes_per_s": "0"}
"""Mended at once; and no call of the disk but what a test asks for."""
EXIT_FAILED: Final = 1


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Calls that fail, counted from 1 at the moment the fault is told.

    ``at`` are single calls; from ``since`` on every call fails until the disk is healed. ``error``
    is an ``errno``; ``None``: the process is killed there. ``effect`` is what a failing call does
    all the same. ``only`` counts and fails calls of that name alone. ``first_sync_of`` counts from
    the first sync of that stream on: what is called before it depends on how quick the machine is.
    """

    at: frozenset[int] = frozenset()
    since: int | None = None
    error: int | None = errno.EIO
    effect: Effect = Effect.NONE
    only: str | None = None
    first_sync_of: str | None = None

    def begins_at(self, call: Call) -> bool:
        """Tell whether the count may begin with a call."""
        stream = call.path.partition(":")[0]
        return self.first_sync_of is None or (call.name, stream) == ("datasync", self.first_sync_of)


class Faults(FailingDisk):
    """A disk that is told which calls fail, and counts from several threads."""

    def __init__(self) -> None:
        super().__init__(RealDisk(), is_syncing=True)
        self._counting = threading.Lock()
        self._fault: Fault | None = None
        self._counted = 0
        self.failed: list[Call] = []

    @override
    def _hold(self, file: File, path: Path) -> FailingFile:
        # By the name alone nobody can tell whose segment it is.
        return super()._hold(file, Path(f"{path.parent.name}:{path.name}"))

    def tell(self, fault: Fault | None) -> None:
        """Take the next fault; ``None``: the disk is sound."""
        with self._counting:
            self._fault, self._counted = fault, 0
            self.calls, self.failed = [], []

    @override
    def do(
        self,
        call: Call,
        act: Callable[[], _T],
        *,
        part: Callable[[], object] | None = None,
        undo: Callable[[_T], object] | None = None,
    ) -> _T:
        fault = self._failing(call)
        if fault is None:
            return act()
        if fault.effect is Effect.WHOLE:
            result = act()
            if undo is not None:
                undo(result)
        elif fault.effect is Effect.PART and part is not None:
            part()
        if fault.error is None:
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(fault.error, os.strerror(fault.error or 0), call.path)

    def _failing(self, call: Call) -> Fault | None:
        with self._counting:
            self.calls.append(call)
            fault = self._fault
            if fault is None or fault.only not in {None, call.name}:
                return None
            if not self._counted and not fault.begins_at(call):
                return None
            self._counted += 1
            is_hit = self._counted in fault.at
            if fault.since is not None:
                is_hit = is_hit or self._counted >= fault.since
            if not is_hit:
                return None
            self.failed.append(call)
            return fault


class FaultyServer(ServerProcess):
    """One run of the server over ``Faults``.

    Args:
        folder: As for ``ServerProcess``.
        fault: Told before the start.
        settings: By name.

    Raises:
        NotStartedError: It ended before it could answer.
    """

    def __init__(self, folder: Folder, fault: Fault | None = None, **settings: str) -> None:
        self.folder = folder
        self.log = folder.path / f"server-{os.urandom(4).hex()}.log"
        self._pipe, theirs = Pipe()
        self._run = Forked(_serve, folder.config, {**QUICK, **settings}, self.log, fault, theirs)
        theirs.close()
        try:
            host, port = self._receive()
        except EOFError:
            raise NotStartedError(self._end(), self.log.read_text()) from None
        self.address = (host, port)
        self.url = f"http://{host}:{port}"

    @property
    def pid(self) -> int:
        return self._run.pid

    def tell(self, fault: Fault | None) -> None:
        """Give the disk its next fault, or heal it."""
        self._pipe.send(("tell", fault))
        self._receive()

    def calls(self) -> list[Call]:
        """Return the calls made since the start or the last ``tell``."""
        self._pipe.send(("calls", None))
        calls: list[Call] = self._receive()
        return calls

    def failed(self) -> list[Call]:
        """Return the calls that failed since the start or the last ``tell``."""
        self._pipe.send(("failed", None))
        failed: list[Call] = self._receive()
        return failed

    @override
    def kill(self) -> None:
        self._run.kill()
        self._end()

    @override
    def stop(self) -> int:
        self._run.terminate()
        return self._end()

    def wait(self) -> int:
        """Wait for a server that ends by itself."""
        return self._end()

    @override
    def _poll(self) -> int | None:
        return self._run.poll()

    @override
    def _end(self) -> int:
        code = self._run.wait(_TIMEOUT_S)
        self._pipe.close()
        return code

    def _receive(self) -> Any:  # noqa: ANN401 - what was asked for
        assert self._pipe.poll(_TIMEOUT_S), "the server hangs"
        return self._pipe.recv()


def until_idle(server: FaultyServer) -> None:
    """Return once nothing more is written by itself."""
    seen = -1
    while seen != (seen := len(server.calls())):
        time.sleep(0.3)


def check_here(folder: Folder) -> Report:
    """Check a folder as ``fractal-server fsck`` does, in this process."""
    return fsck(load_settings(folder.config, {}, {}), folder.path)


def _serve(
    config: Path, settings: dict[str, str], log: Path, fault: Fault | None, pipe: Connection
) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    disk = Faults()
    disk.tell(fault)
    try:
        uvloop.run(_run(config, {"listen": "127.0.0.1:0", **settings}, disk, pipe))
    except (DurabilityError, OSError) as error:
        os.write(2, json.dumps({"message": "ended", "error": str(error)}).encode() + b"\n")
        os._exit(EXIT_FAILED)


async def _run(config: Path, settings: dict[str, str], disk: Faults, pipe: Connection) -> None:
    loaded = load_settings(config, {}, settings)
    configure(loaded.log_level)
    server = Server(loaded, config.parent, disk=disk)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, server.stop)

    def listen() -> None:
        kind, fault = pipe.recv()
        match kind:
            case "tell":
                disk.tell(fault)
                pipe.send(None)
            case "calls":
                pipe.send(list(disk.calls))
            case "failed":
                pipe.send(list(disk.failed))

    def announce(url: str) -> None:
        host, _, port = url.removeprefix("http://").rpartition(":")
        loop.add_reader(pipe.fileno(), listen)
        pipe.send((host, int(port)))

    await server.run(announce)
