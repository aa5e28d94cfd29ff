"""One worker's process, as the supervisor sees it."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import msgspec

from fractal_lba.server.config import Settings
from fractal_lba.server.supervisor.messages import (
    Beat,
    Channel,
    Drained,
    Failed,
    Orders,
    Ready,
    Report,
    Told,
    open_reports,
)

COMMAND = (sys.executable, "-P", "-m", "fractal_lba.server.supervisor.work")
"""A program of its own, so that a replaced worker runs the release that is installed by then. It
imports nothing of the folder that the server was started in (``-P``)."""


class Child:
    """A worker that was started, until it has ended.

    Attributes:
        pid: Its process.
        heard_s: When it gave its last sign of life, on the monotonic clock.
        beats: How many signs of life it gave.
        ready_s: When it began to serve, ``None`` before that.
        is_drained: Whether it takes no requests any more.
        failed: Why it could not serve, in its own words.
        reasons: Why not everything of it can be served.
    """

    def __init__(self, process: subprocess.Popen[bytes], *, changed: Callable[[], None]) -> None:
        self._process = process
        self._changed = changed
        self._channel: Channel | None = None
        self._ended = asyncio.Event()
        self.pid = process.pid
        self.heard_s = time.monotonic()
        self.beats = 0
        self.ready_s: float | None = None
        self.url = ""
        self.is_drained = False
        self.failed: Failed | None = None
        self.reasons: tuple[str, ...] = ()

    @classmethod
    async def start(  # noqa: PLR0913 - what a worker is told, each named at the call
        cls,
        *,
        worker: int,
        workers: int,
        settings: Settings,
        base: Path,
        listener: socket.socket,
        accept_loss: bool,
        changed: Callable[[], None],
    ) -> Self:
        """Start a worker; ``changed`` is called whenever something about it did.

        Raises:
            OSError: The system has no process or no file for it.
        """
        ours, theirs = socket.socketpair()
        orders = Orders(
            worker=worker,
            workers=workers,
            supervisor=os.getpid(),
            settings=settings,
            base=str(base),
            listener=listener.fileno(),
            channel=theirs.fileno(),
            accept_loss=accept_loss,
        )
        try:
            # A file, not a pipe: whatever its length, nobody waits until it is read.
            with tempfile.TemporaryFile() as file:
                file.write(msgspec.json.encode(orders))
                file.seek(0)
                process = subprocess.Popen(  # noqa: ASYNC220, S603 - starts at once, and nobody else's words
                    COMMAND,
                    stdin=file,
                    pass_fds=(orders.listener, orders.channel),
                    close_fds=True,
                )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        child = cls(process, changed=changed)
        child._channel = await open_reports(ours, child._heard, lost=lambda: None)
        return child

    @property
    def is_ready(self) -> bool:
        """Whether it serves."""
        return self.ready_s is not None and not self.has_ended

    @property
    def has_ended(self) -> bool:
        """Whether its process is gone."""
        return self._ended.is_set()

    @property
    def code(self) -> int:
        """Its exit code once it has ended, negative for the signal that ended it."""
        code = self._process.returncode
        assert code is not None  # noqa: S101 - asked once it has ended
        return int(code)

    def reap(self) -> None:
        """Look whether it has ended; said whenever a process has."""
        if not self.has_ended and self._process.poll() is not None:
            self._ended.set()
            if self._channel is not None:
                self._channel.close()
            self._changed()

    async def ended(self) -> None:
        """Return once it has ended."""
        await self._ended.wait()

    def tell(self, message: Told) -> None:
        """Tell it something; what it does not read is not waited for."""
        if self._channel is not None:
            self._channel.send(message)

    def signal(self, number: signal.Signals) -> None:
        """Signal it, unless it has ended: until it is reaped its id is nobody else's."""
        if not self.has_ended:
            self._process.send_signal(number)

    def _heard(self, report: Report) -> None:
        self.heard_s = time.monotonic()
        self.beats += 1
        match report:
            case Beat():
                if report.reasons == self.reasons:
                    return
                self.reasons = report.reasons
            case Ready():
                self.ready_s = self.heard_s
                self.url = report.url
            case Failed():
                self.failed = report
            case Drained():
                self.is_drained = True
        self._changed()
