"""The composition root: adapters meet ports, nothing else."""

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from aiohttp import web

from fractal_lba.keyfile import load_keyring
from fractal_lba.protocol.judge import CURRENT_PARAMS, Params
from fractal_lba.protocol.record import VERSION
from fractal_lba.protocol.versions import IN_FORCE
from fractal_lba.server.config import (
    Settings,
    budget_of,
    divided,
    metrics_credentials,
    policies,
    resolve,
    shard_specs,
)
from fractal_lba.server.core import names
from fractal_lba.server.core.cursor import Cursors
from fractal_lba.server.core.ring import Ring, ShardSpec
from fractal_lba.server.core.workers import shards_of
from fractal_lba.server.http.admit import Admission
from fractal_lba.server.http.admitted import admission_of
from fractal_lba.server.http.batch import Batch
from fractal_lba.server.http.list import Exports, Lists
from fractal_lba.server.http.open_files import allow_open_files
from fractal_lba.server.http.openapi import Description
from fractal_lba.server.http.operations import Operations, Troubles
from fractal_lba.server.http.read import Read
from fractal_lba.server.http.resolve import Resolve
from fractal_lba.server.http.serve import bind, serve
from fractal_lba.server.http.settled_log import SettledLog
from fractal_lba.server.http.submit import Submit
from fractal_lba.server.jobs.upkeep import is_settled, upkeep_of
from fractal_lba.server.peers.client import PeerBounds
from fractal_lba.server.peers.crew import Crew
from fractal_lba.server.peers.folder import counts, listen
from fractal_lba.server.peers.quotas import SharedQuotas
from fractal_lba.server.peers.serve import PeerServer
from fractal_lba.server.pipeline.bounds import commit_bounds, verify_bounds
from fractal_lba.server.pipeline.local import local_shard
from fractal_lba.server.pipeline.opening import OwnShards
from fractal_lba.server.pipeline.pace import Pace
from fractal_lba.server.pipeline.quota import Quotas
from fractal_lba.server.pipeline.routed import Routed
from fractal_lba.server.pipeline.way import Way, way_of
from fractal_lba.server.ports import Decisions
from fractal_lba.server.seat import ALONE, Seat
from fractal_lba.server.storage import data_folder
from fractal_lba.server.storage.data_folder import ShardSet
from fractal_lba.server.storage.disk_room import DiskRoom
from fractal_lba.server.storage.keyring_file import KeyringFile
from fractal_lba.server.storage.look import Look
from fractal_lba.server.storage.open_logs import Logs
from fractal_lba.server.storage.provision import Provisioned, provision
from fractal_lba.server.storage.tls_files import TlsFiles, TlsPaths, load_context
from fractal_lba.server.storage.trial_process import TrialProcess
from fractal_lba.server.telemetry.metrics import CONTENT_TYPE, Metrics
from fractal_lba.wal import Disk, RealDisk, lock_folder

_SWITCH_INTERVAL_S = 0.0005
"""How long a thread that computes may keep the others from running. A record passes several: with
Python's 5 ms it waits for as long at each of them beside one dear body."""

_HOLDER_WAIT_S = 10.0
"""For the workers of a supervisor that was killed: the kernel ends them with it, at its pace."""

_log = logging.getLogger(__name__)


