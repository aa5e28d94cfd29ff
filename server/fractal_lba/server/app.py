"""The composition root: adapters meet ports, nothing else."""

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from fractal_lba.keyfile import load_keyring
from fractal_lba.protocol.document import RECORD_BYTES_MAX
from fractal_lba.protocol.judge import CURRENT_PARAMS, Params
from fractal_lba.protocol.record import VERSION
from fractal_lba.protocol.versions import IN_FORCE
from fractal_lba.server.config import (
    Settings,
    policies,
    resolve,
    secret_value,
)
from fractal_lba.server.core import names
from fractal_lba.server.core.admission import Rate
from fractal_lba.server.core.cursor import Cursors
from fractal_lba.server.core.disk_budget import Budget
from fractal_lba.server.core.ndjson import BATCH_BYTES_MAX
from fractal_lba.server.http.admit import Admission, Bounded
from fractal_lba.server.http.batch import Batch
from fractal_lba.server.http.bytes_in_flight import BytesInFlight
from fractal_lba.server.http.lanes import LaneBounds, Unidentified
from fractal_lba.server.http.limits import Addresses
from fractal_lba.server.http.list import Exports, Lists
from fractal_lba.server.http.open_files import allow_open_files
from fractal_lba.server.http.openapi import Description
from fractal_lba.server.http.operations import Operations
from fractal_lba.server.http.read import Read
from fractal_lba.server.http.refusals import Refusals
from fractal_lba.server.http.resolve import Resolve
from fractal_lba.server.http.serve import bind, serve
from fractal_lba.server.http.settled_log import SettledLog
from fractal_lba.server.http.shares import Shares
from fractal_lba.server.http.submit import Submit
from fractal_lba.server.jobs.scrub import Scrubber
from fractal_lba.server.pipeline.batch import LINES_AT_ONCE_MAX, Batches
from fractal_lba.server.pipeline.decide import Decider
from fractal_lba.server.pipeline.intake import Intake
from fractal_lba.server.pipeline.local import LocalShard
from fractal_lba.server.pipeline.pace import Pace
from fractal_lba.server.pipeline.quota import Quotas
from fractal_lba.server.pipeline.recover import Mender
from fractal_lba.server.pipeline.resolve import Resolver
from fractal_lba.server.ports import Decisions
from fractal_lba.server.storage import data_folder
from fractal_lba.server.storage.disk_room import DiskRoom
from fractal_lba.server.storage.inbox import InboxLog
from fractal_lba.server.storage.keyring_file import KeyringFile
from fractal_lba.server.storage.look import Look
from fractal_lba.server.storage.open_logs import Logs
from fractal_lba.server.storage.provision import Provisioned, provision
from fractal_lba.server.storage.tls_files import TlsFiles, TlsPaths, load_context
from fractal_lba.server.storage.trial_process import TrialProcess
from fractal_lba.server.telemetry.metrics import CONTENT_TYPE, Metrics
from fractal_lba.wal import Disk, RealDisk, lock_folder
from fractal_lba.wal.group_commit import Bounds

_VERIFIED_AT_ONCE_MAX = 32

