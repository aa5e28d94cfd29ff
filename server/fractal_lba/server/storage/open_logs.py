"""Open what a server writes: recovered, reported, ready to take more."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from fractal_lba.protocol.errors import LockedError
from fractal_lba.server.config import Settings
from fractal_lba.server.core import names
from fractal_lba.server.core.inbox_retention import Evidence
from fractal_lba.server.core.workers import left_inboxes_of
from fractal_lba.server.ports import Clock, Meter
from fractal_lba.server.storage.inbox import InboxLog
from fractal_lba.server.storage.judging import Judging
from fractal_lba.server.storage.ledgers import check_ledger
from fractal_lba.server.storage.replay import ShardFiles, open_shard
from fractal_lba.server.storage.shard import ShardStore
from fractal_lba.wal import Damage, Disk, Stream
from fractal_lba.wal.group_commit import Bounds

_SEGMENTS_OF_EVIDENCE: Final = 24
"""Evidence goes by whole segments: so much of its time at the most is one segment's."""

_LOCK_AGAIN_S: Final = 0.05

_OpenedT = TypeVar("_OpenedT")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """The logs of one data folder, as the settings ask for them.

    ``bounds`` are of a commit and of what waits for one; ``holder_wait_s`` is how long a stream
    that is held is waited for. What is opened is closed with the stack.
    """

    disk: Disk
    data: Path
    settings: Settings
    meter: Meter
    bounds: Bounds
    clock: Clock
    holder_wait_s: float = 0.0

    async def inbox(self, worker: int, stack: AsyncExitStack) -> InboxLog:
        """Open a worker's inbox and find the bodies that are open.

        Raises:
            LockedError: Another process has it.
            DurabilityError: The disk failed.
        """
        settings = self.settings
        name = names.inbox(worker)

        def opened() -> Stream:
            return Stream.open(
                self.disk,
                self.data / name,
                name,
                segment_bytes_max=max(settings.segment_bytes_max, names.INBOX_SEGMENT_BYTES_MIN),
                frame_bytes_max=names.INBOX_FRAME_BYTES_MAX,
                reserve_bytes=settings.segment_reserve_bytes,
                segment_age_max_s=min(
                    settings.segment_age_s, settings.inbox_evidence_s / _SEGMENTS_OF_EVIDENCE
                ),
            )

        stream = await self._open(opened)
        inbox = InboxLog(
            stream,
            meter=self.meter,
            bounds=self.bounds,
            evidence=Evidence(
                age_ns=int(settings.inbox_evidence_s * 1e9),
                bytes_max=settings.inbox_evidence_bytes_max,
            ),
            clock=self.clock,
        )
        stack.push_async_callback(inbox.close)
        await inbox.load()
        self._report(stream, inbox.damage)
        return inbox

    async def judging(self, worker: int) -> Judging:
        """Read what is noted beside an inbox.

        Raises:
            ContractError: A newer program wrote it.
            DurabilityError: It cannot be read.
        """
        path = self.data / names.judging(names.inbox(worker))
        judging = Judging(self.disk, path, meter=self.meter, clock=self.clock)
        await judging.load()
        await judging.look_around()
        return judging

    def left_inboxes(self, worker: int, workers: int) -> list[int]:
        """Return the inboxes that have no worker of their own and belong to this one."""
        found = (names.inbox_number(name) for name in self.disk.names(self.data))
        return left_inboxes_of(worker, workers, (each for each in found if each is not None))

    async def shard(
        self, name: str, data_id: str, stack: AsyncExitStack, *, accept_loss: bool
    ) -> ShardStore:
        """Open a shard, its index brought up to its ledger.

        Raises:
            LockedError: Another process has it.
            DurabilityError: The disk or LMDB failed, or the shard's ledger is not there.
        """
        settings = self.settings

        def opened() -> ShardFiles:
            check_ledger(self.disk, self.data / name)
            return open_shard(
                self.disk,
                self.data / name,
                segment_bytes_max=settings.segment_bytes_max,
                segment_age_max_s=settings.segment_age_s,
                reserve_bytes=settings.segment_reserve_bytes,
                map_bytes=settings.index_map_bytes,
                data_id=data_id,
            )

        files = await self._open(opened)
        self._report(files.stream, files.damage)
        if accept_loss and files.index.losses:
            _log.warning(
                "loss accepted",
                extra={"stream": files.stream.name, "damage": files.index.losses},
            )
            files.index.accept_losses()
            await asyncio.to_thread(files.index.flush)
        shard = ShardStore(
            files,
            meter=self.meter,
            bounds=self.bounds,
            flush_records=settings.index_flush_records,
        )
        stack.push_async_callback(shard.close)
        return shard

    async def _open(self, opened: Callable[[], _OpenedT]) -> _OpenedT:
        """Open a stream; where its holder is on its way out, wait for that.

        The data folder is ours: who holds a stream of it can only be a worker of a supervisor that
        was killed, whose workers are killed with it.
        """
        end_s = time.monotonic() + self.holder_wait_s
        while True:
            try:
                return await asyncio.to_thread(opened)
            except LockedError:
                if time.monotonic() >= end_s:
                    raise
                await asyncio.sleep(_LOCK_AGAIN_S)

    def _report(self, stream: Stream, damage: tuple[Damage, ...]) -> None:
        recovery = stream.recovery
        self.meter.recovered(
            stream=stream.name, torn_bytes=recovery.torn_bytes, damaged_ranges=len(damage)
        )
        _log.log(
            logging.WARNING if damage else logging.INFO,
            "log opened",
            extra={
                "stream": stream.name,
                "frames": recovery.frames,
                "torn_bytes": recovery.torn_bytes,
                "damage": [str(each) for each in damage],
            },
        )
