"""What an append puts into the index is, byte for byte, what a replay of its ledger puts there."""

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, cast

import lmdb
from msgspec.structs import replace
from tests.support import legacy
from tests.support.verified import verified

from fractal_lba.protocol.authenticate import authenticate
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.protocol.versions import IN_FORCE
from fractal_lba.server.core.answer import Answer
from fractal_lba.server.core.judged import judged
from fractal_lba.server.core.known import Known
from fractal_lba.server.core.run import Verified
from fractal_lba.server.core.tenant_policy import Policies
from fractal_lba.server.pipeline.local import local_shard
from fractal_lba.server.storage.replay import ShardFiles, open_shard
from fractal_lba.server.storage.shard import ShardStore
from fractal_lba.server.telemetry.metrics import Metrics
from fractal_lba.wal import RealDisk
from fractal_lba.wal.group_commit import Bounds

if TYPE_CHECKING:
    from fractal_lba.server.charging import Quotas

BOUNDS = Bounds(items_max=16, bytes_max=1 << 20, queue_items_max=256, queue_bytes_max=1 << 24)
NOW_NS = 1_793_534_400_000_000_000
DAY_NS = 86_400_000_000_000


class NoQuotas:
    """Nothing is asked of anybody."""

    def concerns(self, _tenant: str) -> bool:
        return False


def opened(folder: Path) -> ShardFiles:
    return open_shard(
        RealDisk(), folder, segment_bytes_max=1 << 20, map_bytes=1 << 20, data_id="d" * 32
    )


def rows(folder: Path) -> dict[bytes, list[tuple[bytes, bytes]]]:
    """Return every database of an index, in the order of its keys."""
    with lmdb.open(str(folder / "index"), max_dbs=16, readonly=True) as env:
        with env.begin() as transaction:
            names = [bytes(name) for name, _ in transaction.cursor()]
        found = {}
        for name in names:
            database = env.open_db(name, create=False)
            with env.begin(db=database) as transaction:
                found[name] = [(bytes(key), bytes(value)) for key, value in transaction.cursor()]
    return found


def old() -> Verified:
    ring = Keyring(keys={legacy.OLD.kid: legacy.OLD.key}, tokens={})
    body = legacy.body(legacy.signed())
    found = authenticate(body, ring, legacy_tenant=legacy.OLD.tenant)
    return judged(found, IN_FORCE, received_ns=NOW_NS, is_recovered=False)


def test_an_append_and_a_replay_write_the_same_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "shard-0"

    async def live() -> None:
        store = ShardStore(opened(folder), meter=Metrics(), bounds=BOUNDS, flush_records=20)
        shard = local_shard(
            "shard-0",
            store,
            region="here",
            policies=Policies(),
            quotas=cast("Quotas", NoQuotas()),
            clock=lambda: NOW_NS + DAY_NS,
        )
        new = [verified(epoch, received_ns=NOW_NS) for epoch in range(1, 31)]
        asked = [verified(40 + n, received_ns=NOW_NS + DAY_NS, regime="sticky") for n in range(4)]
        others = [replace(each, content_digest=f"{n:064x}") for n, each in enumerate(new[:5])]
        again = [replace(each, content_digest="f" * 64) for each in new[:2]]
        for run in ([*new, old(), *asked], others, [*again, *new[:3]]):
            ends = await shard.decide(run)
            assert all(isinstance(end, Answer) for end in ends)
        for each in asked[:2]:
            resolved = await shard.append_resolution(each.key, note="seen", who="somebody")
            assert isinstance(resolved, Known)
        await store.close()

    asyncio.run(live())
    appended = rows(folder)
    shutil.rmtree(folder / "index")
    files = opened(folder)
    files.index.close()
    files.stream.close()
    assert {name: len(found) for name, found in appended.items()} == {
        b"records": 35,
        b"numbers": 35,
        b"streams": 35,
        b"open": 2,
        b"deadlines": 32,
        b"usage": 3,
        b"floors": 0,
        b"meta": 1,
    }
    assert rows(folder) == appended
