"""Outboxes on disks that are full: small ones, and what fills and measures them."""

import asyncio
from pathlib import Path

import pytest
from tests.support.agent_world import DirectLanes, VirtualClock
from tests.support.failing_disk import FailingDisk
from tests.support.outboxes import make_small, observe, set_default
from tests.support.quota_disk import QuotaDisk

from fractal_lba.agent import compaction, log
from fractal_lba.agent.outbox import Outbox

SPARE = 6_000


def make_small_and_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let segments be small, and the room that is kept for answers that of a few windows."""
    make_small(monkeypatch)
    monkeypatch.setattr(log, "SPARE_BYTES", SPARE)
    set_default(monkeypatch, "reserve_bytes", 1)  # asked for each time
    monkeypatch.setattr(compaction, "FULL_CARRY_BYTES_MAX", SPARE // 2)
    monkeypatch.setattr(compaction, "FULL_DEAD_BYTES_MIN", 1_000)


def measure(outbox: Outbox, name: str) -> float:
    return next(
        sample.value for sample in outbox.samples() if sample.name == f"flk_agent_outbox_{name}"
    )


async def unclosed(data: Path, disk: FailingDisk) -> Outbox:
    """Open an outbox that nobody closes: it ends with its loop, as with a process."""
    return await Outbox.open(disk, data, clock=VirtualClock(), lanes=DirectLanes())


async def filled(outbox: Outbox) -> tuple[list[int], list["asyncio.Task[int]"]]:
    """Observe from many tasks until the disk is full; return what is kept and who waits."""
    kept: list[int] = []
    while True:
        tasks = [asyncio.create_task(observe(outbox)) for _ in range(5)]
        await asyncio.sleep(1.0)
        kept += [task.result() for task in tasks if task.done()]
        waiting = [task for task in tasks if not task.done()]
        if waiting:
            return kept, waiting


def fill_up(disk: QuotaDisk) -> None:
    """Leave no room, not even where a segment that is left gives back what was reserved for it."""
    disk.capacity = sum(disk.taken.values()) - SPARE
