"""The inbox's marks survive whatever ends a commit."""

import asyncio
from pathlib import Path

import pytest

from fractal_lba.protocol.errors import ContractError
from fractal_lba.server.core import inbox_frame
from fractal_lba.server.core.inbox_frame import Received
from fractal_lba.server.storage.inbox import InboxLog
from fractal_lba.server.telemetry.metrics import Metrics
from fractal_lba.wal import Damage, RealDisk, Stream
from fractal_lba.wal.group_commit import Bounds

BOUNDS = Bounds(items_max=8, bytes_max=1 << 20, queue_items_max=8, queue_bytes_max=1 << 20)


def test_a_commit_that_is_refused_gives_its_marks_back(tmp_path: Path) -> None:
    async def run() -> None:
        stream = Stream.open(
            RealDisk(),
            tmp_path / "inbox-0",
            "inbox-0",
            segment_bytes_max=1 << 20,
            frame_bytes_max=1 << 12,
        )
        inbox = InboxLog(stream, meter=Metrics(), bounds=BOUNDS)
        await inbox.load()
        frame = await inbox.append(b"{}", Received(), received_ns=1)
        inbox.finish(frame.seq)
        with pytest.raises(ContractError):
            await inbox.append(b"x" * (1 << 13), Received(), received_ns=2)
        await inbox.close()

    asyncio.run(run())
    again = Stream.open(
        RealDisk(),
        tmp_path / "inbox-0",
        "inbox-0",
        segment_bytes_max=1 << 20,
        frame_bytes_max=1 << 12,
    )
    finished = [
        seq
        for item in again.scan()
        if not isinstance(item, Damage) and inbox_frame.decode_received(item[1].meta) is None
        for seq in inbox_frame.decode_finished(item[1].payload)
    ]
    again.close()
    assert finished == [1]
