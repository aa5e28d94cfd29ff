"""The supervisor: starts the workers, replaces those that end, and ends them together.

It holds the data folder's lock and the listening socket, and nothing of what is served: no body, no
key and no log goes through it. A worker that ends is started again, its streams recovered before it
serves; one that gives no sign of life is killed first. The workers end with it, whatever ends it.
"""

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fractal_lba.server.config import Settings
from fractal_lba.server.core.workers import late_s, restart_wait_s
from fractal_lba.server.supervisor.child import Child
from fractal_lba.server.supervisor.messages import End, Leave, News, WorkerState

_FIRST_SIGN_S: Final = 60.0
"""Until a worker's first sign of life: a program is loaded until then, on a machine that may be
busy."""
_LOOK_S: Final = 0.5
_SERVED_LONG_S: Final = 5.0
"""A worker that served for so long and then died is started again at once."""
_CLOSE_S: Final = 15.0
"""For what stands behind the requests, once they are over: marks, indexes, durable offsets."""
_NEWS_S: Final = 1.0
"""How often all workers are told how all are, also where nothing changed."""

_EXIT_PROBLEMS: Final = 1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a supervisor ended: its exit code, and why where it never served."""

    code: int
    message: str | None = None


class _Slot:
    """The place of one worker."""

    def __init__(self, worker: int) -> None:
        self.worker = worker
        self.child: Child | None = None
        self.deaths = 0
        self.restarts = 0
        self.is_leaving = False

    @property
    def is_ready(self) -> bool:
        return self.child is not None and self.child.is_ready

    @property
    def is_drained(self) -> bool:
        """Whether no request of it is under way."""
        return self.child is None or self.child.has_ended or self.child.is_drained

    @property
    def is_gone(self) -> bool:
        return self.child is None or self.child.has_ended

    def is_replaced(self, before: Child) -> bool:
        """Whether another one serves, and nothing is wrong with it that was not before."""
        child = self.child
        return (
            child is not None
            and child is not before
            and child.is_ready
            and set(child.reasons) <= set(before.reasons)
        )

    @property
    def state(self) -> WorkerState:
        return WorkerState(
            worker=self.worker,
            is_up=self.is_ready,
            restarts=self.restarts,
            reasons=() if self.child is None or not self.is_ready else self.child.reasons,
        )


class Supervisor:
    """Keeps several workers over one data folder, whose lock is held.

    Args:
        settings: Of the whole server.
        base: The folder that paths in the settings are relative to.
        workers: How many, 2 or more.
        listener: Bound; nobody accepts from it here.
        accept_loss: The operator's word that ids lost to damage may be decided again.
    """

    def __init__(
        self,
        settings: Settings,
        base: Path,
        *,
        workers: int,
        listener: socket.socket,
        accept_loss: bool,
    ) -> None:
        self._settings = settings
        self._base = base
        self._listener = listener
        self._accept_loss = accept_loss
        self._slots = [_Slot(worker) for worker in range(workers)]
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._has_served = False
        self._failure: Ended | None = None
        self._killed = 0
        self._rolling: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """Ask for a graceful end of all workers; can be said at any time."""
        self._stopping.set()
        self._note_change()

    def reload(self) -> None:
        """Let every worker load keyring and TLS files again."""
        for slot in self._slots:
            if slot.child is not None and slot.child.beats:
                slot.child.signal(signal.SIGHUP)

    def replace(self) -> None:
        """Replace the workers one after the other, unless that is under way."""
        if self._has_served and (self._rolling is None or self._rolling.done()):
            self._rolling = asyncio.get_running_loop().create_task(self._replace_all())

    async def run(self, announce: Callable[[str], None]) -> Ended:
        """Keep the workers until ``stop``, then end them.

        Args:
            announce: Takes the URL once every worker serves.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        async with asyncio.TaskGroup() as tasks:
            keeping = [tasks.create_task(self._keep(slot)) for slot in self._slots]
            watching = tasks.create_task(self._watch())
            await self._until(
                lambda: self._is_ending() or all(slot.is_ready for slot in self._slots)
            )
            if not self._is_ending():
                self._has_served = True
                url = next(slot.child.url for slot in self._slots if slot.child is not None)
                _log.info("ready", extra={"url": url})
                announce(url)
                await self._until(self._is_ending)
            await self._end_all()
            if self._rolling is not None:
                self._rolling.cancel()
            for task in (*keeping, watching):
                task.cancel()
        loop.remove_signal_handler(signal.SIGCHLD)
        if self._failure is not None:
            return self._failure
        return Ended(code=_EXIT_PROBLEMS if self._killed else 0)

    def _is_ending(self) -> bool:
        return self._stopping.is_set() or self._failure is not None

    def _note_change(self) -> None:
        self._changed.set()
        self._tell_all()

    async def _until(self, holds: Callable[[], bool], *, by_s: float | None = None) -> bool:
        """Return once something holds, or by a moment of the monotonic clock; tell which."""
        while not holds():
            self._changed.clear()
            wait_s = None if by_s is None else max(0.0, by_s - time.monotonic())
            if wait_s == 0:
                return False
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                return holds()
        return True

    def _reap(self) -> None:
        for slot in self._slots:
            if slot.child is not None:
                slot.child.reap()

    async def _keep(self, slot: _Slot) -> None:
        """Start a worker, and again whenever it has ended, until the end."""
        while not self._is_ending():
            try:
                slot.child = await Child.start(
                    worker=slot.worker,
                    workers=len(self._slots),
                    settings=self._settings,
                    base=self._base,
                    listener=self._listener,
                    accept_loss=self._accept_loss,
                    changed=self._note_change,
                )
            except OSError as error:
                self._note_end(slot, f"cannot be started: {error.strerror}", _EXIT_PROBLEMS)
            else:
                _log.info("worker started", extra={"worker": slot.worker, "pid": slot.child.pid})
                slot.child.reap()  # its end may have come before there was anybody to be told
                await slot.child.ended()
                self._look_back(slot, slot.child)
            if self._is_ending():
                return
            self._tell_all()
            await self._until(self._is_ending, by_s=time.monotonic() + restart_wait_s(slot.deaths))

    def _look_back(self, slot: _Slot, child: Child) -> None:
        """Note how a worker ended."""
        if slot.is_leaving and child.code == 0:
            slot.deaths = 0
            _log.info("worker left", extra={"worker": slot.worker, "pid": child.pid})
            return
        if child.failed is not None:
            self._note_end(slot, child.failed.message, child.failed.code)
        else:
            end = f"signal {-child.code}" if child.code < 0 else f"exit code {child.code}"
            self._note_end(slot, f"worker {slot.worker}: expected it to serve, got {end}", 1)

    def _note_end(self, slot: _Slot, why: str, code: int) -> None:
        child = slot.child
        has_served_long = (
            child is not None
            and child.ready_s is not None
            and time.monotonic() - child.ready_s > _SERVED_LONG_S
        )
        slot.deaths = 1 if has_served_long else slot.deaths + 1
        if self._stopping.is_set():
            return
        if not self._has_served and self._failure is None:
            # What keeps one from its first start keeps the server from it.
            self._failure = Ended(code=code, message=why)
            self._note_change()
            return
        if self._failure is None:
            slot.restarts += 1
            pid = None if child is None else child.pid
            fields = {"worker": slot.worker, "pid": pid, "error": why, "count": slot.deaths}
            _log.error("worker died", extra=fields)

    async def _watch(self) -> None:
        """Kill what gives no sign of life, and tell all workers how all are."""
        told_s, looked_s = 0.0, time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_S)
            now_s = time.monotonic()
            # While this process was stopped it heard nobody: the workers are not at fault for that,
            # and may have been stopped with it.
            stopped_s = late_s(now_s - looked_s, look_s=_LOOK_S)
            looked_s = now_s
            for slot in self._slots:
                child = slot.child
                if child is None or child.has_ended:
                    continue
                child.heard_s = min(now_s, child.heard_s + stopped_s)
                if child.is_drained and not slot.is_leaving and not self._is_ending():
                    child.tell(End())  # somebody stopped it alone: it is replaced
                limit_s = self._settings.worker_timeout_s
                if not child.beats:
                    limit_s = max(limit_s, _FIRST_SIGN_S)
                if now_s - child.heard_s > limit_s:
                    fields = {"worker": slot.worker, "pid": child.pid}
                    _log.error("worker gives no sign of life, killed", extra=fields)
                    child.heard_s = now_s  # said once for each time
                    child.signal(signal.SIGKILL)
            if now_s - told_s >= _NEWS_S:
                told_s = now_s
                self._tell_all()

    def _tell_all(self) -> None:
        news = News(workers=tuple(slot.state for slot in self._slots))
        for slot in self._slots:
            if slot.child is not None and not slot.child.has_ended:
                slot.child.tell(news)

    async def _replace_all(self) -> None:
        """Replace one worker after the other, each once the one before it serves."""
        for slot in self._slots:
            if self._is_ending():
                return
            child = slot.child
            if child is None or not child.is_ready:
                continue  # it is being replaced as it is
            _log.info("worker leaves", extra={"worker": slot.worker, "pid": child.pid})
            slot.is_leaving = True
            child.tell(Leave())
            by_s = time.monotonic() + self._settings.grace_s + _CLOSE_S
            await self._until(lambda: child.is_drained or child.has_ended, by_s=by_s)  # noqa: B023 - awaited here
            child.tell(End())
            if not await self._until(
                lambda: child.has_ended,  # noqa: B023 - awaited here
                by_s=time.monotonic() + _CLOSE_S,
            ):
                child.signal(signal.SIGKILL)
            await self._until(
                lambda: self._is_ending() or slot.is_replaced(child)  # noqa: B023 - awaited here
            )
            slot.is_leaving = False
        _log.info("workers replaced", extra={"count": len(self._slots)})

    async def _end_all(self) -> None:
        """Let every worker drain; none ends what it owns before all have answered."""
        self._listener.close()
        begun_s = time.monotonic()
        # Where the first start failed there is nothing to be finished.
        how = signal.SIGTERM if self._failure is None else signal.SIGKILL
        for slot in self._slots:
            if slot.child is not None:
                slot.child.signal(how)
        drained_s = begun_s + self._settings.grace_s + _CLOSE_S
        await self._until(lambda: all(slot.is_drained for slot in self._slots), by_s=drained_s)
        for slot in self._slots:
            if slot.child is not None:
                slot.child.tell(End())
        ended_s = time.monotonic() + _CLOSE_S
        if not await self._until(lambda: all(slot.is_gone for slot in self._slots), by_s=ended_s):
            for slot in self._slots:
                if slot.child is not None and not slot.child.has_ended:
                    self._killed += 1
                    fields = {"worker": slot.worker, "pid": slot.child.pid}
                    _log.error("worker did not end, killed", extra=fields)
                    slot.child.signal(signal.SIGKILL)
            await self._until(lambda: all(slot.is_gone for slot in self._slots))
