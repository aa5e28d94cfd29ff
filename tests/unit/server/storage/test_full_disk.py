"""A full disk that is met before a write keeps a log from taking more, and nothing is recovered."""

import asyncio
import errno
from pathlib import Path

import pytest
from tests.support.faulty_server import Fault, Faults
from tests.support.wal_streams import segments_of, snapshot

from fractal_lba.protocol.errors import DurabilityError, FullError
from fractal_lba.server.core.inbox_frame import Received
from fractal_lba.server.storage.inbox import InboxLog
from fractal_lba.server.telemetry.metrics import Metrics
from fractal_lba.wal import Stream
from fractal_lba.wal.group_commit import Bounds

BOUNDS = Bounds(items_max=8, bytes_max=1 << 20, queue_items_max=8, queue_bytes_max=1 << 20)
FULL = Fault(since=1, error=errno.ENOSPC, only="reserve")


def test_the_inbox_waits_for_room_without_a_recovery(tmp_path: Path) -> None:
    async def work() -> None:
        disk = Faults()
        stream = Stream.open(disk, tmp_path, "inbox-0", reserve_bytes=100)
        inbox = InboxLog(stream, meter=Metrics(), bounds=BOUNDS)
        await inbox.load()
        kept = await inbox.append(b"{}", Received(), received_ns=1)
        disk.tell(FULL)
        for _ in range(2):
            with pytest.raises(FullError):
                await inbox.append(bytes(1_000), Received(), received_ns=2)
            assert "got a full disk" in str(inbox.fenced_by)
            with pytest.raises(FullError, match="expected room for 65536 bytes"):
                await inbox.reopen()
            assert inbox.fenced_by
        before = segments_of(snapshot(tmp_path))
        disk.tell(None)
        await inbox.reopen()
        assert not inbox.fenced_by
        after = await inbox.append(bytes(1_000), Received(), received_ns=3)
        # Not even a number was used, and nothing was made anew.
        assert after.seq == kept.seq + 1
        assert segments_of(snapshot(tmp_path)) == before
        await inbox.close()

    asyncio.run(work())


def test_a_disk_that_fails_while_room_is_looked_for_is_recovered(tmp_path: Path) -> None:
    async def work() -> None:
        disk = Faults()
        stream = Stream.open(disk, tmp_path, "inbox-0", reserve_bytes=100)
        inbox = InboxLog(stream, meter=Metrics(), bounds=BOUNDS)
        await inbox.load()
        disk.tell(FULL)
        with pytest.raises(FullError):
            await inbox.append(b"{}", Received(), received_ns=1)
        disk.tell(Fault(since=1, only="reserve"))
        with pytest.raises(DurabilityError, match="Input/output error"):
            await inbox.reopen()
        disk.tell(None)
        before = segments_of(snapshot(tmp_path))
        await inbox.reopen()
        assert segments_of(snapshot(tmp_path)) != before
        await inbox.append(b"{}", Received(), received_ns=2)
        await inbox.close()

    asyncio.run(work())
