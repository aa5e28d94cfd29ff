"""What durability costs: an append to a segment against a bare append and fdatasync.

Both sides write to files in the same folder, in turn. The bare side appends the payloads' bytes
with one ``write`` and one ``fdatasync``; the product frames, checksums and batches them first.
"""

import os
import time
from pathlib import Path
from typing import Final

from benchmarks.figures import Figure, in_turn, ratios

from fractal_lba.wal import NewFrame, RealDisk, Stream

PAYLOAD: Final = bytes(index % 251 for index in range(1200))
META: Final = b"benchmark"
APPENDS: Final = 200
ROUNDS: Final = 7
BATCH: Final = 64


def append_frames(stream: Stream, frames: list[NewFrame]) -> float:
    """Return the seconds of one durable append, by the mean over a round."""
    started = time.perf_counter()
    for _ in range(APPENDS):
        stream.append(frames)
    return (time.perf_counter() - started) / APPENDS


def append_bare(descriptor: int, data: bytes) -> float:
    """Return the seconds of one bare append and fdatasync, by the mean over a round."""
    started = time.perf_counter()
    for _ in range(APPENDS):
        os.write(descriptor, data)
        os.fdatasync(descriptor)
    return (time.perf_counter() - started) / APPENDS


def measure_batch(stream: Stream, descriptor: int, count: int) -> list[Figure]:
    """Return the figures of one batch size."""
    frames = [NewFrame(received_ns=1, meta=META, payload=PAYLOAD)] * count
    data = (META + PAYLOAD) * count
    framed, bare = in_turn(
        ROUNDS, lambda _: append_frames(stream, frames), lambda _: append_bare(descriptor, data)
    )
    what = "one frame" if count == 1 else f"a batch of {count} frames"
    return [
        Figure(
            name=f"`Stream.append` of {what} ({len(PAYLOAD):,} bytes each) "
            "÷ bare append + `fdatasync` of the same bytes",
            unit="×",
            samples=ratios(framed, bare),
        ),
        Figure(
            name=f"`Stream.append` of {what}",
            unit="frames/s",
            samples=tuple(count / seconds for seconds in framed),
        ),
        Figure(
            name=f"bare append + `fdatasync`, the bytes of {what}",
            unit="appends/s",
            samples=tuple(1 / seconds for seconds in bare),
        ),
    ]


def measure(folder: Path) -> list[Figure]:
    """Return the figures of this module."""
    descriptor = os.open(folder / "bare", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    stream = Stream.open(RealDisk(), folder / "stream", "benchmark")
    try:
        return [
            figure for count in (1, BATCH) for figure in measure_batch(stream, descriptor, count)
        ]
    finally:
        stream.close()
        os.close(descriptor)
