"""A server's machine in a simulated world: its disk, its clock, its processes one after the other.

From a body's arrival to its answer everything is the server's own code; HTTP is not there. LMDB is
the index in memory, whose commits are calls of the disk like every other.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.support.failing_disk import Call
from tests.support.memory_disk import MemoryDisk
from tests.support.memory_index import IndexFile, MemoryIndex
from tests.support.power_cut import cut_power
from tests.support.power_runs import Strike
from tests.support.sim_process import Process
from tests.support.sim_run import Run, client_answer, survived
from tests.support.sim_truth import Law, Truth
from tests.support.sim_watch import ProcessDisk, WatchedInbox, WatchedShard

from fractal_lba.client import Answer as ClientAnswer
from fractal_lba.client import BatchAnswer, UnavailableError
from fractal_lba.client.batch import joined, read_lines
from fractal_lba.protocol.errors import ContractError, DurabilityError
from fractal_lba.protocol.judge import CURRENT_PARAMS
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.protocol.record import VERSION
from fractal_lba.server.core import names
from fractal_lba.server.core.answer import Answer, ServerCode, problem
from fractal_lba.server.core.inbox_frame import BATCH, Received
from fractal_lba.server.core.inbox_retention import Evidence
from fractal_lba.server.core.ndjson import encode_line
from fractal_lba.server.core.ring import Ring, ShardSpec
from fractal_lba.server.core.tenant_policy import Policies
from fractal_lba.server.pipeline.decide import Decider
from fractal_lba.server.pipeline.local import LocalShard
from fractal_lba.server.pipeline.pace import Pace
from fractal_lba.server.pipeline.quota import Quotas
from fractal_lba.server.pipeline.resolve import Resolver
from fractal_lba.server.pipeline.routed import Routed
from fractal_lba.server.pipeline.way import way_of
from fractal_lba.server.storage.judging import Judging
from fractal_lba.server.storage.replay import open_shard
from fractal_lba.server.telemetry.metrics import Metrics
from fractal_lba.wal import Stream
from fractal_lba.wal.group_commit import Bounds

if TYPE_CHECKING:
    from fractal_lba.server.pipeline.intake import Settled

START_NS: Final = 1_793_534_400_000_000_000
DATA_ID: Final = "0" * 32
_SEGMENT_BYTES: Final = 300_000
_MAP_BYTES: Final = 1 << 22
_BOUNDS: Final = Bounds(items_max=4, bytes_max=1 << 20, queue_items_max=64, queue_bytes_max=1 << 24)
_FLUSH_RECORDS: Final = 3
_LEFT_OPEN_MAX: Final = 1_000
_SEGMENT_AGE_S: Final = 3.0
_EVIDENCE: Final = Evidence(age_ns=2_000_000_000, bytes_max=1 << 20)
_MEND_S: Final = 2.0
_TRIM_S: Final = 1.0
_METER: Final = Metrics()
"""One for every process: nobody reads it."""


class ServerMachine:
    """One machine with one data folder.

    Args:
        chance: Decides about its disk.
        ring: Every key there ever is.
        note: Takes each event.

    Attributes:
        happened: Faults by kind.
        offset_ns: By which its clock is wrong.
        params: What the next process judges by.
        unknown_kids: Keys that are not in its ring yet.
        room: Requests at once; see ``troubled_network``.
        count: Processes so far.
    """

    def __init__(
        self, chance: random.Random, ring: Keyring, *, note: Callable[[str], None]
    ) -> None:
        self.disk: Final = MemoryDisk(Path("/m"), chance)
        self.happened: Final = self.disk.happened
        self.offset_ns = 0
        self.params = CURRENT_PARAMS
        self.unknown_kids: set[str] = set()
        self.room = 1_000
        self._data: Final = Path("/m/data")
        self._shards: Final = ("shard-0", "shard-1")
        self.truth: Final = Truth(self.disk, self._data, self._shards, ring)
        self._files: Final = {name: IndexFile() for name in self._shards}
        self._ring = ring
        self._chance = chance
        self._note = note
        self._processes: list[tuple[Process, ProcessDisk]] = []
        self._runs: list[Run] = []
        self._stops: dict[Process, asyncio.Event] = {}
        self._waiting: dict[asyncio.Future[Any], Process] = {}
        self.count = 0

    @property
    def is_up(self) -> bool:
        """Whether a process is there, serving or not."""
        return bool(self._processes)

    @property
    def is_settled(self) -> bool:
        """Whether one process serves, and nothing is open in it."""
        return len(self._runs) == 1 and not self._waiting and self._runs[0].is_settled

    @property
    def is_serving(self) -> bool:
        return any(run.is_taking() for run in self._runs)

    def now_ns(self) -> int:
        """Return the machine's time."""
        return START_NS + self.offset_ns + int(asyncio.get_running_loop().time() * 1e9)

    def start(self, strikes: Sequence[Strike] = (), *, ends_at_step: int | None = None) -> None:
        """Start a process, beside one that is still ending or not."""
        self.count += 1
        disk = ProcessDisk(self.disk, strikes, self.now_ns)
        process = Process(f"server {self.count}", on_end=self._ended, ends_at_step=ends_at_step)
        disk.process = process
        self._processes.append((process, disk))
        self._note(f"{process.name} starts")
        stop = asyncio.Event()
        self._stops[process] = stop
        process.start(self._serve(process, disk, stop))

    def kill(self) -> None:
        """End every process."""
        for process, _ in list(self._processes):
            process.end("killed")

    def drain(self) -> None:
        """Ask every process for a graceful end."""
        for stop in self._stops.values():
            stop.set()

    def cut_power(self) -> None:
        """End every process and what no sync made durable."""
        self.kill()
        self.truth.hold_all()
        cut_power(self.disk, self._chance)
        self.happened["power cut of the server"] += 1
        for file in self._files.values():
            self.happened[file.cut_power(self._chance)] += 1
        self._note("the server's power is cut")

    def hold(self) -> None:
        """Hold everything to what is true."""
        self.truth.hold_all()
        for shard, file in self._files.items():
            index = MemoryIndex(file, shard=shard, data_id=None)
            self.truth.hold_index(shard, index, is_whole=False)
        for run in self._runs:
            if not self._waiting and run.is_settled:
                self._hold_settled(run)

    async def submit(self, body: bytes) -> ClientAnswer:
        """See ``agent.ports.Server``."""

        async def handle(run: Run) -> Answer:
            settled = await run.way.intake.receive(body, Received())
            self.truth.answered(body, settled.answer)
            return settled.answer

        return client_answer(await self._handled(handle))

    async def batch(self, bodies: Sequence[bytes]) -> BatchAnswer:
        """See ``agent.ports.Server``."""
        whole = joined(bodies)

        async def handle(run: Run) -> Answer | bytes:
            ends: list[Settled] = []
            settled = await run.way.batches.receive(
                whole, Received(route=BATCH), ends.append, whose="somebody"
            )
            if settled.refusal is not None:
                return settled.refusal
            for body, end in zip(bodies, ends, strict=True):
                self.truth.answered(body, end.answer)
            return b"".join(encode_line(end.answer, "a-request") for end in ends)

        answer = await self._handled(handle)
        if isinstance(answer, Answer):
            return BatchAnswer(refusal=client_answer(answer))
        return BatchAnswer(lines=read_lines(answer, len(bodies)))

    async def _handled(self, handle: Callable[[Run], Coroutine[Any, Any, Any]]) -> Any:  # noqa: ANN401 - whatever it answers
        if not self._runs:
            raise UnavailableError("expected an answer, got none")
        # One socket, shared by whoever serves.
        run = self._chance.choice([run for run in self._runs if run.is_taking()] or self._runs)
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

    async def _serve(self, process: Process, disk: ProcessDisk, stop: asyncio.Event) -> None:
        try:
            async with self._opened(process, disk, stop) as run:
                await run.way.mender.settle_left_open()
                self._note(f"{process.name} recovered")
                if run.is_settled:
                    self._hold_settled(run)
                self._runs.append(run)
                background = [
                    asyncio.create_task(run.way.mender.run(interval_s=_MEND_S)),
                    asyncio.create_task(run.way.mender.trim(interval_s=_TRIM_S)),
                ]
                await stop.wait()
                self._note(f"{process.name} drains")
                if under_way := [each for each, of in self._waiting.items() if of is process]:
                    await asyncio.wait(under_way)
                for task in background:
                    task.cancel()
        except (DurabilityError, ContractError) as error:
            self._note(f"{process.name} cannot go on: {type(error).__name__}")
        except Exception as error:  # noqa: BLE001 - told
            self.truth.bug(error)
        process.end("ended")

    @asynccontextmanager
    async def _opened(
        self, process: Process, disk: ProcessDisk, stop: asyncio.Event
    ) -> AsyncIterator[Run]:
        """Open the folder as ``app`` does, and close it in good order."""
        name = names.inbox(0)
        stream = await asyncio.to_thread(
            Stream.open,
            disk,
            self._data / name,
            name,
            segment_bytes_max=names.INBOX_SEGMENT_BYTES_MIN,
            frame_bytes_max=names.INBOX_FRAME_BYTES_MAX,
            segment_age_max_s=_SEGMENT_AGE_S,
        )
        inbox = WatchedInbox(
            stream,
            meter=_METER,
            bounds=_BOUNDS,
            evidence=_EVIDENCE,
            clock=self.now_ns,
            truth=self.truth,
        )
        await inbox.load()
        indexes: dict[str, MemoryIndex] = {}
        shards = {name: await self._shard(name, disk, indexes) for name in self._shards}
        policies = Policies()
        own: dict[str, LocalShard] = {}
        decisions = Routed(Ring([ShardSpec(name=name) for name in shards]), own)
        quotas = Quotas(decisions, policies=policies, monotonic=lambda: 0)
        for shard_name, shard in shards.items():
            decider = Decider(
                shard,
                params={VERSION: self.params},
                region="here",
                policies=policies,
                quotas=quotas,
            )
            resolver = Resolver(shard, clock=self.now_ns)
            own[shard_name] = LocalShard(shard_name, shard, decider=decider, resolver=resolver)
        note = self._data / names.judging(name)
        judging = Judging(disk, note, meter=_METER, clock=self.now_ns)
        await judging.load()
        way = way_of(
            inbox,
            shards=shards,
            decisions=decisions,
            keyring=self._keyring,
            policies=policies,
            clock=self.now_ns,
            meter=_METER,
            judging=judging,
            trial=survived,
            bounds=_BOUNDS,
            pace=Pace(1),
            batches_at_once_max=2,
            left_open_max=_LEFT_OPEN_MAX,
        )
        yield Run(
            process=process,
            inbox=inbox,
            shards=shards,
            indexes=indexes,
            way=way,
            is_taking=lambda: not stop.is_set(),
        )
        await way.intake.close()
        for shard in shards.values():
            await shard.close()
        await inbox.close()

    async def _shard(
        self, name: str, disk: ProcessDisk, indexes: dict[str, MemoryIndex]
    ) -> WatchedShard:
        files = await asyncio.to_thread(
            partial(
                open_shard,
                disk,
                self._data / name,
                segment_bytes_max=_SEGMENT_BYTES,
                segment_age_max_s=_SEGMENT_AGE_S,
                map_bytes=_MAP_BYTES,
                data_id=DATA_ID,
                open_index=partial(self._open_index, disk, indexes),
            )
        )
        self.truth.hold(files.damage == (), Law.NOBODY_NEEDED, files.damage)
        self.truth.hold(files.index.losses == (), Law.NOTHING_LOST, files.index.losses)
        return WatchedShard(
            files, meter=_METER, bounds=_BOUNDS, flush_records=_FLUSH_RECORDS, truth=self.truth
        )

    def _open_index(
        self,
        disk: ProcessDisk,
        indexes: dict[str, MemoryIndex],
        folder: Path,
        *,
        map_bytes: int,
        data_id: str | None,
    ) -> MemoryIndex:
        del map_bytes
        shard = folder.parent.name

        def commit(act: Callable[[], None]) -> None:
            disk.do(Call("datasync", "index"), act)

        indexes[shard] = MemoryIndex(self._files[shard], shard=shard, data_id=data_id, gate=commit)
        return indexes[shard]

    def _keyring(self) -> Keyring:
        keys = {kid: key for kid, key in self._ring.keys.items() if kid not in self.unknown_kids}
        return Keyring(keys=keys, tokens={})

    def _hold_settled(self, run: Run) -> None:
        self.truth.hold_settled()
        for shard, index in run.indexes.items():
            self.truth.hold_index(shard, index, is_whole=True)

    def _ended(self, process: Process, why: str) -> None:
        self.happened[f"server {why}"] += 1
        for each, disk in self._processes:
            if each is process:
                disk.abandon()
                calls, turns = len(disk.calls), process.steps
                self._note(f"{process.name} {why}: {calls} calls of its disk, {turns} turns")
        self._processes = [each for each in self._processes if each[0] is not process]
        self._runs = [run for run in self._runs if run.process is not process]
        del self._stops[process]
        for answer, of in list(self._waiting.items()):
            if of is process:
                del self._waiting[answer]
                if not answer.done():
                    answer.set_exception(UnavailableError("expected an answer, got none"))
        self.truth.hold_all()
