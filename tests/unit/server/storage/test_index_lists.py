"""A page of a listing is what a sorted list of the same records would give."""

import random
from pathlib import Path

import lmdb
import pytest
from tests.support.indexes import KEPT

from fractal_lba.protocol.errors import CorruptionError
from fractal_lba.server.core.known import Known, KnownResolution, Place, RecordKey
from fractal_lba.server.core.listing import BEGIN, Outcome, Query, Spot, Summary
from fractal_lba.server.ports import Listed
from fractal_lba.server.storage import listing
from fractal_lba.server.storage.index import LmdbIndex
from fractal_lba.server.storage.index_port import Index
from fractal_lba.server.storage.index_state import Checkpoint
from fractal_lba.server.storage.index_values import record_key_bytes
from fractal_lba.server.storage.listing import list_page

TENANTS = ("a", "a1", "b")
STATUSES = (200, 202, 422)
SEED = 20261121


def record(seq: int, tenant: str, stream: int, epoch: int) -> tuple[RecordKey, Known]:
    known = Known(
        content_digest=f"{seq:064x}",
        received_ns=seq,
        place=Place(seq=seq, segment=1, offset=216 + seq),
        status=STATUSES[seq % 3],
        summary=Summary(version="1.0", shard_id=f"s{stream}", epoch=epoch, regime="mixed"),
    )
    return RecordKey(tenant, "1.x", f"{seq:064x}"), known


def put(index: Index, key: RecordKey, known: Known) -> None:
    seq = known.place.seq
    index.put(key, known, Checkpoint(seq=seq, segment=1, segment_first_seq=1, payload_crc32c=seq))


def pages(index: Index, tenant: str, query: Query, size: int) -> list[Listed]:
    found: list[Listed] = []
    spot: Spot | None = BEGIN
    while spot is not None:
        page = list_page(index, tenant, query, spot, size)
        assert len(page.items) <= size
        found += page.items
        assert page.next is None or page.next > spot
        spot = page.next
    return found


@pytest.mark.parametrize("looked_at_max", [3, 5_000])
@pytest.mark.parametrize("engine", KEPT)
def test_pages_hold_what_a_sorted_list_would_whatever_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, looked_at_max: int
) -> None:
    monkeypatch.setattr(listing, "LOOKED_AT_MAX", looked_at_max)
    monkeypatch.setattr(listing, "_CHUNK", 4)
    chance = random.Random(SEED)  # noqa: S311 - which records, not a secret
    kept = KEPT[engine](tmp_path / "index")
    index = kept.open()
    held: dict[RecordKey, Known] = {}
    for seq in range(1, 121):
        key, known = record(seq, chance.choice(TENANTS), chance.randrange(2), chance.randrange(9))
        held[key] = known
        put(index, key, known)
        if seq % 7 == 0:
            index.flush()
    for key in chance.sample([key for key in held if held[key].is_escalated], 10):
        resolution = KnownResolution(received_ns=1, place=Place(seq=200, segment=1, offset=1))
        known = held[key]
        held[key] = Known(
            content_digest=known.content_digest,
            received_ns=known.received_ns,
            place=known.place,
            status=known.status,
            summary=known.summary,
            resolutions=(resolution,),
        )
        put(index, key, held[key])
    for _ in range(2):  # with some of it in memory, then with all of it committed
        for tenant in TENANTS:
            mine = {key: known for key, known in held.items() if key.tenant == tenant}
            for query in (
                Query(),
                Query(outcome=Outcome.ACCEPTED),
                Query(shard_id="s1"),
                Query(shard_id="s1", from_epoch=2, to_epoch=5, outcome=Outcome.ESCALATED),
                Query(shard_id="s"),
                Query(is_open_escalation=True),
            ):
                expected = sorted(
                    (
                        known
                        for known in mine.values()
                        if query.shard_id in {None, known.summary.shard_id}
                        and query.asks_for(
                            known.summary, status=known.status, received_ns=known.received_ns
                        )
                        and not (
                            query.is_open_escalation
                            and (known.resolutions or not known.is_escalated)
                        )
                    ),
                    key=lambda known: (
                        known.summary.epoch if query.shard_id is not None else 0,
                        known.place.seq,
                    ),
                )
                for size in (1, 5, 1_000):
                    found = pages(index, tenant, query, size)
                    assert [each.known for each in found] == expected
                    assert {each.key.tenant for each in found} <= {tenant}
        index.flush()
    index.close()


def test_a_record_that_a_listing_names_and_the_index_lost_is_damage(tmp_path: Path) -> None:
    index = LmdbIndex(tmp_path / "index", map_bytes=1 << 20)
    kept = [record(seq, "a", 0, seq) for seq in range(1, 8)]
    for key, known in kept:
        put(index, key, known)
    index.flush()
    index.close()
    with lmdb.open(str(tmp_path / "index"), max_dbs=16) as env:
        records = env.open_db(b"records", create=False)
        with env.begin(write=True) as transaction:
            assert transaction.delete(record_key_bytes(kept[3][0]), db=records)
    index = LmdbIndex(tmp_path / "index", map_bytes=1 << 20)
    with pytest.raises(CorruptionError, match="the record that a listing names"):
        pages(index, "a", Query(), 1_000)
    assert index.is_damaged
    index.close()
