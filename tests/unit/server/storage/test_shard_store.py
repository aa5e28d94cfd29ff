"""What was looked up before a failure is not appended after it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.support.failing_disk import Effect
from tests.support.faulty_server import Fault, Faults

from fractal_lba.protocol.errors import DurabilityError, FencedError
from fractal_lba.server.core.entry import Decision
from fractal_lba.server.core.known import Known, RecordKey
from fractal_lba.server.core.run import NewEntry
from fractal_lba.server.storage.index import LmdbIndex
from fractal_lba.server.storage.index_state import Checkpoint
from fractal_lba.server.storage.replay import open_shard
from fractal_lba.server.storage.shard import ShardStore
from fractal_lba.server.telemetry.metrics import Metrics
from fractal_lba.wal import Stream
from fractal_lba.wal.group_commit import Bounds

RECORD = b'{"D_hat":1,"coh_star":0.5,"epoch":1,"regime":"mixed","shard_id":"p","version":"1.0"}'
KEY = RecordKey("acme", "1.x", "0" * 64)
DECISION = Decision(
    tenant=KEY.tenant,
    family=KEY.family,
    pcs_id=KEY.pcs_id,
    record_digest="1" * 64,
    content_digest="2" * 64,
    kid="acme-1",
    params_version="1",
    region="local",
    status=200,
    answer=b"{}",
    record=RECORD,
)


async def store_on(disk: Faults, folder: Path, *, items_max: int = 8) -> ShardStore:
    files = open_shard(disk, folder, segment_bytes_max=1 << 20, map_bytes=1 << 20)
    return ShardStore(
        files,
        meter=Metrics(),
        bounds=Bounds(
            items_max=items_max, bytes_max=1 << 20, queue_items_max=8, queue_bytes_max=1 << 20
        ),
        flush_records=64,
    )


async def append(
    store: ShardStore, key: RecordKey, entry: Decision, *, received_ns: int
) -> Known | Exception:
    (end,) = await store.append([NewEntry(key, entry, received_ns)])
    return end


def lookup(store: ShardStore, key: RecordKey) -> Known | DurabilityError | None:
    (known,) = store.lookup([key])
    return known


async def fail_one(store: ShardStore, disk: Faults) -> None:
    """Append a decision whose bytes reach the disk and whose sync fails."""
    disk.tell(Fault(at=frozenset({2}), effect=Effect.WHOLE))
    assert isinstance(await append(store, KEY, DECISION, received_ns=1), DurabilityError)
    assert store.fenced_by is not None


@pytest.mark.parametrize("is_reopening", [False, True])
def test_an_entry_looked_up_before_the_ledger_was_reopened_is_not_written(
    tmp_path: Path, *, is_reopening: bool
) -> None:
    async def run() -> None:
        disk = Faults()
        store = await store_on(disk, tmp_path / "shard-0")
        await fail_one(store, disk)
        # It is on disk all the same: nobody can be told that nothing is known of the id.
        assert isinstance(lookup(store, KEY), FencedError)
        reopening = asyncio.create_task(store.reopen())
        if is_reopening:
            await asyncio.sleep(0)
        assert isinstance(await append(store, KEY, DECISION, received_ns=2), FencedError)
        await reopening
        known = lookup(store, KEY)
        assert isinstance(known, Known)
        assert (known.place.seq, known.received_ns) == (1, 1)
        await store.close()

    asyncio.run(run())


def test_an_entry_that_waited_while_the_ledger_was_reopened_is_not_written(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        disk = Faults()
        store = await store_on(disk, tmp_path / "shard-0", items_max=1)
        disk.tell(Fault(at=frozenset({2}), effect=Effect.WHOLE))

        async def fail_and_reopen() -> None:
            assert isinstance(await append(store, KEY, DECISION, received_ns=1), DurabilityError)
            disk.tell(None)
            await store.reopen()

        # The second is refused by the fenced ledger; the third comes to it after it was reopened.
        _, second, third = await asyncio.gather(
            fail_and_reopen(),
            append(store, KEY, DECISION, received_ns=2),
            append(store, KEY, DECISION, received_ns=3),
            return_exceptions=True,
        )
        assert isinstance(second, FencedError)
        assert isinstance(third, FencedError)
        known = lookup(store, KEY)
        assert isinstance(known, Known)
        assert (known.place.seq, known.received_ns) == (1, 1)
        await store.close()

    asyncio.run(run())


class Unexpected(Exception):  # noqa: N818 - of no kind that is expected
    """What no adapter translates."""


def test_a_failure_of_any_kind_behind_the_ledgers_write_fences_and_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        store = await store_on(Faults(), tmp_path / "shard-0")

        def fail(*_: object) -> None:
            raise Unexpected

        with monkeypatch.context() as patched:
            patched.setattr(LmdbIndex, "put_all", fail)
            end = await append(store, KEY, DECISION, received_ns=1)
        assert isinstance(end, DurabilityError)
        assert "Unexpected" in str(end)
        known = lookup(store, KEY)
        assert isinstance(known, FencedError)
        assert "Unexpected" in str(known)
        await store.reopen()
        assert isinstance(lookup(store, KEY), Known)
        await store.close()

    asyncio.run(run())


def test_nothing_is_written_after_an_entry_that_the_index_does_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = RecordKey(KEY.tenant, KEY.family, "f" * 64)
    later = replace(DECISION, pcs_id=other.pcs_id)
    put_all = LmdbIndex.put_all
    failures = [Unexpected()]

    def fail_once(
        index: LmdbIndex, remembered: Sequence[tuple[RecordKey, Known]], checkpoint: Checkpoint
    ) -> None:
        if failures:
            raise failures.pop()
        put_all(index, remembered, checkpoint)

    async def run() -> None:
        store = await store_on(Faults(), tmp_path / "shard-0", items_max=1)
        monkeypatch.setattr(LmdbIndex, "put_all", fail_once)
        # The second waits for the first's commit: it passed the fence before there was one.
        results = await asyncio.gather(
            append(store, KEY, DECISION, received_ns=1),
            append(store, other, later, received_ns=2),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [DurabilityError, FencedError]
        await store.reopen()
        assert isinstance(lookup(store, KEY), Known)
        assert lookup(store, other) is None
        end = await append(store, other, later, received_ns=3)
        assert isinstance(end, Known)
        assert end.place.seq == 2
        await store.close()

    asyncio.run(run())


def test_the_ledger_is_marked_only_once_the_index_holds_what_the_mark_covers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        files = open_shard(
            Faults(), tmp_path / "shard-0", segment_bytes_max=1 << 20, map_bytes=1 << 20
        )
        loop, is_marked = asyncio.get_running_loop(), asyncio.Event()
        mark = Stream.mark
        unflushed: list[int] = []

        def watched(stream: Stream) -> None:
            if stream.next_seq > 1:
                unflushed.append(files.index.unflushed)
                loop.call_soon_threadsafe(is_marked.set)
            mark(stream)

        monkeypatch.setattr(Stream, "mark", watched)
        bounds = Bounds(items_max=8, bytes_max=1 << 20, queue_items_max=8, queue_bytes_max=1 << 20)
        store = ShardStore(files, meter=Metrics(), bounds=bounds, flush_records=64)
        await append(store, KEY, DECISION, received_ns=1)
        async with asyncio.timeout(30):
            await is_marked.wait()
        await store.close()
        assert set(unflushed) == {0}

    asyncio.run(run())


def test_an_index_that_cannot_grow_is_a_failed_commit(tmp_path: Path) -> None:
    index = LmdbIndex(tmp_path / "index", map_bytes=1 << 20)
    index._map_bytes = 1 << 62
    with pytest.raises(DurabilityError, match="address space"):
        index._grow()
