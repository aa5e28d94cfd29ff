"""What the index costs as it grows: insert, lookup, opening, replay, memory and bytes.

Ours is the index of a shard with its orders and usage, written as the server does: entries in
memory, a synchronous commit for each ``index_flush_records``. Bare is LMDB alone, given the same
rows as bytes in the same commits, and asked for the same keys. Rates are of CPU time, since a
commit waits for the disk and what shares it; the seconds of a commit stand beside them.

``make bench`` grows to 10^5 entries, ``make bench-full`` to 10^6, and to 10^7 where asked for.
"""

import argparse
import hashlib
import os
import random
import shutil
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import lmdb
from benchmarks.figures import Figure, table

from fractal_lba.server.core.known import Known, Place, RecordKey
from fractal_lba.server.core.listing import Summary
from fractal_lba.server.core.usage import Usage
from fractal_lba.server.storage.index import LmdbIndex
from fractal_lba.server.storage.index_state import Checkpoint
from fractal_lba.server.storage.index_values import known_bytes, record_key_bytes
from fractal_lba.server.storage.replay import REPLAY_FLUSH

SIZES: Final = (10_000, 100_000)
ROUNDS: Final = 5
INSERTED: Final = 4_096
"""In a round: one commit of the server under load."""
LOOKED_UP: Final = 2_000
MAP_BYTES: Final = 1 << 30
STREAMS: Final = 50
PEAK_MIB_MAX: Final = 300
OPEN_S_MAX: Final = 2.0
GROWTH_MIN: Final = 0.8


def key_of(n: int) -> RecordKey:
    """Return the key of the n-th record: ids are digests, so they come in no order."""
    return RecordKey("acme", "1.x", hashlib.sha256(b"%d" % n).hexdigest())


