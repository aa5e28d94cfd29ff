"""One process of a simulated server: what it opens, in the order of ``app``, and what it serves.

From a body's arrival to its answer everything is the server's own code; HTTP is not there. LMDB is
the index in memory, whose commits are calls of the disk like every other. Other workers are spoken
with over the sockets of the machine.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tests.support.failing_disk import Call
from tests.support.memory_index import IndexFile, MemoryIndex
from tests.support.sim_law import Law
from tests.support.sim_process import Process
from tests.support.sim_run import Run, survived
from tests.support.sim_sockets import LocalSockets
from tests.support.sim_truth import Truth
from tests.support.sim_watch import ProcessDisk, WatchedInbox, WatchedShard

from fractal_lba.protocol.errors import DurabilityError, LockedError
from fractal_lba.protocol.judge import Params
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.protocol.record import VERSION
from fractal_lba.server.core import names
from fractal_lba.server.core.inbox_retention import Evidence
from fractal_lba.server.core.ring import Ring, ShardSpec
from fractal_lba.server.core.tenant_policy import Policies
from fractal_lba.server.core.workers import left_inboxes_of, shards_of
from fractal_lba.server.jobs.expire import Expirer
from fractal_lba.server.jobs.upkeep import is_settled
from fractal_lba.server.peers.client import PeerBounds
from fractal_lba.server.peers.crew import Crew
from fractal_lba.server.peers.folder import socket_path
from fractal_lba.server.peers.quotas import SharedQuotas
from fractal_lba.server.peers.serve import PeerServer
from fractal_lba.server.pipeline.local import local_shard
from fractal_lba.server.pipeline.opening import OwnShards
from fractal_lba.server.pipeline.pace import Pace
from fractal_lba.server.pipeline.quota import Quotas
from fractal_lba.server.pipeline.routed import Routed
from fractal_lba.server.pipeline.way import way_of
from fractal_lba.server.seat import Seat
from fractal_lba.server.storage.judging import Judging
from fractal_lba.server.storage.replay import open_shard
from fractal_lba.server.telemetry.metrics import Metrics
from fractal_lba.wal import Stream, lock_folder
from fractal_lba.wal.group_commit import Bounds

if TYPE_CHECKING:
    from fractal_lba.server.ports import Decisions

_T = TypeVar("_T")

DATA_ID: Final = "0" * 32
PEER_TIMEOUT_S: Final = 2.0
_SEGMENT_BYTES: Final = 300_000
_MAP_BYTES: Final = 1 << 22
_BOUNDS: Final = Bounds(items_max=4, bytes_max=1 << 20, queue_items_max=64, queue_bytes_max=1 << 24)
_PEER_BOUNDS: Final = PeerBounds.of(_BOUNDS, timeout_s=PEER_TIMEOUT_S)
_FLUSH_RECORDS: Final = 3
_LEFT_OPEN_MAX: Final = 1_000
_SEGMENT_AGE_S: Final = 3.0
_EVIDENCE: Final = Evidence(age_ns=2_000_000_000, bytes_max=1 << 20)
_MEND_S: Final = 2.0
_TRIM_S: Final = 1.0
_HOLDER_WAIT_S: Final = 10.0
_LOCK_AGAIN_S: Final = 0.05
_EXPIRE_RECORDS: Final = 4
_METER: Final = Metrics()
"""One for every process: nobody reads it."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What every process of a machine is given."""

    data: Path
    shards: tuple[str, ...]
    truth: Truth
    files: Mapping[str, IndexFile]
    sockets: LocalSockets
    now_ns: Callable[[], int]
    keyring: Callable[[], Keyring]
    params: Callable[[], Params]
    policies: Policies
    note: Callable[[str], None]
    expire_s: float | None
    happened: Counter[str]


