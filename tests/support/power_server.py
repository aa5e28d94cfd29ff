"""The server's logs and its pipeline over a disk that loses power: intake, ledger, index, recovery.

Everything between a body's arrival and its answer is the server's own code; HTTP is not there. LMDB
is a real file, which is in one piece after each of its commits: what it promises. A cut leaves the
index as it is, as any earlier commit left it, or not at all; the ledger has to bring it up again.
"""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import lmdb
import pytest
from tests.support.failing_disk import Crash, FailingDisk
from tests.support.inline_threads import InlineExecutor, quiet, without_threads
from tests.support.load import conflict_of, forged_of, id_of, record_of
from tests.support.memory_disk import MemoryDisk
from tests.support.power_runs import Invariant, Kind, hold
from tests.support.signed import ACME
from tests.support.virtual_time import run_virtual

from fractal_lba.protocol.judge import CURRENT_PARAMS
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.protocol.record import VERSION
from fractal_lba.server.core import names
from fractal_lba.server.core.answer import Answer
from fractal_lba.server.core.entry import Decision, decode_entry
from fractal_lba.server.core.inbox_frame import Received
from fractal_lba.server.core.ring import Ring, ShardSpec
from fractal_lba.server.core.tenant_policy import Policies
from fractal_lba.server.pipeline.batch import Batches
from fractal_lba.server.pipeline.decide import Decider
from fractal_lba.server.pipeline.intake import Intake
from fractal_lba.server.pipeline.local import LocalShard
from fractal_lba.server.pipeline.pace import Pace
from fractal_lba.server.pipeline.quota import Quotas
from fractal_lba.server.pipeline.recover import Mender
from fractal_lba.server.pipeline.resolve import Resolver
from fractal_lba.server.pipeline.routed import Routed
from fractal_lba.server.ports import InboxFrame
from fractal_lba.server.storage.data_folder import ShardSet
from fractal_lba.server.storage.fsck import check_folder
from fractal_lba.server.storage.inbox import InboxLog
from fractal_lba.server.storage.judging import Judging
from fractal_lba.server.storage.replay import open_shard
from fractal_lba.server.storage.shard import ShardStore
from fractal_lba.server.telemetry.metrics import Metrics
from fractal_lba.wal import Damage, Stream, scan_folder
from fractal_lba.wal.group_commit import Bounds

SHARD: Final = "shard-0"
DATA_ID: Final = "0" * 32
_NOW_NS: Final = 1_793_534_400_000_000_000
_MAP_BYTES: Final = 1 << 22
_SEGMENT_BYTES: Final = 300_000
_ROUNDS: Final = 4
_MENDINGS_MAX: Final = 4
_IDLE_S: Final = 0.2
_LOOK_S: Final = 1.0
_LOOKS_MAX: Final = 100
_BOUNDS: Final = Bounds(items_max=4, bytes_max=1 << 20, queue_items_max=64, queue_bytes_max=1 << 24)
_FLUSH_RECORDS: Final = 3
_LEFT_OPEN_MAX: Final = 1_000
_DECIDED: Final = frozenset({200, 202, 422})
_BODIES: Final = {
    "new": cache(record_of),
    "conflict": cache(conflict_of),
    "forged": cache(forged_of),
}


@dataclass
class _Run:
    """One process, from its recovery to its end."""

    intake: Intake
    mender: Mender
    inbox: InboxLog
    shard: ShardStore


