"""A server's machine in a simulated world: its disk, clock and sockets, its servers in turn."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.support.memory_disk import MemoryDisk
from tests.support.memory_index import IndexFile, MemoryIndex
from tests.support.power_cut import cut_power
from tests.support.power_runs import Strike
from tests.support.sim_process import Process
from tests.support.sim_run import Run, client_answer
from tests.support.sim_service import Service, Slot
from tests.support.sim_sockets import LocalSockets
from tests.support.sim_truth import Truth
from tests.support.sim_watch import ProcessDisk
from tests.support.sim_worker import Machine, opened

from fractal_lba.client import Answer as ClientAnswer
from fractal_lba.client import BatchAnswer, UnavailableError
from fractal_lba.client.batch import joined, read_lines
from fractal_lba.protocol.errors import ContractError, DurabilityError
from fractal_lba.protocol.judge import CURRENT_PARAMS
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.server.core.answer import Answer, ServerCode, problem
from fractal_lba.server.core.inbox_frame import BATCH, Received
from fractal_lba.server.core.known import RecordKey
from fractal_lba.server.core.ndjson import encode_line
from fractal_lba.server.core.tenant_policy import Policies
from fractal_lba.wal import lock_folder

if TYPE_CHECKING:
    from fractal_lba.server.pipeline.settled import Settled

START_NS: Final = 1_793_534_400_000_000_000
WAKES_S_MAX: Final = 5.0
_NS_PER_DAY: Final = 86_400_000_000_000
_LINGERS_S_MAX: Final = 0.2
"""Workers whose supervisor is gone are ended by the kernel, at its pace."""


class ServerMachine:
    """One machine with one data folder.

    Args:
        chance: Decides about its disk.
        others: Decides about everything else of it.
        ring: Every key there ever is.
        shards: How many.
        policies: What is asked of each tenant.
        expire_s: How often is looked for what is kept no longer; ``None`` for never.
        faults: Returns what befalls the next process, and the turn that it does not live to see.
        note: Takes each event.

    Attributes:
        happened: Faults by kind.
        offset_ns: By which its clock is wrong.
        days_passed: How often days have passed.
        is_forgetful: Whether what is kept no longer is forgotten.
        params: What the next process judges by.
        unknown_kids: Keys that are not in its ring yet.
        room: Requests at once; see ``troubled_network``.
        workers: Of the next server.
        count: Servers so far.
    """

    def __init__(  # noqa: PLR0913 - each by name
        self,
        chance: random.Random,
        others: random.Random,
        ring: Keyring,
        *,
        shards: int,
        policies: Policies,
        expire_s: float | None,
        faults: Callable[[], tuple[list[Strike], int | None]],
        note: Callable[[str], None],
    ) -> None:
        self.disk: Final = MemoryDisk(Path("/m"), chance)
        self.happened: Final = self.disk.happened
        self.offset_ns = 0
        self.days_passed = 0
        self.is_forgetful: Final = expire_s is not None
        self.params = CURRENT_PARAMS
        self.unknown_kids: set[str] = set()
        self.room = 1_000
        self.workers = 1
        self.count = 0
        data = Path("/m/data")
        names = tuple(f"shard-{number}" for number in range(shards))
        self.truth: Final = Truth(self.disk, data, names, ring, policies)
        self.sockets: Final = LocalSockets(others, self.happened)
        self._files: Final = {name: IndexFile() for name in names}
        self._machine: Final = Machine(
            data=data,
            shards=names,
            truth=self.truth,
            files=self._files,
            sockets=self.sockets,
            now_ns=self.now_ns,
            keyring=self._keyring,
            params=lambda: self.params,
            policies=policies,
            note=note,
            expire_s=expire_s,
            happened=self.happened,
        )
        self.disk.put(data / "shards.json", b"")
        self._ring = ring
        self._chance = chance
        self._others = others
        self._faults = faults
        self._note = note
        self._services: list[Service] = []
        self._processes: dict[Process, ProcessDisk] = {}
        self._waiting: dict[asyncio.Future[Any], Process] = {}

    @property
    def is_up(self) -> bool:
        """Whether a process is there, serving or not."""
        return bool(self._processes)

    @property
    def is_settled(self) -> bool:
        """Whether one server serves with all its workers, and nothing is open in it."""
        return (
            len(self._services) == 1
            and self._services[0].is_ready
            and not self._waiting
            and all(run.is_settled for run in self._runs)
        )

    @property
    def is_serving(self) -> bool:
        """Whether a server serves with all its workers."""
        return any(service.is_ready for service in self._services)

    @property
    def _slots(self) -> list[Slot]:
        return [slot for service in self._services for slot in service.slots]

    @property
    def _runs(self) -> list[Run]:
        return [slot.run for slot in self._slots if slot.run is not None]

    def now_ns(self) -> int:
        """Return the machine's time."""
        now_ns = START_NS + self.offset_ns + int(asyncio.get_running_loop().time() * 1e9)
        self.truth.past.latest_ns = max(self.truth.past.latest_ns, now_ns)
        return now_ns

    def pass_days(self, days: float) -> None:
        """Let time pass that the other machines do not notice; less than 0: set it back."""
        self.offset_ns += int(days * _NS_PER_DAY)
        self.days_passed += days > 0

    def at_next_record(self, happen: Callable[[], None]) -> None:
        """Let something happen when a new record of a tenant that forgets was just logged."""

        def logged(key: RecordKey) -> None:
            is_new = not self.truth.past.contents(key)
            if is_new and self._machine.policies.of(key.tenant).horizon_days == 1:
                self.truth.on_logged = lambda _: None
                asyncio.get_running_loop().call_soon(happen, context=Context())

        self.truth.on_logged = logged

    def calm(self) -> None:
        """Let nothing more happen to it."""
        self.sockets.calm()
        self.truth.on_logged = lambda _: None

    def start(self) -> None:
        """Start a server, beside one that is still ending or not."""
        self.count += 1
        service = Service(self, f"server {self.count}", self.workers)
        self._note(f"server {self.count} starts with {self.workers} workers")
        self._services.append(service)
        service.start()

    def kill(self) -> None:
        """End every process at once."""
        for service in list(self._services):
            for process in service.processes:
                process.end("killed")

    def kill_supervisor(self) -> bool:
        """End what starts the others, which the kernel then ends; tell whether there was one."""
        heads = [each.head for each in self._services if each.head is not None]
        if heads:
            self._others.choice(heads).end("killed alone")
        return bool(heads)

    def kill_worker(self) -> None:
        """End one of several workers."""
        slots = [slot for slot in self._slots if slot.process and slot.service.head is not None]
        if slots:
            process = self._others.choice(slots).process
            assert process is not None
            process.end("killed alone")

    def stop_worker(self) -> bool:
        """Stop a process for a while; tell whether there was one."""
        slots = [slot for slot in self._slots if slot.process and not slot.process.is_stopped]
        if slots:
            slot = self._others.choice(slots)
            slot.service.stop_worker(slot, wakes_after_s=self._others.uniform(0.0, WAKES_S_MAX))
        return bool(slots)

    def replace(self) -> None:
        """Have the workers replaced, one after the other."""
        for service in self._services:
            service.replace()

    def drain(self) -> None:
        """Ask every server for a graceful end."""
        for service in self._services:
            service.drain()

    def cut_power(self) -> None:
        """End every process and what no sync made durable."""
        self.kill()
        self.truth.hold_all()
        cut_power(self.disk, self._chance)
        self.happened["power cut of the server"] += 1
        for file in self._files.values():
            self.happened[file.cut_power(self._chance)] += 1
        self._note("the server's power is cut")
        self.truth.hold_all()

    def hold(self) -> None:
        """Hold everything to what is true."""
        self.truth.hold_all()
        for shard, file in self._files.items():
            index = MemoryIndex(file, shard=shard, data_id=None)
            self.truth.hold_index(shard, index, is_whole=False)
        if self.is_settled:
            self._hold_settled()

    async def submit(self, body: bytes) -> ClientAnswer:
        """See ``agent.ports.Server``."""

        async def handle(run: Run) -> Answer:
            asked_s = asyncio.get_running_loop().time()
            settled = await run.way.intake.receive(body, Received())
            self._answered(body, settled.answer, asked_s)
            return settled.answer

        return client_answer(await self._handled(handle))

    async def batch(self, bodies: Sequence[bytes]) -> BatchAnswer:
        """See ``agent.ports.Server``."""
        whole = joined(bodies)

        async def handle(run: Run) -> Answer | bytes:
            ends: list[Settled] = []
            asked_s = asyncio.get_running_loop().time()
            settled = await run.way.batches.receive(
                whole, Received(route=BATCH), ends.extend, whose="somebody"
            )
            if settled.refusal is not None:
                return settled.refusal
            for body, end in zip(bodies, ends, strict=True):
                self._answered(body, end.answer, asked_s)
            return b"".join(encode_line(end.answer, "a-request") for end in ends)

        answer = await self._handled(handle)
        if isinstance(answer, Answer):
            return BatchAnswer(refusal=client_answer(answer))
        return BatchAnswer(lines=read_lines(answer, len(bodies)))

    async def _handled(self, handle: Callable[[Run], Coroutine[Any, Any, Any]]) -> Any:  # noqa: ANN401 - whatever it answers
        runs = self._runs
        if not runs:
            raise UnavailableError("expected an answer, got none")
        # One socket, shared by whoever serves.
        run = self._chance.choice([run for run in runs if run.is_taking()] or runs)
        if not run.is_taking():
            return problem(ServerCode.DRAINING, "server: expected no end, got one", retry_after_s=1)
        if len(self._waiting) >= self.room:
            return problem(ServerCode.RATE_LIMITED, "server: expected less", retry_after_s=1)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[answer] = run.process

        async def work() -> None:
            try:
                result = await handle(run)
            except Exception as error:  # noqa: BLE001 - told, and a 500 to whoever asked
                self.truth.bug(error)
                result = problem(
                    ServerCode.INTERNAL_ERROR, "server: expected an answer, got a failure"
                )
            del self._waiting[answer]
            self._note(f"answered {getattr(result, 'status', 'lines')}")
            answer.set_result(result)

        run.process.start(work())
        return await asyncio.shield(answer)

    def _answered(self, body: bytes, answer: Answer, asked_s: float) -> None:
        self.truth.answered(body, answer, asked_s=asked_s)
        if answer.code == "quota_exceeded":
            self.happened["tenant over its day"] += 1

    def open_process(self, name: str, *, is_worker: bool) -> tuple[Process, ProcessDisk]:
        """See ``Host``."""
        strikes, last_step = self._faults() if is_worker else ([], None)
        disk = ProcessDisk(self.disk, strikes, self.now_ns, changed=self.truth.changed)
        process = Process(name, on_end=self._ended, ends_at_step=last_step, sockets=self.sockets)
        disk.process = process
        self._processes[process] = disk
        self._note(f"{name} starts")
        return process, disk

    def lock_data(self, disk: ProcessDisk) -> object:
        """See ``Host``."""
        return lock_folder(disk, self._machine.data)

    async def serve(self, process: Process, disk: ProcessDisk, slot: Slot) -> None:
        """See ``Host``."""
        try:
            async with opened(self._machine, process, disk, slot.seat, slot.stop) as run:
                self._note(f"{process.name} recovered")
                slot.serving(run)
                if self.is_settled:
                    self._hold_settled()
                await slot.stop.wait()
                self._note(f"{process.name} drains")
                if under_way := [each for each, of in self._waiting.items() if of is process]:
                    await asyncio.wait(under_way)
        except* (DurabilityError, ContractError) as group:
            self._note(f"{process.name} cannot go on: {type(_first_of(group)).__name__}")
        except* Exception as group:  # noqa: BLE001 - told
            self.truth.bug(_first_of(group))
        process.end("ended")

    def _keyring(self) -> Keyring:
        keys = {kid: key for kid, key in self._ring.keys.items() if kid not in self.unknown_kids}
        return Keyring(keys=keys, tokens={})

    def _hold_settled(self) -> None:
        self.truth.hold_settled()
        for run in self._runs:
            for shard, index in run.indexes.items():
                self.truth.hold_index(shard, index, is_whole=True)

    def _ended(self, process: Process, why: str) -> None:
        disk = self._processes.pop(process)
        disk.abandon()
        self.sockets.leave(process)
        self.truth.disowned(process)
        self._note(
            f"{process.name} {why}: {len(disk.calls)} calls of its disk, {process.steps} turns"
        )
        for service in list(self._services):
            is_head = service.head is process
            if is_head or process in service.processes:
                kind = "supervisor" if is_head else "worker" if service.workers > 1 else "server"
                self.happened[f"{kind} {why}"] += 1
            service.ended(process)
            if is_head:
                for worker in service.processes:
                    asyncio.get_running_loop().call_later(
                        self._others.uniform(0.0, _LINGERS_S_MAX), worker.end, "ended by the kernel"
                    )
            if service.is_gone:
                self._services.remove(service)
        for answer, of in list(self._waiting.items()):
            if of is process:
                del self._waiting[answer]
                if not answer.done():
                    answer.set_exception(UnavailableError("expected an answer, got none"))
        self.truth.hold_all()


def _first_of(group: BaseExceptionGroup) -> Exception:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)
    return error
