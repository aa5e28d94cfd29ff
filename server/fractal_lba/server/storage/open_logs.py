"""Open what a server writes: recovered, reported, ready to take more."""

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fractal_lba.server.config import Settings
from fractal_lba.server.core import names
from fractal_lba.server.core.inbox_retention import Evidence
from fractal_lba.server.ports import Clock, Meter
from fractal_lba.server.storage.data_folder import ShardSet
from fractal_lba.server.storage.inbox import InboxLog
from fractal_lba.server.storage.judging import Judging
from fractal_lba.server.storage.replay import open_shard
from fractal_lba.server.storage.shard import ShardStore
from fractal_lba.wal import Damage, Disk, Stream
from fractal_lba.wal.group_commit import Bounds

_SEGMENTS_OF_EVIDENCE: Final = 24
"""Evidence goes by whole segments: so much of its time at the most is one segment's."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """The logs of one data folder, as the settings ask for them.

    ``bounds`` are of a commit and of what waits for one. What is opened is closed with the stack.
    """

    disk: Disk
    data: Path
    settings: Settings
    meter: Meter
    bounds: Bounds
    clock: Clock

    async def inbox(self, stack: AsyncExitStack) -> InboxLog:
        """Open the inbox and find the bodies that are open.

        Raises:
            LockedError: Another process has it.
            DurabilityError: The disk failed.
        """
        settings = self.settings
        name = names.inbox(0)
        stream = await asyncio.to_thread(
            Stream.open,
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

    async def judging(self) -> Judging:
        """Read what is noted beside the inbox.

        Raises:
            ContractError: A newer program wrote it.
            DurabilityError: It cannot be read.
        """
        judging = Judging(
            self.disk, self.data / names.judging(names.inbox(0)), meter=self.meter, clock=self.clock
        )
        await judging.load()
        return judging

    async def shard(
        self, shards: ShardSet, stack: AsyncExitStack, *, accept_loss: bool
    ) -> ShardStore:
        """Open the shard, its index brought up to its ledger.

        Raises:
            LockedError: Another process has it.
            DurabilityError: The disk or LMDB failed.
        """
        settings = self.settings
        files = await asyncio.to_thread(
            open_shard,
            self.disk,
            self.data / shards.names[0],
            segment_bytes_max=settings.segment_bytes_max,
            segment_age_max_s=settings.segment_age_s,
            reserve_bytes=settings.segment_reserve_bytes,
            map_bytes=settings.index_map_bytes,
            data_id=shards.data_id,
        )
        self._report(files.stream, files.damage)
        if accept_loss and files.index.losses:
            _log.warning("loss accepted", extra={"damage": files.index.losses})
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