def known_of(n: int) -> Known:
    """Return what is remembered of the n-th record."""
    return Known(
        content_digest=hashlib.sha256(b"content %d" % n).hexdigest(),
        received_ns=1_793_534_400_000_000_000 + n,
        place=Place(seq=n + 1, segment=n // 40_000 + 1, offset=232 + n % 40_000 * 1_400),
        status=200,
        summary=Summary(
            version="1.0", shard_id=f"press-{n % STREAMS}", epoch=n // STREAMS, regime="mixed"
        ),
    )


def anonymous_mib() -> float:
    """Return the anonymous memory of this process."""
    with Path("/proc/self/status").open() as lines:
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


class Ours:
    """The index of the product."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = LmdbIndex(folder, map_bytes=MAP_BYTES, data_id="benchmark")
        self.count = 0

    def insert(self, records: Sequence[tuple[RecordKey, Known]]) -> None:
        """Put records and commit them."""
        for key, known in records:
            self.index.charge(key.tenant, 20_000, Usage(records=1, bytes=1_000))
            self.index.put(
                key,
                known,
                Checkpoint(
                    seq=known.place.seq,
                    segment=known.place.segment,
                    segment_first_seq=1,
                    payload_crc32c=1,
                ),
            )
        self.index.flush()
        self.count += len(records)

    def find(self, keys: Sequence[RecordKey]) -> None:
        """Look keys up."""
        for key in keys:
            self.index.lookup(key)

    def reopen(self) -> float:
        """Close and open again; return the seconds that took until an entry was read."""
        self.index.close()
        started = time.perf_counter()
        self.index = LmdbIndex(self.folder, map_bytes=MAP_BYTES, data_id="benchmark")
        self.index.lookup(key_of(0))
        return time.perf_counter() - started


Row = tuple[bytes, bytes, bytes, bytes]
"""Key and value of a record, and its keys by number and by stream."""


class Bare:
    """LMDB alone, with the same rows."""

    def __init__(self, folder: Path) -> None:
        self.env = lmdb.open(str(folder), map_size=MAP_BYTES, max_dbs=3)
        self.databases = [self.env.open_db(name) for name in (b"records", b"numbers", b"streams")]

    def insert(self, rows: Sequence[Row]) -> None:
        """Put rows and commit them."""
        try:
            self._put(rows)
        except lmdb.MapFullError:
            self.env.set_mapsize(2 * self.env.info()["map_size"])
            self._put(rows)

    def _put(self, rows: Sequence[Row]) -> None:
        records, numbers, streams = self.databases
        with self.env.begin(write=True) as transaction:
            for key, value, by_number, by_stream in rows:
                transaction.put(key, value, db=records)
                transaction.put(by_number, key, db=numbers)
                transaction.put(by_stream, key, db=streams)

    def find(self, keys: Sequence[bytes]) -> None:
        """Look keys up."""
        records = self.databases[0]
        for key in keys:
            with self.env.begin(db=records) as transaction:
                transaction.get(key)


def row_of(n: int) -> Row:
    """Return the rows of the n-th record as bytes."""
    name = record_key_bytes(key_of(n))
    seq = struct.pack(">Q", n + 1)
    stream = hashlib.sha256(b"press-%d" % (n % STREAMS)).digest()
    return (
        name,
        known_bytes(name, known_of(n)),
        b"acme\0" + seq,
        b"acme\0" + stream + struct.pack(">Q", n // STREAMS) + seq,
    )


def cpu_s(act: Callable[[], object]) -> float:
    """Return the CPU seconds that something takes."""
    started = time.process_time()
    act()
    return time.process_time() - started


def measure(folder: Path, sizes: Sequence[int] = SIZES) -> list[Figure]:
    """Return the figures of each size, the index growing from one to the next."""
    ours, bare = Ours(folder / "ours"), Bare(folder / "bare")
    figures: list[Figure] = []
    first: tuple[float, float] | None = None
    n = 0
    for size in sizes:
        while n < size:
            upto = min(size, n + REPLAY_FLUSH)
            ours.insert([(key_of(each), known_of(each)) for each in range(n, upto)])
            bare.insert([row_of(each) for each in range(n, upto)])
            n = upto
        inserted: list[float] = []
        plain: list[float] = []
        waited: list[float] = []
        looked: list[float] = []
        bare_looked: list[float] = []
        for at in range(ROUNDS):
            batch = [(key_of(each), known_of(each)) for each in range(n, n + INSERTED)]
            rows = [row_of(each) for each in range(n, n + INSERTED)]
            started = time.perf_counter()
            inserted.append(INSERTED / cpu_s(partial(ours.insert, batch)))
            waited.append(time.perf_counter() - started)
            plain.append(INSERTED / cpu_s(partial(bare.insert, rows)))
            n += INSERTED
            chance = random.Random(at)  # noqa: S311 - a seed
            keys = [key_of(chance.randrange(size)) for _ in range(LOOKED_UP)]
            names = [record_key_bytes(key) for key in keys]
            looked.append(LOOKED_UP / cpu_s(partial(ours.find, keys)))
            bare_looked.append(LOOKED_UP / cpu_s(partial(bare.find, names)))
        opened = [ours.reopen() for _ in range(ROUNDS)]
        path = ours.folder / "data.mdb"
        at_size = f"at {size:,} entries"
        middle = (sorted(inserted)[ROUNDS // 2], sorted(looked)[ROUNDS // 2])
        first = first or middle
        figures += [
            Figure(name=f"index {at_size}: insert", unit="records/CPU s", samples=tuple(inserted)),
            Figure(
                name=f"index {at_size}: insert, bare LMDB with the same rows",
                unit="records/CPU s",
                samples=tuple(plain),
            ),
            Figure(
                name=f"index {at_size}: seconds of a commit of {INSERTED:,}, the disk's included",
                unit="s",
                samples=tuple(waited),
            ),
            Figure(name=f"index {at_size}: lookup", unit="/CPU s", samples=tuple(looked)),
            Figure(
                name=f"index {at_size}: lookup, bare LMDB",
                unit="/CPU s",
                samples=tuple(bare_looked),
            ),
            Figure(
                name=f"index {at_size}: open after a clean stop, first lookup included",
                unit="s",
                samples=tuple(opened),
                at_most=OPEN_S_MAX,
            ),
            Figure(
                name=f"index {at_size}: anonymous memory of the process",
                unit="MiB",
                samples=(anonymous_mib(),) * ROUNDS,
                at_most=PEAK_MIB_MAX,
            ),
            Figure(
                name=f"index {at_size}: file",
                unit="bytes a record",
                samples=(os.stat(path).st_size / n,) * ROUNDS,  # noqa: PTH116 - the figure
            ),
        ]
        if middle is not first:
            figures += [
                Figure(
                    name=f"index: {what} rate {at_size} ÷ that at {sizes[0]:,}",
                    unit="×",
                    samples=tuple(each / base for each in samples),
                    at_least=GROWTH_MIN,
                )
                for what, samples, base in (
                    ("insert", inserted, first[0]),
                    ("lookup", looked, first[1]),
                )
            ]
    ours.index.close()
    bare.env.close()
    shutil.rmtree(folder / "ours")
    shutil.rmtree(folder / "bare")
    return figures


def main() -> int:
    """Measure at the sizes asked for."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.index")
    parser.add_argument("sizes", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--folder", type=Path, default=Path.cwd())
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix=".bench-") as name:
        print(table(measure(Path(name), arguments.sizes)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