class _Counted:
    """Counts what is forgotten."""

    def __init__(self, happened: Counter[str]) -> None:
        self._happened = happened

    def forgot(self, records: int) -> None:
        self._happened["record forgotten"] += records

    def forgetting_is_behind(self, seconds: float) -> None:
        """Nobody reads it."""

    def ledger_removed(self, size: int) -> None:
        self._happened["ledger let go of a segment"] += size > 0


@asynccontextmanager
async def opened(
    machine: Machine, process: Process, disk: ProcessDisk, seat: Seat, stop: asyncio.Event
) -> AsyncIterator[Run]:
    """Open what a worker owns; give it once it may serve, and close it in good order."""
    shards = machine.shards
    async with AsyncExitStack() as stack:
        if seat.workers == 1:
            lock = await asyncio.to_thread(lock_folder, disk, machine.data)
            stack.callback(lock.release)
        numbers = [seat.worker, *_left_inboxes(machine, seat, disk)]
        inboxes = [await _inbox(machine, seat, number, process, disk, stack) for number in numbers]
        indexes: dict[str, MemoryIndex] = {}
        crew = Crew(machine.data, DATA_ID, seat, shards, bounds=_PEER_BOUNDS)
        policies = machine.policies
        every: dict[str, Decisions] = {}
        decisions = Routed(_ring(shards), every)
        counted = Quotas(decisions, policies=policies, monotonic=lambda: 0)
        quotas = SharedQuotas(counted, ring=_ring(shards), crew=crew)
        own = OwnShards(
            shards_of(seat.worker, seat.workers, shards),
            opened=lambda name: _shard(machine, seat, name, process, disk, indexes, stack),
            decided=partial(
                local_shard,
                region="here",
                policies=policies,
                quotas=quotas,
                clock=machine.now_ns,
            ),
            meter=_METER,
        )
        await own.open(is_alone=seat.workers == 1)
        every |= {name: own.decisions.get(name) or crew.shard(name) for name in shards}
        peers = PeerServer(
            own.decisions, hello=crew.hello, quotas=counted, requests_max=_BOUNDS.queue_items_max
        )
        ways = []
        for number, inbox in zip(numbers, inboxes, strict=True):
            note = machine.data / names.judging(names.inbox(number))
            judging = Judging(disk, note, meter=_METER, clock=machine.now_ns)
            await judging.load()
            way = way_of(
                inbox,
                shards=own.stores,
                decisions=decisions,
                keyring=machine.keyring,
                params={VERSION: machine.params()},
                policies=policies,
                clock=machine.now_ns,
                meter=_METER,
                judging=judging,
                trial=survived,
                bounds=_BOUNDS,
                pace=Pace(1),
                batches_at_once_max=2,
                left_open_max=_LEFT_OPEN_MAX,
            )
            stack.push_async_callback(way.intake.close)
            ways.append(way)
        async with asyncio.TaskGroup() as tasks:
            reopening = own.run(every.__setitem__, interval_s=_MEND_S)
            background = [tasks.create_task(reopening)]
            if seat.workers > 1:
                path = socket_path(machine.data, seat.worker)
                listener: Any = machine.sockets.listen(path, process)
                background.append(tasks.create_task(peers.run(listener)))
            background += [tasks.create_task(peer.run()) for peer in crew.peers.values()]
            if machine.expire_s is not None:
                expirer = Expirer(
                    own.stores,
                    may_forget=partial(is_settled, inboxes, decisions),
                    clock=machine.now_ns,
                    interval_s=machine.expire_s,
                    records_max=_EXPIRE_RECORDS,
                    meter=_Counted(machine.happened),
                    monotonic=asyncio.get_running_loop().time,
                )
                background.append(tasks.create_task(expirer.run()))
            await crew.opened(peers, timeout_s=PEER_TIMEOUT_S)
            for way in ways:
                await way.mender.settle_left_open()
                background += [
                    tasks.create_task(way.mender.run(interval_s=_MEND_S)),
                    tasks.create_task(way.mender.trim(interval_s=_TRIM_S)),
                ]
            yield Run(
                process=process,
                inboxes=inboxes,
                shards=own.stores,
                decisions=own.decisions,
                indexes=indexes,
                way=ways[0],
                is_taking=lambda: not stop.is_set(),
            )
            await seat.drained()
            for task in background:
                task.cancel()


