"""Outboxes opened by themselves: windows that all differ, and what a folder holds afterwards."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import pytest
from tests.support.agent_world import RECIPE, DirectLanes, VirtualClock

from fractal_lba.agent import bounds as bounds_module
from fractal_lba.agent import compaction, opening
from fractal_lba.agent import outbox as outbox_module
from fractal_lba.agent.bounds import OutboxBounds
from fractal_lba.agent.contents import Contents
from fractal_lba.agent.frames import WindowMeta
from fractal_lba.agent.opening import FOLDER, STREAM
from fractal_lba.agent.outbox import Outbox
from fractal_lba.agent.ports import Lanes
from fractal_lba.agent.record import Summarised, sign, summarise
from fractal_lba.agent.window import SourcePosition, Window
from fractal_lba.protocol import Record
from fractal_lba.wal import Disk, RealDisk, scan_folder

SMALL_SEGMENT_BYTES = 9_000
"""Ten windows or so."""


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let segments be small, and a compaction be worth it at once."""
    monkeypatch.setattr(bounds_module, "SEGMENT_BYTES_MIN", SMALL_SEGMENT_BYTES)
    set_default(monkeypatch, "segment_bytes_max", SMALL_SEGMENT_BYTES)
    set_default(monkeypatch, "segment_age_s", math.inf)  # else each append asks for the time
    monkeypatch.setattr(opening, "OUTBOX_FRAME_BYTES_MAX", 4_096)
    monkeypatch.setattr(outbox_module, "CALL_RECORDS_MAX", 8)  # less than a segment
    monkeypatch.setattr(compaction, "DEAD_SEGMENTS_MIN", 2 / 3)
    monkeypatch.setattr(compaction, "PIECE_BYTES_MAX", 1_500)
    monkeypatch.setattr(compaction, "PIECE_STREAMS_MAX", 2)


def set_default(monkeypatch: pytest.MonkeyPatch, name: str, value: float) -> None:
    """Let outboxes have another bound where nothing is said of it."""
    defaults = OutboxBounds.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, name, value)


@cache
def _summary() -> Summarised:
    return summarise(Window(data=bytes(range(9)), after=None), RECIPE)


@cache
def record(epoch: int, shard_id: str = "s") -> Record:
    """Return the signed record of an epoch; no two have the same id."""
    return sign(
        _summary(),
        RECIPE,
        epoch=epoch,
        shard_id=shard_id,
        created_at="2026-11-21T06:00:00.000Z",
        meta={},
    )


@asynccontextmanager
async def opened(
    data: Path,
    *,
    disk: Disk | None = None,
    lanes: Lanes | None = None,
    bounds: OutboxBounds | None = None,
) -> AsyncIterator[Outbox]:
    """Open the outbox of a data folder on virtual time, and close it."""
    outbox = await Outbox.open(
        disk or RealDisk(), data, clock=VirtualClock(), lanes=lanes or DirectLanes(), bounds=bounds
    )
    try:
        yield outbox
    finally:
        await outbox.close()


async def observe(outbox: Outbox, shard_id: str = "s") -> int:
    """Append the next window of a stream as a keeper does, and return its number."""
    await outbox.room()
    epoch = outbox.contents.next_epoch(shard_id, is_live=False)
    position = position_after(epoch)
    meta = WindowMeta(source="x", shard_id=shard_id, next_epoch=epoch + 1, position=position)
    return await outbox.append(meta, record(epoch, shard_id))


def windows(first: int, count: int, shard_id: str = "s") -> list[tuple[WindowMeta, Record]]:
    """Return the windows of so many epochs of a stream, as one call takes them."""
    return [
        (
            WindowMeta(
                source="x", shard_id=shard_id, next_epoch=epoch + 1, position=position_after(epoch)
            ),
            record(epoch, shard_id),
        )
        for epoch in range(first, first + count)
    ]


def position_after(epoch: int) -> SourcePosition:
    """Return where a source stands behind the window of an epoch."""
    return SourcePosition(offset=10 * epoch + 10, units=epoch + 1, mark="m")


async def accept(outbox: Outbox, seq: int) -> None:
    """Note that a window was accepted."""
    await outbox.acknowledge(seq, status=200, replayed=False)


def contents_of(data: Path) -> Contents:
    """Return what a data folder holds, read beside whoever has it."""
    return Contents.read(scan_folder(RealDisk(), data / FOLDER, STREAM))
