"""The inbox's marks survive whatever ends a commit."""

import asyncio
from pathlib import Path

import pytest
from tests.support.faulty_server import Fault, Faults
from typing_extensions import override

from fractal_lba.protocol.errors import ContractError
from fractal_lba.server.core import inbox_frame
from fractal_lba.server.core.inbox_frame import Received
from fractal_lba.server.storage.inbox import InboxLog
from fractal_lba.server.telemetry.metrics import Metrics
from fractal_lba.wal import Damage, Disk, RealDisk, Stream
from fractal_lba.wal.group_commit import Bounds

BOUNDS = Bounds(items_max=8, bytes_max=1 << 20, queue_items_max=8, queue_bytes_max=1 << 20)


def opened(disk: Disk, folder: Path) -> Stream:
    return Stream.open(disk, folder, "inbox-0", segment_bytes_max=1 << 20, frame_bytes_max=1 << 12)


def marked(folder: Path) -> list[int]:
    """Return the bodies that marks on disk finish."""
    stream = opened(RealDisk(), folder)
    finished = [
        seq
        for item in stream.scan()
        if not isinstance(item, Damage) and inbox_frame.decode_received(item[1].meta) is None
        for seq in inbox_frame.decode_finished(item[1].payload)
    ]
    stream.close()
    return finished


def test_a_commit_that_is_refused_gives_its_marks_back(tmp_path: Path) -> None:
    async def run() -> None:
        inbox = InboxLog(opened(RealDisk(), tmp_path / "inbox-0"), meter=Metrics(), bounds=BOUNDS)
        await inbox.load()
        frame = await inbox.append(b"{}", Received(), received_ns=1)
        inbox.finish(frame.seq)
        with pytest.raises(ContractError):
            await inbox.append(b"x" * (1 << 13), Received(), received_ns=2)
        await inbox.close()

    asyncio.run(run())
    assert marked(tmp_path / "inbox-0") == [1]


class Failures(Metrics):
    """Metrics that a failure can be awaited by."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = asyncio.Event()

    @override
    def wal_failed(self, *, stream: str) -> None:
        super().wal_failed(stream=stream)
        self.seen.set()


def test_idle_work_that_fails_gives_its_marks_back(tmp_path: Path) -> None:
    async def run() -> None:
        disk, failures = Faults(), Failures()
        inbox = InboxLog(opened(disk, tmp_path / "inbox-0"), meter=failures, bounds=BOUNDS)
        await inbox.load()
        frame = await inbox.append(b"{}", Received(), received_ns=1)
        inbox.finish(frame.seq)
        disk.tell(Fault(since=1))
        async with asyncio.timeout(30):
            await failures.seen.wait()
        disk.tell(None)
        await inbox.reopen()
        await inbox.close()

    asyncio.run(run())
    assert marked(tmp_path / "inbox-0") == [1]


def test_a_body_that_is_tried_again_counts_as_left_open_until_it_is_over(tmp_path: Path) -> None:
    async def run() -> list[int]:
        inbox = InboxLog(opened(RealDisk(), tmp_path / "inbox-0"), meter=Metrics(), bounds=BOUNDS)
        await inbox.load()
        seq = (await inbox.append(b"{}", Received(), received_ns=1)).seq
        counts = [inbox.left_open_count]
        for again in (inbox.leave_open, inbox.leave_open, inbox.finish):
            if counts[-1]:
                await inbox.take(seq)
                counts.append(inbox.left_open_count)
                assert inbox.left_open() == []
            again(seq)
            inbox.give_back(seq)
            counts.append(inbox.left_open_count)
        await inbox.close()
        return counts

    assert asyncio.run(run()) == [0, 1, 1, 1, 1, 0]
