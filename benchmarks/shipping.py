"""An agent end to end: windows observed, kept, sent to a real server and acknowledged, in a second.

The server is a process of its own, as a user would run it: fsync on, dedup on, every record
distinct. The agent is this process: ``Agent.observe`` by many tasks, then ``flush``; the time ends
with the last acknowledgement. Beside it, in turn, what an agent without a queue would do at the
least, for one record after the other: append it, ``fdatasync``, and post it to an empty handler.
"""

import asyncio
import http.client
import os
import sys
import time
from pathlib import Path
from typing import Final

import numpy as np
from benchmarks.corpus import signed_bodies
from benchmarks.figures import Figure, ratios
from benchmarks.submit import ANSWER_BYTES, prepare_server, real_command, serving
from benchmarks.verify import hmac_key
from numpy.typing import NDArray

from fractal_lba.agent import Agent

ROUNDS: Final = 5
PRODUCERS: Final = 64
WINDOWS: Final = 2_560
ROWS: Final = 64
COLUMNS: Final = 3
BARE_WINDOWS: Final = 200
SECONDS_MAX: Final = 120.0


def windows_of(number: int) -> NDArray[np.float64]:
    """Return the windows of a round, (WINDOWS, ROWS, COLUMNS); no two are alike."""
    rng = np.random.default_rng(number + 1)
    return rng.standard_normal((WINDOWS, ROWS, COLUMNS)).cumsum(axis=1)


async def acknowledged_per_second(folder: Path, port: int, number: int) -> float:
    """Return the windows a second from the first observed to the last acknowledged.

    Raises:
        RuntimeError: Some were not answered, or not accepted.
    """
    windows = windows_of(number)
    agent = Agent(
        data=folder / f"agent-{number}",
        url=f"http://127.0.0.1:{port}",
        keyring=folder / "server" / "agent-keyring.json",
        token_file=folder / "server" / "token",
        shard_id=f"round-{number}",
    )

    async def produce(first: int) -> None:
        for points in windows[first::PRODUCERS]:
            await agent.observe(points)

    async with agent:
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for first in range(PRODUCERS):
                group.create_task(produce(first))
        left = await agent.flush(SECONDS_MAX)
        seconds = time.perf_counter() - started
    counts = agent.counts()
    if left.windows or counts["acknowledged"] != WINDOWS:
        raise RuntimeError(f"shipping: expected {WINDOWS} acknowledged windows, got {counts}")
    return WINDOWS / seconds


def bare_per_second(folder: Path, port: int, bodies: list[bytes]) -> float:
    """Return the records a second, each appended, synced and posted before the next."""
    descriptor = os.open(folder / "bare-agent", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS_MAX)
    try:
        started = time.perf_counter()
        for body in bodies:
            os.write(descriptor, body)
            os.fdatasync(descriptor)
            connection.request("POST", "/v1/pcs/submit", body)
            connection.getresponse().read()
        return len(bodies) / (time.perf_counter() - started)
    finally:
        connection.close()
        os.close(descriptor)


def measure(folder: Path) -> list[Figure]:
    """Return the figures of this module."""
    prepare_server(folder)
    bodies = list(signed_bodies(hmac_key(), BARE_WINDOWS))
    bare_command = [sys.executable, "-m", "benchmarks.bare_server"]
    bare_command += ["--answer-bytes", str(ANSWER_BYTES)]
    ours: list[float] = []
    bare: list[float] = []
    with (
        serving(real_command(folder), folder / "shipping.log") as (_, port),
        serving(bare_command, folder / "shipping-bare.log") as (_, bare_port),
    ):
        for number in range(-1, ROUNDS):  # the first one warms up
            taken = asyncio.run(acknowledged_per_second(folder, port, number))
            beside = bare_per_second(folder, bare_port, bodies)
            if number >= 0:
                ours.append(taken)
                bare.append(beside)
    what = f"agent end to end, {PRODUCERS} tasks, windows of {ROWS} × {COLUMNS}"
    return [
        Figure(name=f"{what}: observed to acknowledged", unit="windows/s", samples=tuple(ours)),
        Figure(
            name="bare: append + `fdatasync` + `POST` to an empty handler, one record at a time",
            unit="records/s",
            samples=tuple(bare),
        ),
        Figure(name=f"{what} ÷ bare", unit="×", samples=ratios(ours, bare)),
    ]
