"""The inbox removes segments of finished bodies, below marks that are on disk."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.support.faulty_server import Fault, Faults
from tests.support.wal_streams import flipped, segments_of, snapshot

from fractal_lba.protocol.errors import CorruptionError
from fractal_lba.server.core.inbox_frame import Received
from fractal_lba.server.core.inbox_retention import Evidence
from fractal_lba.server.storage.inbox import InboxLog
from fractal_lba.server.telemetry.metrics import Metrics
from fractal_lba.wal import Damage, Disk, RealDisk, Stream, scan_folder
from fractal_lba.wal.group_commit import Bounds

BOUNDS = Bounds(items_max=8, bytes_max=1 << 20, queue_items_max=8, queue_bytes_max=1 << 20)
BODY = bytes(900)
DAY_NS = 86_400_000_000_000


async def opened(
    folder: Path,
    disk: Disk | None = None,
    *,
    clock: Callable[[], int] = time.time_ns,
    segment_age_max_s: float = 1e9,
) -> InboxLog:
    stream = Stream.open(
        disk or RealDisk(),
        folder,
        "inbox-0",
        segment_bytes_max=2_500,
        frame_bytes_max=1_000,
        segment_age_max_s=segment_age_max_s,
    )
    inbox = InboxLog(stream, meter=Metrics(), bounds=BOUNDS, evidence=Evidence(), clock=clock)
    await inbox.load()
    return inbox


async def arrive(inbox: InboxLog) -> int:
    """Log one body; two of them and their marks fill a segment."""
    return (await inbox.append(BODY, Received(), received_ns=time.time_ns())).seq


def held(folder: Path) -> list[int]:
    """Return the numbers of the bodies on disk; nothing may be missed."""
    items = list(scan_folder(RealDisk(), folder, "inbox-0"))
    assert not [each for each in items if isinstance(each, Damage) and each.is_loss]
    return [
        each[1].seq for each in items if not isinstance(each, Damage) and each[1].payload == BODY
    ]


def run(work: Awaitable[None]) -> None:
    async def main() -> None:
        await work

    asyncio.run(main())


def test_segments_of_finished_bodies_go_once_their_marks_are_on_disk(tmp_path: Path) -> None:
    async def work() -> None:
        inbox = await opened(tmp_path)
        seqs = []
        for _ in range(6):
            seqs.append(await arrive(inbox))
            inbox.finish(seqs[-1])
            await inbox.retain()
        assert seqs[-1] in held(tmp_path)
        assert len(held(tmp_path)) <= 2
        assert len(segments_of(snapshot(tmp_path))) <= 3
        await inbox.close()

    run(work())


def test_an_open_body_keeps_what_is_after_it(tmp_path: Path) -> None:
    async def work() -> None:
        inbox = await opened(tmp_path)
        first = await arrive(inbox)
        others = [await arrive(inbox) for _ in range(6)]
        for seq in others:
            inbox.finish(seq)
        last = await arrive(inbox)
        await inbox.retain()
        assert held(tmp_path) == [first, *others, last]
        inbox.leave_open(first)
        assert (await inbox.take(first)).body == BODY
        inbox.finish(first)
        await arrive(inbox)
        await inbox.retain()
        assert first not in held(tmp_path)
        await inbox.close()

    run(work())


def test_a_finish_that_is_not_on_disk_removes_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        disk = Faults()
        inbox = await opened(tmp_path, disk)
        seqs = [await arrive(inbox) for _ in range(5)]
        disk.tell(Fault(since=1))  # the idle work cannot write the marks
        for seq in seqs:
            inbox.finish(seq)
        await inbox.retain()
        assert held(tmp_path) == seqs
        disk.tell(None)
        await inbox.reopen()
        await inbox.close()

    run(work())


def test_refused_bodies_stay_as_evidence_and_no_longer_than_a_day(tmp_path: Path) -> None:
    async def work() -> None:
        now = [time.time_ns()]
        inbox = await opened(tmp_path, clock=lambda: now[0])
        seqs = []
        for index in range(8):
            seqs.append(await arrive(inbox))
            inbox.finish(seqs[-1], is_refused=index == 2)
        await arrive(inbox)
        await inbox.retain()
        assert held(tmp_path)[0] in {seqs[1], seqs[2]}
        await inbox.close()
        # Another process knows it too, from the marks.
        inbox = await opened(tmp_path, clock=lambda: now[0])
        await inbox.retain()
        assert seqs[2] in held(tmp_path)
        now[0] += 2 * DAY_NS
        await inbox.retain()
        assert seqs[2] not in held(tmp_path)
        await inbox.close()

    run(work())


def test_what_is_idle_goes_by_its_age(tmp_path: Path) -> None:
    async def work() -> None:
        inbox = await opened(tmp_path, segment_age_max_s=0.0)
        inbox.finish(await arrive(inbox))
        await arrive(inbox)  # carries the mark into the next segment
        await inbox.retain()
        assert len(held(tmp_path)) == 1
        await inbox.close()

    run(work())


def test_a_body_that_cannot_be_read_does_not_keep_the_rest_and_is_set_aside(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        inbox = await opened(tmp_path)
        seqs = [await arrive(inbox) for _ in range(4)]
        first, *_ = segments_of(snapshot(tmp_path))
        path = tmp_path / first
        path.write_bytes(flipped(path.read_bytes(), 600))
        inbox.leave_open(seqs[0])
        with pytest.raises(CorruptionError):
            await inbox.take(seqs[0])
        for seq in seqs[1:]:
            inbox.finish(seq)
        await arrive(inbox)
        await inbox.retain()
        assert (tmp_path / f"{first}.bad").exists()
        assert seqs[0] not in held(tmp_path)
        await inbox.close()

    run(work())


def test_a_retention_that_fails_fences(tmp_path: Path) -> None:
    async def work() -> None:
        disk = Faults()
        inbox = await opened(tmp_path, disk)
        for _ in range(4):
            inbox.finish(await arrive(inbox))
        await arrive(inbox)
        disk.tell(Fault(since=1))
        await inbox.retain()
        assert "inbox-0" in str(inbox.fenced_by)
        await inbox.retain()  # nothing happens to a fenced one
        disk.tell(None)
        await inbox.reopen()
        await inbox.retain()
        assert not inbox.fenced_by
        assert len(held(tmp_path)) <= 3
        await inbox.close()

    run(work())
