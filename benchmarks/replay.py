"""How long a restart takes that has to read its ledger: replay beside what taking the records cost.

Replay is the server's own: a ledger whose index is gone is opened, and every entry is read, checked
and put into a fresh index. Beside it stands the least that taking the same records costs: strict
parse, signature, verdict, entry, append, index; no HTTP, no inbox. Both in CPU seconds.
"""

import shutil
import time
from pathlib import Path
from typing import Final

from benchmarks.corpus import signed_bodies
from benchmarks.figures import Figure, ratios

from fractal_lba.protocol import Alg, Key, Keyring, authenticate, decision_body, judge_any
from fractal_lba.protocol.versions import IN_FORCE, stored_bytes_of
from fractal_lba.server.core import entry as entries
from fractal_lba.server.core.entry import Decision
from fractal_lba.server.core.known import RecordKey, key_of
from fractal_lba.server.storage.replay import open_shard, put_entry
from fractal_lba.wal import Frame, NewFrame, RealDisk

RECORDS: Final = 4_096
ROUNDS: Final = 5
BATCH: Final = 256
TARGET: Final = 0.5


def measure(folder: Path) -> list[Figure]:
    """Return the figures of this module."""
    key = Key(
        kid="bench-1",
        tenant="bench",
        alg=Alg.HMAC_SHA256,
        public=None,
        secret=b"b" * 32,
        not_before_ms=None,
        not_after_ms=None,
        legacy=False,
    )
    bodies = list(signed_bodies(key, RECORDS))
    ring = Keyring(keys={key.kid: key}, tokens={})
    took: list[float] = []
    replayed: list[float] = []
    for at in range(ROUNDS):
        shard = folder / f"replay-{at}" / "shard-0"
        shard.parent.mkdir()
        took.append(_take(shard, bodies, ring))
        shutil.rmtree(shard / "index")
        started = time.process_time()
        files = open_shard(RealDisk(), shard, segment_bytes_max=1 << 26, map_bytes=1 << 28)
        replayed.append(time.process_time() - started)
        assert files.stream.next_seq == RECORDS + 1  # noqa: S101 - a bug of the benchmark
        files.index.close()
        files.stream.close()
        shutil.rmtree(shard.parent)
    return [
        Figure(
            name="replay of a ledger into a fresh index ÷ the least its ingest takes (CPU)",
            unit="×",
            samples=ratios(replayed, took),
            at_most=TARGET,
        ),
        Figure(
            name="replay: CPU for each entry",
            unit="µs",
            samples=tuple(seconds / RECORDS * 1e6 for seconds in replayed),
        ),
    ]


def _take(shard: Path, bodies: list[bytes], ring: Keyring) -> float:
    """Take records as the pipeline does, in commits of 256; return the CPU seconds."""
    files = open_shard(RealDisk(), shard, segment_bytes_max=1 << 26, map_bytes=1 << 28)
    started = time.process_time()
    for first in range(0, len(bodies), BATCH):
        taken = []
        for body in bodies[first : first + BATCH]:
            found = authenticate(body, ring)
            outcome = judge_any(found.record, IN_FORCE)
            files.index.lookup(key_of(found))
            taken.append(
                Decision(
                    tenant=found.tenant,
                    family="1.x",
                    pcs_id=found.record.pcs_id,
                    record_digest=found.record_digest,
                    content_digest=found.content_digest,
                    kid=found.key.kid,
                    params_version=outcome.params_version,
                    region="local",
                    status=outcome.status,
                    answer=decision_body(
                        pcs_id=found.record.pcs_id,
                        record_digest=found.record_digest,
                        outcome=outcome,
                    ),
                    record=stored_bytes_of(found.record),
                )
            )
        frames = [
            NewFrame(received_ns=1, meta=entries.META, payload=entries.encode_entry(each))
            for each in taken
        ]
        for decision, frame, placed in zip(taken, frames, files.stream.append(frames), strict=True):
            on_disk = Frame(placed.seq, frame.received_ns, frame.meta, frame.payload)
            key = (decision.tenant, decision.family, decision.pcs_id)
            put_entry(files.index, RecordKey(*key), decision, on_disk, placed.position)
    files.index.flush()
    seconds = time.process_time() - started
    files.index.close()
    files.stream.close()
    return seconds
