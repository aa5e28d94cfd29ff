"""One start of a simulated server: a process alone, or workers and what stands for a supervisor.

The supervisor's own program starts and kills processes of a real machine. In its place stands what
it promises: it holds the data folder's lock, starts a worker again that ended, kills one that gives
no sign of life, ends none before all have drained, replaces one after the other, and takes its
workers with it.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from tests.support.sim_process import Process
from tests.support.sim_watch import ProcessDisk

from fractal_lba.protocol.errors import ContractError, DurabilityError
from fractal_lba.server.core.workers import restart_wait_s
from fractal_lba.server.seat import Seat

if TYPE_CHECKING:
    from tests.support.sim_run import Run

WORKER_TIMEOUT_S: Final = 3.0
"""Without a sign of life until a worker is killed."""


class Host(Protocol):
    """The machine that a server is started on."""

    def open_process(self, name: str, *, is_worker: bool) -> tuple[Process, ProcessDisk]:
        """Return a new process, with faults to come if it is a worker."""
        ...

    def lock_data(self, disk: ProcessDisk) -> object: ...

    async def serve(self, process: Process, disk: ProcessDisk, slot: "Slot") -> None:
        """Be a worker, from its recovery to its end."""
        ...


class Slot:
    """The place of one worker.

    Attributes:
        process: It, or ``None`` where there is none now.
        run: What it serves, once it does.
        stop: It is asked to drain.
        is_drained: It has answered its requests.
        end: Nobody needs its shards any more.
    """

    def __init__(self, service: "Service", worker: int) -> None:
        self.service: Final = service
        self.worker: Final = worker
        self.process: Process | None = None
        self.run: Run | None = None
        self.deaths = 0
        self._renew()

    @property
    def seat(self) -> Seat:
        return Seat(worker=self.worker, workers=self.service.workers, drained=self._drained)

    def begin(self, process: Process) -> None:
        self.process = process
        self._renew()

    def serving(self, run: "Run") -> None:
        self.run = run
        self.service.changed.set()

    def ended(self) -> None:
        self.deaths = 1 if self.run is not None else self.deaths + 1
        self.process = self.run = None
        self.service.changed.set()

    def _renew(self) -> None:
        self.stop = asyncio.Event()
        self.end = asyncio.Event()
        self.is_drained = False

    async def _drained(self) -> None:
        self.is_drained = True
        self.service.changed.set()
        if self.service.workers > 1:
            await self.end.wait()


class Service:
    """A server, from its start to its end.

    Args:
        host: The machine.
        name: Of its processes.
        workers: 1 or more.
        over: Called once, when nothing of it is there any more.
    """

    def __init__(self, host: Host, name: str, workers: int) -> None:
        self.workers: Final = workers
        self.slots: Final = [Slot(self, worker) for worker in range(workers)]
        self.changed = asyncio.Event()
        self.head: Process | None = None
        self._host = host
        self._name = name
        self._starts = 0
        self._is_stopping = False
        self._is_rolling = False

    @property
    def is_gone(self) -> bool:
        return self.head is None and all(slot.process is None for slot in self.slots)

    @property
    def is_ready(self) -> bool:
        """Whether every worker serves."""
        return all(slot.run is not None and not slot.stop.is_set() for slot in self.slots)

    @property
    def processes(self) -> list[Process]:
        """All that are there, the supervisor first: the others end with it."""
        workers = (slot.process for slot in self.slots)
        return [each for each in (self.head, *workers) if each is not None]

    def start(self) -> None:
        if self.workers == 1:
            self._start_worker(self.slots[0])
            return
        self.head, disk = self._host.open_process(f"{self._name} supervisor", is_worker=False)
        self.head.start(self._supervise(self.head, disk))

    def drain(self) -> None:
        """Ask for a graceful end."""
        self._is_stopping = True
        if self.workers == 1:
            self.slots[0].stop.set()
        self.changed.set()

    def replace(self) -> None:
        """Ask that each worker be replaced, one after the other."""
        if self.head is not None and not self._is_rolling and not self._is_stopping:
            self._is_rolling = True
            self.head.start(self._replace_all())

    def stop_worker(self, slot: Slot, *, wakes_after_s: float) -> None:
        """Stop a worker; it wakes, unless it is killed before for it gives no sign of life."""
        process = slot.process
        assert process is not None
        process.stop()
        loop = asyncio.get_running_loop()
        if self.workers > 1 and wakes_after_s >= WORKER_TIMEOUT_S:
            loop.call_later(WORKER_TIMEOUT_S, process.end, "killed for it hung")
        else:
            loop.call_later(wakes_after_s, process.wake)

    def ended(self, process: Process) -> None:
        """Note the end of a process of it."""
        if process is self.head:
            self.head = None
        for slot in self.slots:
            if slot.process is process:
                slot.ended()

    def _start_worker(self, slot: Slot) -> None:
        self._starts += 1
        name = self._name
        if self.workers > 1:
            name = f"{name} worker {slot.worker}, start {self._starts}"
        process, disk = self._host.open_process(name, is_worker=True)
        slot.begin(process)
        process.start(self._host.serve(process, disk, slot))

    async def _supervise(self, head: Process, disk: ProcessDisk) -> None:
        try:
            await asyncio.to_thread(self._host.lock_data, disk)
        except (DurabilityError, ContractError):
            head.end("ended")
            return
        keeping = [asyncio.create_task(self._keep(slot)) for slot in self.slots]
        await self._until(lambda: self._is_stopping or self.is_ready or self._has_failed())
        if self._is_stopping or self.is_ready:
            await self._until(lambda: self._is_stopping)
            for slot in self.slots:
                slot.stop.set()
            await self._until(
                lambda: all(slot.is_drained or not slot.process for slot in self.slots)
            )
            for slot in self.slots:
                slot.end.set()
            await self._until(lambda: all(slot.process is None for slot in self.slots))
        for task in keeping:
            task.cancel()
        # What keeps one from its first start keeps the server from it: its workers end with it.
        head.end("ended")

    def _has_failed(self) -> bool:
        return any(slot.deaths for slot in self.slots)

    async def _keep(self, slot: Slot) -> None:
        while not self._is_stopping:
            self._start_worker(slot)
            await self._until(lambda: slot.process is None)
            await self._until(lambda: self._is_stopping, within_s=restart_wait_s(slot.deaths))

    async def _replace_all(self) -> None:
        for slot in self.slots:
            process = slot.process
            if slot.run is None or process is None:
                continue  # it is being replaced as it is
            slot.stop.set()
            await self._until(lambda: slot.is_drained or slot.process is not process)  # noqa: B023 - awaited here
            slot.end.set()
            await self._until(lambda: slot.process is not process and slot.run is not None)  # noqa: B023 - as above
        self._is_rolling = False

    async def _until(self, holds: Callable[[], bool], *, within_s: float | None = None) -> None:
        loop = asyncio.get_running_loop()
        end_s = None if within_s is None else loop.time() + within_s
        changed = self.changed
        while not holds() and (end_s is None or loop.time() < end_s):
            changed.clear()
            try:
                async with asyncio.timeout_at(end_s):
                    await changed.wait()
            except TimeoutError:
                return
