"""For how long nobody decides for a shard while the workers are replaced one after the other.

A real server with two workers and SIGUSR1, five times. One caller for each shard sends it one
distinct record after the other; the outage is the time between its last answer before a 503 and
the first one after it, as that caller sees it.
"""

import http.client
import os
import signal
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

from benchmarks.figures import Figure
from tests.support.load import Connection, id_of, record_of
from tests.support.server_process import WIDE_LANE, Folder, ServerProcess
from tests.support.signed import ACME
from tests.support.workers import pids, until_replaced

from fractal_lba.server.config import SHARDS_DEFAULT, shard_set
from fractal_lba.server.core.ring import Ring

WORKERS: Final = 2
ROLLS: Final = 5
_BETWEEN_S: Final = 0.002


class Caller:
    """Sends records of one shard, and notes for how long none was decided."""

    def __init__(self, server: ServerProcess, epochs: Iterator[int]) -> None:
        self._server = server
        self._epochs = epochs
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self._longest_s = 0.0
        self._thread.start()

    def longest_s(self) -> float:
        """Return the longest time without a decision since this was asked for last."""
        longest_s, self._longest_s = self._longest_s, 0.0
        return longest_s

    def close(self) -> None:
        """Send no more."""
        self._is_over.set()
        self._thread.join()

    def _send(self) -> None:
        connection: Connection | None = None
        decided_s = time.monotonic()
        was_refused = False
        while not self._is_over.wait(_BETWEEN_S):
            try:
                connection = connection or Connection(self._server)
                status = connection.submit(record_of(next(self._epochs))).status
            except (http.client.HTTPException, OSError):
                connection = None
                continue
            if status == http.client.SERVICE_UNAVAILABLE:
                was_refused = True
                continue
            now_s = time.monotonic()
            if was_refused:
                self._longest_s = max(self._longest_s, now_s - decided_s)
            decided_s, was_refused = now_s, False
        if connection is not None:
            connection.close()


def _epochs(ring: Ring, shard: str) -> Iterator[int]:
    return (each for each in count(1) if ring.owner_of(ACME.tenant, id_of(each)) == shard)


def measure(folder: Path) -> list[Figure]:
    """Return the figures of this module."""
    made = Folder(folder / "rolling")
    with ServerProcess(made, "--workers", str(WORKERS), *WIDE_LANE) as server:
        shards = shard_set(SHARDS_DEFAULT)
        ring = Ring(shards)
        callers = [Caller(server, _epochs(ring, shard.name)) for shard in shards]
        outages: list[float] = []
        try:
            for _ in range(ROLLS):
                before = pids(server)
                os.kill(server.process.pid, signal.SIGUSR1)
                for worker, pid in before.items():
                    until_replaced(server, worker, pid)
                time.sleep(1.0)  # until each caller was answered again
                outages += [1e3 * caller.longest_s() for caller in callers]
        finally:
            for caller in callers:
                caller.close()
        server.stop()
    return [
        Figure(
            name=f"workers replaced one after the other ({WORKERS}): a shard answers 503 for",
            unit="ms",
            samples=tuple(outages),
        )
    ]