class Server:
    """One server over one data folder.

    Args:
        settings: Checked.
        base: The folder that paths in the settings are relative to.
        disk: Where logs are written.
        params: What new records of the current version are judged by.
        clock: Nanoseconds since 1970, read at each body's receipt.
        trial: The command that tries bodies which may have ended a process; the path of the
            keyring is put behind it.
        seat: Which of several workers this is.
    """

    def __init__(  # noqa: PLR0913 - each is named at the call
        self,
        settings: Settings,
        base: Path,
        *,
        disk: Disk | None = None,
        params: Params = CURRENT_PARAMS,
        clock: Callable[[], int] = time.time_ns,
        trial: Sequence[str] = (sys.executable, "-P", "-m", "fractal_lba.server.trial"),
        seat: Seat = ALONE,
    ) -> None:
        self._trial = trial
        self._whole = settings
        self._settings = divided(settings, seat.workers)
        self._seat = seat
        self._base = base
        self._disk = disk or RealDisk()
        self._params = params
        self._clock = clock
        shared = None if seat.workers == 1 else counts(resolve(base, settings, "data"))
        self._metrics = Metrics(seat, shared)
        self._troubles: Troubles | None = None
        self._stop = asyncio.Event()
        self._leave = asyncio.Event()
        self._reload = asyncio.Event()
        self._reload_tls = asyncio.Event()

    def stop(self) -> None:
        """Ask for a graceful end: stop accepting, finish what was accepted, write the marks."""
        self._stop.set()

    def leave(self) -> None:
        """Ask for an end that no caller notices: what is open goes on until its next answer."""
        self._leave.set()

    def troubles(self) -> list[str]:
        """Return why not everything of this process can be served; nothing before it serves."""
        return [] if self._troubles is None else self._troubles.reasons()

    def reload(self) -> None:
        """Ask for keyring and TLS files to be loaded again; can be said at any time."""
        self._reload.set()
        self._reload_tls.set()

    async def run(  # noqa: PLR0915 - one thing after the other, as each needs the one before
        self, announce: Callable[[str], None], *, accept_loss: bool = False
    ) -> None:
        """Recover, serve until ``stop``, drain.

        Args:
            announce: Takes the URL once requests can be answered.
            accept_loss: The operator's word that ids lost to damage may be decided again.

        Raises:
            ContractError: The data folder or the keyring cannot be used; nothing was written.
            DurabilityError: The disk failed while opening, or another server holds the folder.
        """
        seat, settings = self._seat, self._settings
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        credentials = metrics_credentials(settings, self._base)
        data = resolve(self._base, settings, "data")
        shards = data_folder.check(data, shard_specs(settings.shards))
        allow_open_files(settings.connections_max, shards=len(shards.shards))
        async with AsyncExitStack() as stack:
            listener = seat.listener
            if listener is None:
                # Taken first: an address that is not to be had is known before logs are opened.
                listener = bind(settings)
                stack.callback(listener.close)
                lock = lock_folder(self._disk, data)
                stack.callback(lock.release)
            keyring = KeyringFile(resolve(self._base, settings, "keyring"), meter=self._metrics)
            tls = self._tls()
            logs = Logs(
                disk=self._disk,
                data=data,
                settings=settings,
                meter=self._metrics,
                bounds=commit_bounds(self._whole),
                clock=self._clock,
                holder_wait_s=_HOLDER_WAIT_S if seat.workers > 1 else 0.0,
            )
            asked = policies(settings)
            numbers = [seat.worker, *logs.left_inboxes(seat.worker, seat.workers)]
            inboxes = [await logs.inbox(number, stack) for number in numbers]
            bounds = PeerBounds.of(logs.bounds, timeout_s=settings.peer_timeout_s)
            crew = Crew(data, shards.data_id, seat, shards.names, bounds=bounds)
            every: dict[str, Decisions] = {}
            ring = Ring(shards.shards)
            decisions = Routed(ring, every)
            counted = Quotas(decisions, policies=asked, monotonic=time.monotonic_ns)
            quotas = SharedQuotas(counted, ring=ring, crew=crew)
            own = OwnShards(
                shards_of(seat.worker, seat.workers, shards.names),
                opened=partial(
                    logs.shard, data_id=shards.data_id, stack=stack, accept_loss=accept_loss
                ),
                decided=partial(
                    local_shard,
                    region=settings.region,
                    policies=asked,
                    quotas=quotas,
                    clock=self._clock,
                ),
                meter=self._metrics,
            )
            await own.open(is_alone=seat.workers == 1)
            every |= {name: own.decisions.get(name) or crew.shard(name) for name in shards.names}
            peers = PeerServer(
                own.decisions,
                hello=crew.hello,
                quotas=counted,
                requests_max=logs.bounds.queue_items_max,
            )
            pace = Pace(settings.unidentified_cpu_share)
            trial = TrialProcess([*self._trial, str(resolve(self._base, settings, "keyring"))])
            judgings = [await logs.judging(number) for number in numbers]
            ways = [
                way_of(
                    inbox,
                    shards=own.stores,
                    decisions=decisions,
                    keyring=keyring.current,
                    params={**IN_FORCE, VERSION: self._params},
                    policies=asked,
                    clock=self._clock,
                    meter=self._metrics,
                    judging=judging,
                    trial=trial,
                    bounds=verify_bounds(settings),
                    pace=pace,
                    batches_at_once_max=settings.batches_at_once_max,
                    left_open_max=settings.left_open_max,
                )
                for judging, inbox in zip(judgings, inboxes, strict=True)
            ]
            for way in ways:
                stack.push_async_callback(way.intake.close)
            room = self._room(data, len(shards.shards))
            await room.look()
            admission = admission_of(
                settings, inbox=inboxes[0], decisions=decisions, room=room, meter=self._metrics
            )
            self._troubles = Troubles(inboxes, own.decisions.values(), room)
            read = [names.inbox(number) for number in numbers]
            upkeep = upkeep_of(
                settings,
                look=Look(disk=self._disk, data=data, shards=own.stores, ring=ring, inboxes=read),
                shards=own.stores,
                may_forget=lambda: is_settled(inboxes, decisions),
                is_busy=lambda: admission.in_flight.count >= settings.scrub_pause_in_flight,
                clock=self._clock,
                meter=self._metrics,
            )
            settled_log = SettledLog()
            stack.callback(settled_log.flush)
            routes = self._routes(
                ways[0], decisions, admission, keyring, shards, settled_log, credentials
            )
            meeting = [peer.run() for peer in crew.peers.values()]
            if seat.workers > 1:
                meeting += [peers.run(listen(data, seat.worker))]
                meeting += [each.follow(interval_s=settings.mend_interval_s) for each in judgings]
            async with asyncio.TaskGroup() as tasks:
                reopening = own.run(every.__setitem__, interval_s=settings.mend_interval_s)
                background = [
                    *map(tasks.create_task, [*meeting, *upkeep, reopening]),
                    tasks.create_task(room.run(interval_s=settings.disk_poll_s)),
                    tasks.create_task(
                        keyring.watch(self._reload, interval_s=settings.keyring_poll_s)
                    ),
                ]
                if tls is not None:
                    watching = tls.watch(self._reload_tls, interval_s=settings.keyring_poll_s)
                    background.append(tasks.create_task(watching))
                # What was left open here may be of their shards; what they left open, of these.
                await crew.opened(peers, timeout_s=settings.peer_timeout_s)
                for way in ways:
                    count = await way.mender.settle_left_open()
                    _log.info("recovered what was left open", extra={"count": count})
                    background += [
                        tasks.create_task(way.mender.run(interval_s=settings.mend_interval_s)),
                        tasks.create_task(way.mender.trim(interval_s=settings.inbox_trim_s)),
                    ]
                pace.begin()  # until now nobody could be kept waiting
                await serve(
                    listener,
                    routes,
                    settings=settings,
                    admission=admission,
                    announce=announce,
                    stop=self._stop,
                    leave=self._leave,
                    tls=None if tls is None else tls.current,
                    meter=self._metrics,
                )
                await seat.drained()
                for task in background:
                    task.cancel()

    def _tls(self) -> TlsFiles | None:
        paths = _tls_paths(self._settings, self._base)
        return None if paths is None else TlsFiles(paths, meter=self._metrics)

    def _room(self, data: Path, shards: int) -> DiskRoom:
        return DiskRoom(
            data,
            budget=budget_of(self._settings, shards),
            meter=self._metrics,
            monotonic=time.monotonic,
        )

    def _routes(  # noqa: PLR0913, PLR0917 - what the calls need
        self,
        way: Way,
        decisions: Decisions,
        admission: Admission,
        keyring: KeyringFile,
        shards: ShardSet,
        settled_log: SettledLog,
        credentials: tuple[str, str] | None,
    ) -> list[web.RouteDef]:
        settings = self._settings
        assert self._troubles is not None  # noqa: S101 - known before anything is served
        return [
            *Submit(
                admission=admission,
                intake=way.intake,
                keyring=keyring.current,
                meter=self._metrics,
                settled_log=settled_log,
            ).routes(),
            *Batch(
                admission=admission,
                batches=way.batches,
                keyring=keyring.current,
                meter=self._metrics,
                settled_log=settled_log,
            ).routes(),
            *Read(decisions=decisions, keyring=keyring.current).routes(),
            *Lists(
                decisions=decisions,
                keyring=keyring.current,
                cursors=Cursors(shards.data_id, shards.names),
                admission=admission,
                exports=Exports(
                    total_max=settings.exports_max,
                    per_tenant_max=settings.exports_per_tenant_max,
                    stall_s=settings.export_stall_s,
                ),
            ).routes(),
            *Resolve(admission=admission, decisions=decisions, keyring=keyring.current).routes(),
            *Operations(
                admission=admission,
                troubles=self._troubles,
                decisions=decisions,
                others=self._seat.others,
                exposition=self._metrics.exposition,
                exposition_type=CONTENT_TYPE,
                metrics_credentials=credentials,
            ).routes(),
            *Description().routes(),
        ]


def _tls_paths(settings: Settings, base: Path) -> TlsPaths | None:
    if not settings.tls_certificate:
        return None
    return TlsPaths(
        certificate=resolve(base, settings, "tls_certificate"),
        key=resolve(base, settings, "tls_key"),
        client_ca=resolve(base, settings, "tls_client_ca") if settings.tls_client_ca else None,
        is_client_required=settings.tls_client_required,
    )


def check_data(settings: Settings, base: Path) -> ShardSet:
    """Check the data folder that the settings name; return its shards.

    Raises:
        ContractError: It cannot be used.
    """
    return data_folder.check(resolve(base, settings, "data"), shard_specs(settings.shards))


def check(settings: Settings, base: Path) -> None:
    """Check what the settings name: keyring, data folder, TLS files, the metrics password.

    Raises:
        ContractError: One of them cannot be used.
    """
    metrics_credentials(settings, base)
    check_data(settings, base)
    load_keyring(resolve(base, settings, "keyring"))
    if (paths := _tls_paths(settings, base)) is not None:
        load_context(paths)


def initialise(folder: Path, shards: Sequence[ShardSpec] = ()) -> Provisioned:
    """Make a folder to run from (see ``provision``)."""
    return provision(RealDisk(), folder, shards)