def _left_inboxes(machine: Machine, seat: Seat, disk: ProcessDisk) -> list[int]:
    try:
        found = map(names.inbox_number, disk.names(machine.data))
    except OSError as error:  # whoever runs a worker takes it for what it is
        raise DurabilityError(str(error)) from error
    return left_inboxes_of(seat.worker, seat.workers, (at for at in found if at is not None))


async def _inbox(  # noqa: PLR0913, PLR0917 - what is opened, by whom, and where it is noted
    machine: Machine,
    seat: Seat,
    number: int,
    process: Process,
    disk: ProcessDisk,
    stack: AsyncExitStack,
) -> WatchedInbox:
    name = names.inbox(number)
    stream = await _held(
        seat,
        lambda: Stream.open(
            disk,
            machine.data / name,
            name,
            segment_bytes_max=names.INBOX_SEGMENT_BYTES_MIN,
            frame_bytes_max=names.INBOX_FRAME_BYTES_MAX,
            segment_age_max_s=_SEGMENT_AGE_S,
        ),
    )
    inbox = WatchedInbox(
        stream,
        meter=_METER,
        bounds=_BOUNDS,
        evidence=_EVIDENCE,
        clock=machine.now_ns,
        name=name,
        by=process,
        truth=machine.truth,
    )
    stack.push_async_callback(inbox.close)
    await inbox.load()
    return inbox


async def _shard(  # noqa: PLR0913, PLR0917 - what is opened, by whom, and where it is noted
    machine: Machine,
    seat: Seat,
    name: str,
    process: Process,
    disk: ProcessDisk,
    indexes: dict[str, MemoryIndex],
    stack: AsyncExitStack,
) -> WatchedShard:
    truth = machine.truth

    def open_index(folder: Path, *, map_bytes: int, data_id: str | None) -> MemoryIndex:
        del map_bytes
        shard = folder.parent.name

        def commit(act: Callable[[], None]) -> None:
            try:
                disk.do(Call("datasync", f"index of {shard}"), act)
            finally:
                truth.hold_index(shard, index, is_whole=False)

        index = MemoryIndex(machine.files[shard], shard=shard, data_id=data_id, gate=commit)
        indexes[shard] = index
        return index

    files = await _held(
        seat,
        partial(
            open_shard,
            disk,
            machine.data / name,
            segment_bytes_max=_SEGMENT_BYTES,
            segment_age_max_s=_SEGMENT_AGE_S,
            map_bytes=_MAP_BYTES,
            data_id=DATA_ID,
            open_index=open_index,
        ),
    )
    truth.owned(name, process)
    truth.hold(files.damage == (), Law.NOBODY_NEEDED, files.damage)
    truth.hold(files.index.losses == (), Law.NOTHING_LOST, files.index.losses)
    truth.hold_index(name, indexes[name], is_whole=True)
    shard = WatchedShard(
        files, meter=_METER, bounds=_BOUNDS, flush_records=_FLUSH_RECORDS, truth=truth
    )
    stack.push_async_callback(shard.close)
    return shard


async def _held(seat: Seat, opening: Callable[[], _T]) -> _T:
    """Open a stream; where its holder is on its way out, wait for that, as ``open_logs`` does."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + (_HOLDER_WAIT_S if seat.workers > 1 else 0.0)
    while True:
        try:
            return await asyncio.to_thread(opening)
        except LockedError:
            if loop.time() >= end_s:
                raise
            await asyncio.sleep(_LOCK_AGAIN_S)


@cache
def _ring(shards: tuple[str, ...]) -> Ring:
    return Ring([ShardSpec(name=name) for name in shards])
