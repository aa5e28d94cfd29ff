"""What the agent's outbox takes: appends of one producer and of many, against the bare primitive.

Producers on one event loop append signed records to a real outbox, each waiting until its own are
durable before it gives more: one window a call, or several a call, as a source has that cuts many
small windows out of what it read. Beside them, in turn, in the same folder: one append and one
``fdatasync`` at a time of a frame's bytes. Canonical bytes, framing, checksums, group commit and
the sync are what is measured. The records are signed beforehand; each producer has one of its own
and appends it again and again, so that it is near at hand as one is that was signed just now, and
not one of thousands that come from memory.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.corpus import signed_bodies
from benchmarks.figures import Figure, ratios
from benchmarks.verify import hmac_key

from fractal_lba.agent.bounds import OutboxBounds
from fractal_lba.agent.frames import WindowMeta
from fractal_lba.agent.outbox import Outbox
from fractal_lba.agent.ports import SystemClock, ThreadLanes
from fractal_lba.protocol import Record, parse_record, stored_bytes
from fractal_lba.wal import RealDisk

ROUNDS: Final = 7
MANY: Final = 64
WINDOWS_OF_ONE: Final = 200
WINDOWS_OF_MANY: Final = 12_800
A_CALL: Final = 16
BARE_APPENDS: Final = 200
TIMES: Final = 20
RATE_MAX: Final = 60_000
SHARD_ID: Final = "benchmark"


def kept_per_second(
    folder: Path, records: Sequence[Record], windows: int, *, a_call: int = 1
) -> float:
    """Return the windows a second that a producer for each record brings to the disk.

    Args:
        folder: Made, and removed.
        records: One for each producer.
        windows: Of all producers together.
        a_call: How many of them it gives at a time.
    """
    try:
        return asyncio.run(_keep(folder, records, windows // len(records), a_call))
    finally:
        shutil.rmtree(folder)


async def _keep(folder: Path, records: Sequence[Record], each: int, a_call: int) -> float:
    lanes = ThreadLanes()
    outbox = await Outbox.open(
        RealDisk(), folder, clock=SystemClock(), lanes=lanes, bounds=OutboxBounds()
    )

    async def produce(record: Record) -> None:
        if a_call == 1:
            for _ in range(each):
                await outbox.append(_meta(record), record)
            return
        for start in range(0, each, a_call):
            count = min(a_call, each - start)
            await outbox.append_all([(_meta(record), record) for _ in range(count)])

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for record in records:
            group.create_task(produce(record))
    seconds = time.perf_counter() - started
    await outbox.close()
    lanes.close()
    return len(records) * each / seconds


def _meta(record: Record) -> WindowMeta:
    return WindowMeta(source="live:", shard_id=SHARD_ID, next_epoch=record.epoch + 1, position=None)


def bare_per_second(descriptor: int, data: bytes) -> float:
    """Return the appends a second, each with a ``fdatasync`` of its own."""
    started = time.perf_counter()
    for _ in range(BARE_APPENDS):
        os.write(descriptor, data)
        os.fdatasync(descriptor)
    return BARE_APPENDS / (time.perf_counter() - started)


def measure(folder: Path) -> list[Figure]:
    """Return the figures of this module."""
    records = [parse_record(body) for body in signed_bodies(hmac_key(), MANY)]
    data = stored_bytes(records[0])
    descriptor = os.open(folder / "bare-outbox", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    one: list[float] = []
    many: list[float] = []
    several: list[float] = []
    bare: list[float] = []
    try:
        for number in range(-1, ROUNDS):  # the first one warms up
            taken = (
                kept_per_second(folder / "outbox", records[:1], WINDOWS_OF_ONE),
                kept_per_second(folder / "outbox", records, WINDOWS_OF_MANY),
                kept_per_second(folder / "outbox", records, WINDOWS_OF_MANY, a_call=A_CALL),
                bare_per_second(descriptor, data),
            )
            if number >= 0:
                for samples, sample in zip((one, many, several, bare), taken, strict=True):
                    samples.append(sample)
    finally:
        os.close(descriptor)
    wanted = [min(TIMES * rate, RATE_MAX) for rate in bare]
    what = f"outbox append, records of {len(data):,} bytes"
    limit = f"the lower of {TIMES} × the bare append + `fdatasync` rate and {RATE_MAX:,}/s ÷ {what}"
    return [
        Figure(
            name=f"{limit}, {MANY} producers, one window a call",
            unit="×",
            samples=ratios(wanted, many),
            at_most=1.0,
        ),
        Figure(
            name=f"{limit}, {MANY} producers, {A_CALL} windows a call",
            unit="×",
            samples=ratios(wanted, several),
        ),
        Figure(
            name=f"{what}, {MANY} producers, {A_CALL} windows a call",
            unit="windows/s",
            samples=tuple(several),
        ),
        Figure(
            name=f"{what}, {MANY} producers, {A_CALL} windows a call ÷ bare append + `fdatasync`",
            unit="×",
            samples=ratios(several, bare),
        ),
        Figure(
            name=f"{what}, {MANY} producers, one window a call",
            unit="windows/s",
            samples=tuple(many),
        ),
        Figure(
            name=f"{what}, {MANY} producers, one window a call ÷ bare append + `fdatasync`",
            unit="×",
            samples=ratios(many, bare),
        ),
        Figure(name=f"{what}, 1 producer", unit="windows/s", samples=tuple(one)),
        Figure(
            name=f"{what}, 1 producer ÷ bare append + `fdatasync`, one at a time",
            unit="×",
            samples=ratios(one, bare),
        ),
        Figure(
            name="bare append + `fdatasync` of such a record, one at a time",
            unit="appends/s",
            samples=tuple(bare),
        ),
    ]