@dataclass
class ServerScenario:
    """One data folder; what was answered is known.

    Attributes:
        answers: epoch → the first answer of its record.
        conflicts: the epochs whose conflict was answered.
        rounds: of requests that come together, in each life.
    """

    memory: MemoryDisk
    chance: random.Random
    answers: dict[int, Answer] = field(default_factory=dict)
    conflicts: set[int] = field(default_factory=set)
    rounds: int = _ROUNDS
    epochs: int = 0
    environments: list[lmdb.Environment] = field(default_factory=list)
    _numbers: dict[int, str] = field(default_factory=dict)
    _commits: list[bytes] = field(default_factory=list)

    @property
    def _data(self) -> Path:
        return self.memory.root / "data"

    @property
    def _index(self) -> Path:
        return self._data / SHARD / names.INDEX

    def live(self, disk: FailingDisk) -> None:
        self._data.joinpath(SHARD).mkdir(parents=True, exist_ok=True)
        run_virtual(self._process(disk, self._serve(disk)))

    def check(self, disk: FailingDisk, *, is_last: bool) -> None:
        if self.memory.happened["power cut"] > self._cuts:
            self._cuts = self.memory.happened["power cut"]
            self._cut_index()
        run_virtual(self._process(disk, self._ask_again(disk, everything=is_last)))
        self._hold_ledger(disk)
        if is_last:
            shards = ShardSet(
                format_version=1, data_id=DATA_ID, ring_version=1, shards=(ShardSpec(name=SHARD),)
            )
            report = check_folder(disk, self._data, shards=shards, map_bytes=_MAP_BYTES)
            hold(report.is_sound, Invariant.NOBODY_NEEDED, report.problems)
            hold(report.stored_twice == 0, Invariant.NOTHING_TWICE, report.stored_twice)
            hold(report.undecided_inbox == 0, Invariant.NOTHING_LOST, report.undecided_inbox)

    _cuts: int = 0

    async def _process(self, disk: FailingDisk, main: Coroutine[Any, Any, None]) -> None:
        """Run one process; end it with what its disk ended, whatever waits for that."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(quiet)
        loop.set_default_executor(InlineExecutor())
        task = loop.create_task(main)
        try:
            for _ in range(_LOOKS_MAX):
                if (await asyncio.wait({task}, timeout=_LOOK_S))[0]:
                    break
                _end_if_over(disk)
            _end_if_over(disk)
            hold(task.done(), Invariant.NOBODY_NEEDED, task.get_stack())
            await task
        finally:
            task.cancel()
            await asyncio.wait({task})
            while self.environments:
                self.environments.pop().close()

    async def _serve(self, disk: FailingDisk) -> None:
        async with self._opened(disk) as run:
            await self._mend(run)
            for _ in range(self.rounds):
                requests = [self._next() for _ in range(self.chance.randint(1, 3))]
                replies = await asyncio.gather(
                    *(
                        run.intake.receive(_BODIES[kind](epoch), Received())
                        for kind, epoch in requests
                    )
                )
                for (kind, epoch), settled in zip(requests, replies, strict=True):
                    self._take(kind, epoch, settled.answer)
                if self.chance.random() < 0.3:
                    await asyncio.sleep(_IDLE_S)
                await self._mend(run)
                self._note_commit()

    async def _ask_again(self, disk: FailingDisk, *, everything: bool) -> None:
        """What was answered is answered as before, and nothing is left open."""
        async with self._opened(disk) as run:
            hold(run.inbox.left_open() == [], Invariant.NOTHING_LOST, run.inbox.left_open())
            asked = sorted(self.answers)
            if not everything:
                asked = self.chance.sample(asked, min(3, len(asked)))
            for epoch in asked:
                again = (await run.intake.receive(_BODIES["new"](epoch), Received())).answer
                first = self.answers[epoch]
                is_same = (again.status, again.body, again.received_ns) == (
                    *(first.status, first.body, first.received_ns),
                )
                hold(is_same and again.is_replayed, Invariant.NOTHING_LOST, (epoch, again))
        self._note_commit()

    @asynccontextmanager
    async def _opened(self, disk: FailingDisk) -> AsyncIterator[_Run]:
        """Open a folder as the server does; close it unless the process was ended."""
        meter = Metrics()
        name = names.inbox(0)
        stream = Stream.open(
            disk,
            self._data / name,
            name,
            segment_bytes_max=names.INBOX_SEGMENT_BYTES_MIN,
            frame_bytes_max=names.INBOX_FRAME_BYTES_MAX,
        )
        inbox = InboxLog(stream, meter=meter, bounds=_BOUNDS)
        await inbox.load()
        files = open_shard(
            disk,
            self._data / SHARD,
            segment_bytes_max=_SEGMENT_BYTES,
            map_bytes=_MAP_BYTES,
            data_id=DATA_ID,
        )
        hold(files.damage == (), Invariant.NOBODY_NEEDED, files.damage)
        hold(files.index.losses == (), Invariant.NOTHING_LOST, files.index.losses)
        shard = ShardStore(files, meter=meter, bounds=_BOUNDS, flush_records=_FLUSH_RECORDS)
        policies = Policies()
        own: dict[str, LocalShard] = {}
        decisions = Routed(Ring([ShardSpec(name=SHARD)]), own)
        own[SHARD] = LocalShard(
            SHARD,
            shard,
            decider=Decider(
                shard,
                region="here",
                policies=policies,
                quotas=Quotas(decisions, policies=policies, monotonic=lambda: 0),
            ),
            resolver=Resolver(shard, clock=lambda: _NOW_NS),
        )
        judging = Judging(
            disk, self._data / names.judging(names.inbox(0)), meter=meter, clock=lambda: _NOW_NS
        )
        await judging.load()
        keyring = Keyring(keys={ACME.kid: ACME.key}, tokens={})
        intake = Intake(
            inbox=inbox,
            decisions=decisions,
            keyring=lambda: keyring,
            params={VERSION: CURRENT_PARAMS},
            policies=policies,
            clock=lambda: _NOW_NS,
            meter=meter,
            judging=judging,
            bounds=_BOUNDS,
            pace=Pace(1),
            left_open_max=_LEFT_OPEN_MAX,
        )
        batches = Batches(inbox=inbox, intake=intake, meter=meter, at_once_max=1)
        mender = Mender(
            inbox=inbox,
            shards={SHARD: shard},
            decisions=decisions,
            intake=intake,
            batches=batches,
            judging=judging,
            trial=_survived,
            meter=meter,
        )
        await mender.settle_left_open()
        yield _Run(intake, mender, inbox, shard)
        await intake.close()
        await shard.close()
        await inbox.close()

    async def _mend(self, run: _Run) -> None:
        for _ in range(_MENDINGS_MAX):
            if not (run.inbox.fenced_by or run.shard.fenced_by or run.inbox.left_open()):
                break
            await run.mender.mend()

    def _next(self) -> tuple[str, int]:
        known = list(self.answers)
        dice = self.chance.random()
        if known and dice < 0.15:
            return "new", self.chance.choice(known)
        if known and dice < 0.3:
            return "conflict", self.chance.choice(known)
        self.epochs += 1
        return ("forged", 1_000 + self.epochs) if dice > 0.9 else ("new", self.epochs)

    def _take(self, kind: str, epoch: int, answer: Answer) -> None:
        if answer.status == 503:
            return
        match kind:
            case "new":
                hold(answer.status in _DECIDED, Invariant.NOTHING_ELSE, answer)
                first = self.answers.setdefault(epoch, answer)
                hold(answer.body == first.body, Invariant.NOTHING_LOST, (epoch, answer))
            case "conflict":
                hold(answer.status == 409, Invariant.NOTHING_LOST, (epoch, answer))
                self.conflicts.add(epoch)
            case _:
                hold(answer.status == 401, Invariant.NOTHING_ELSE, answer)

    def _hold_ledger(self, disk: FailingDisk) -> None:
        """One decision for each id, under a number that stays its own, and every evidence."""
        found: dict[int, str] = {}
        evidence: set[str] = set()
        decided: list[str] = []
        for item in scan_folder(disk, self._data / SHARD / names.LEDGER, f"{SHARD}/{names.LEDGER}"):
            hold(not isinstance(item, Damage), Invariant.NOTHING_LOST, item)
            if isinstance(item, Damage):
                continue
            entry = decode_entry(item[1].meta, item[1].payload)
            found[item[1].seq] = entry.pcs_id
            if isinstance(entry, Decision):
                decided.append(entry.pcs_id)
            else:
                evidence.add(entry.pcs_id)
        hold(len(set(decided)) == len(decided), Invariant.NOTHING_TWICE, decided)
        hold(
            {id_of(epoch) for epoch in self.conflicts} <= evidence, Invariant.NOTHING_LOST, evidence
        )
        changed = {seq for seq, pcs_id in self._numbers.items() if found.get(seq) != pcs_id}
        hold(not changed, Invariant.NO_NUMBER_TWICE, changed)
        self._numbers = found

    def _note_commit(self) -> None:
        """Keep what the index is now: each commit of LMDB is whole."""
        path = self._index / "data.mdb"
        if path.exists() and (data := path.read_bytes()) not in self._commits[-1:]:
            self._commits.append(data)

    def _cut_index(self) -> None:
        """Leave of the index what a power cut may, and more: any commit, or none."""
        self._note_commit()
        dice = self.chance.random()
        if dice < 0.5 or not self._commits:
            return
        shutil.rmtree(self._index)
        if dice < 0.8:
            self.memory.happened["index of an earlier commit"] += 1
            self._index.mkdir()
            (self._index / "data.mdb").write_bytes(self.chance.choice(self._commits))
        else:
            self.memory.happened["index gone"] += 1


async def _survived(_frames: Sequence[InboxFrame]) -> list[bytes]:
    """Find no poison: here processes end by themselves."""
    return []


def _end_if_over(disk: FailingDisk) -> None:
    """End with the process: a background task may have met its end first."""
    if disk.has_ended:
        raise Crash("the process ended")


@contextmanager
def _scenario(
    memory: MemoryDisk, chance: random.Random, *, rounds: int = _ROUNDS
) -> Iterator[ServerScenario]:
    scenario = ServerScenario(memory, chance, rounds=rounds)
    opened = lmdb.open

    def note(*args: Any, **settings: Any) -> lmdb.Environment:  # noqa: ANN401 - passed on
        scenario.environments.append(opened(*args, **settings))
        return scenario.environments[-1]

    with without_threads(), pytest.MonkeyPatch.context() as monkeypatch:
        # What a process leaves open, its end closes.
        monkeypatch.setattr(lmdb, "open", note)
        yield scenario


SERVER: Final = Kind(name="server", make=_scenario, calls=90, changes=40)
BRIEF: Final = Kind(name="server", make=partial(_scenario, rounds=1), calls=60, changes=20)
"""A server that is asked once only: little is on its disk."""