_SWITCH_INTERVAL_S = 0.0005
"""How long a thread that computes may keep the others from running. A record passes several: with
Python's 5 ms it waits for as long at each of them beside one dear body."""

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
    """

    def __init__(  # noqa: PLR0913 - each is named at the call
        self,
        settings: Settings,
        base: Path,
        *,
        disk: Disk | None = None,
        params: Params = CURRENT_PARAMS,
        clock: Callable[[], int] = time.time_ns,
        trial: Sequence[str] = (sys.executable, "-m", "fractal_lba.server.trial"),
    ) -> None:
        self._trial = trial
        self._settings = settings
        self._base = base
        self._disk = disk or RealDisk()
        self._params = params
        self._clock = clock
        self._metrics = Metrics()
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._reload_tls = asyncio.Event()

    def stop(self) -> None:
        """Ask for a graceful end: stop accepting, finish what was accepted, write the marks."""
        self._stop.set()

    def reload(self) -> None:
        """Ask for keyring and TLS files to be loaded again; can be said at any time."""
        self._reload.set()
        self._reload_tls.set()

    async def run(self, announce: Callable[[str], None], *, accept_loss: bool = False) -> None:
        """Recover, serve until ``stop``, drain.

        Args:
            announce: Takes the URL once requests can be answered.
            accept_loss: The operator's word that ids lost to damage may be decided again.

        Raises:
            ContractError: The data folder or the keyring cannot be used; nothing was written.
            DurabilityError: The disk failed while opening, or another server holds the folder.
        """
        settings = self._settings
        allow_open_files(settings.connections_max)
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        credentials = _metrics_credentials(settings, self._base)
        data = resolve(self._base, settings, "data")
        shards = data_folder.check(data, settings.shards)
        async with AsyncExitStack() as stack:
            # Taken first: an address that is not to be had is known before the logs are opened.
            listener = bind(settings)
            stack.callback(listener.close)
            lock = lock_folder(self._disk, data)
            stack.callback(lock.release)
            keyring = KeyringFile(resolve(self._base, settings, "keyring"), meter=self._metrics)
            paths = _tls_paths(settings, self._base)
            tls = None if paths is None else TlsFiles(paths, meter=self._metrics)
            logs = Logs(
                disk=self._disk,
                data=data,
                settings=settings,
                meter=self._metrics,
                bounds=self._bounds(),
                clock=self._clock,
            )
            inbox = await logs.inbox(stack)
            judging = await logs.judging()
            shard = await logs.shard(shards, stack, accept_loss=accept_loss)
            asked = policies(settings)
            decisions = LocalShard(
                shards.names[0],
                shard,
                decider=Decider(
                    shard,
                    params={**IN_FORCE, VERSION: self._params},
                    region=settings.region,
                    policies=asked,
                    quotas=Quotas(shard, policies=asked, monotonic=time.monotonic_ns),
                ),
                resolver=Resolver(shard, clock=self._clock),
            )
            pace = Pace(settings.unidentified_cpu_share)
            intake = Intake(
                inbox=inbox,
                decisions=decisions,
                keyring=keyring.current,
                policies=asked,
                clock=self._clock,
                meter=self._metrics,
                judging=judging,
                bounds=_verify_bounds(self._bounds()),
                pace=pace,
            )
            stack.push_async_callback(intake.close)
            batches = Batches(
                inbox=inbox,
                intake=intake,
                meter=self._metrics,
                at_once_max=settings.batches_at_once_max,
            )
            ring = resolve(self._base, settings, "keyring")
            mender = Mender(
                inbox=inbox,
                shard=shard,
                intake=intake,
                batches=batches,
                judging=judging,
                trial=TrialProcess([*self._trial, str(ring)]),
                meter=self._metrics,
            )
            count = await mender.settle_left_open()
            _log.info("recovered what was left open", extra={"count": count})
            pace.begin()  # until now nobody could be kept waiting
            room = DiskRoom(
                data,
                budget=Budget(
                    used_max=settings.disk_bytes_max, free_min=settings.disk_free_bytes_min
                ),
                meter=self._metrics,
                monotonic=time.monotonic,
            )
            await room.look()
            admission = self._admission(inbox, decisions, room)
            scrubber = Scrubber(
                Look(
                    disk=self._disk,
                    data=data,
                    shards={shards.names[0]: shard},
                    inboxes=[names.inbox(0)],
                ),
                bytes_per_s=settings.scrub_bytes_per_s,
                interval_s=settings.scrub_interval_s,
                is_busy=lambda: admission.in_flight.count >= settings.scrub_pause_in_flight,
                meter=self._metrics,
            )
            settled_log = SettledLog()
            stack.callback(settled_log.flush)
            routes = [
                *Submit(
                    admission=admission,
                    intake=intake,
                    keyring=keyring.current,
                    meter=self._metrics,
                    settled_log=settled_log,
                ).routes(),
                *Batch(
                    admission=admission,
                    batches=batches,
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
                *Resolve(
                    admission=admission,
                    decisions=decisions,
                    keyring=keyring.current,
                ).routes(),
                *Operations(
                    admission=admission,
                    inbox=inbox,
                    decisions=decisions,
                    exposition=self._metrics.exposition,
                    exposition_type=CONTENT_TYPE,
                    metrics_credentials=credentials,
                ).routes(),
                *Description().routes(),
            ]
            async with asyncio.TaskGroup() as tasks:
                background = [
                    tasks.create_task(mender.run(interval_s=settings.mend_interval_s)),
                    tasks.create_task(mender.trim(interval_s=settings.inbox_trim_s)),
                    tasks.create_task(room.run(interval_s=settings.disk_poll_s)),
                    tasks.create_task(scrubber.run()),
                    tasks.create_task(
                        keyring.watch(self._reload, interval_s=settings.keyring_poll_s)
                    ),
                ]
                if tls is not None:
                    watching = tls.watch(self._reload_tls, interval_s=settings.keyring_poll_s)
                    background.append(tasks.create_task(watching))
                await serve(
                    listener,
                    routes,
                    settings=settings,
                    admission=admission,
                    announce=announce,
                    stop=self._stop,
                    tls=None if tls is None else tls.current,
                    meter=self._metrics,
                )
                for task in background:
                    task.cancel()

    def _bounds(self) -> Bounds:
        settings = self._settings
        queued = (
            2 * settings.requests_in_flight_max + settings.batches_at_once_max * LINES_AT_ONCE_MAX
        )
        return Bounds(
            items_max=settings.batch_records_max,
            bytes_max=settings.batch_bytes_max,
            # Everything in flight may wait in one queue, and recovery hands in one batch of its own
            # beside it; of a batch no more than the lines that are decided together.
            queue_items_max=queued,
            queue_bytes_max=max(queued * 65_536 * 2, settings.bytes_in_flight_max),
        )

    def _admission(self, inbox: InboxLog, decisions: Decisions, room: DiskRoom) -> Admission:
        settings = self._settings
        return Admission(
            inbox=inbox,
            decisions=decisions,
            room=room,
            addresses=Addresses(
                Rate(per_s=settings.address_rate_per_s, burst=settings.address_burst),
                addresses_max=settings.addresses_max,
            ),
            bounds=Bounded(
                body_timeout_s=settings.body_timeout_s,
                batch_timeout_s=settings.batch_timeout_s,
                requests_in_flight_max=settings.requests_in_flight_max,
                in_flight_per_address_max=settings.requests_in_flight_per_address_max,
                in_flight_per_tenant_max=settings.requests_in_flight_per_tenant_max,
                left_open_max=settings.left_open_max,
            ),
            bytes_in_flight=BytesInFlight(
                total_max=settings.bytes_in_flight_max,
                per_address_max=settings.bytes_in_flight_per_address_max,
                per_tenant_max=settings.bytes_in_flight_per_tenant_max,
                unidentified_max=settings.unidentified_bytes_in_flight_max,
            ),
            lane=_lane(settings),
            shares=Shares(settings.served_at_once_shared_max, monotonic=time.monotonic_ns),
            refusals=Refusals(settings.refusals_per_s, monotonic=time.monotonic_ns),
            meter=self._metrics,
        )


def _lane(settings: Settings) -> Unidentified:
    return Unidentified(
        LaneBounds(
            in_flight_max=settings.unidentified_in_flight_max,
            batches_max=settings.unidentified_batches_max,
            records=Rate(per_s=settings.unidentified_rate_per_s, burst=settings.unidentified_burst),
            bytes=Rate(per_s=settings.unidentified_bytes_per_s, burst=BATCH_BYTES_MAX),
        ),
        monotonic=time.monotonic_ns,
    )


def _verify_bounds(bounds: Bounds) -> Bounds:
    # Small pieces: what is verified now is what everybody waits for, and 64 KiB of numbers take
    # 15 ms.
    return replace(bounds, items_max=_VERIFIED_AT_ONCE_MAX, bytes_max=RECORD_BYTES_MAX)


def _metrics_credentials(settings: Settings, base: Path) -> tuple[str, str] | None:
    if not settings.metrics_user:
        return None
    password = secret_value("metrics_password", settings.metrics_password, base)
    return settings.metrics_user, password


def _tls_paths(settings: Settings, base: Path) -> TlsPaths | None:
    if not settings.tls_certificate:
        return None
    return TlsPaths(
        certificate=resolve(base, settings, "tls_certificate"),
        key=resolve(base, settings, "tls_key"),
        client_ca=resolve(base, settings, "tls_client_ca") if settings.tls_client_ca else None,
        is_client_required=settings.tls_client_required,
    )


def check(settings: Settings, base: Path) -> None:
    """Check what the settings name: keyring, data folder, TLS files, the metrics password.

    Raises:
        ContractError: One of them cannot be used.
    """
    _metrics_credentials(settings, base)
    data_folder.check(resolve(base, settings, "data"), settings.shards)
    load_keyring(resolve(base, settings, "keyring"))
    if (paths := _tls_paths(settings, base)) is not None:
        load_context(paths)


def initialise(folder: Path) -> Provisioned:
    """Make a folder to run from (see ``provision``)."""
    return provision(RealDisk(), folder)
