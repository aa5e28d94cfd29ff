"""What a process holds open is read beside its writing; a suspicion changes nothing in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.server_disk import flip
from tests.support.stored_folder import INBOX, MAP_BYTES, SHARD, StoredFolder, decided

from fractal_lba.server.core.known import RecordKey
from fractal_lba.server.core.problems import Kind, Report
from fractal_lba.server.core.ring import Ring
from fractal_lba.server.storage.fsck import check_inbox_stream, check_shard
from fractal_lba.server.storage.index import LmdbIndex
from fractal_lba.server.storage.index_values import record_key_bytes
from fractal_lba.server.storage.replay import ShardFiles, open_shard


@pytest.fixture
def folder(ram_path: Path) -> StoredFolder:
    return StoredFolder(ram_path / "data").create()


@pytest.fixture
def files(folder: StoredFolder) -> Iterator[ShardFiles]:
    """The shard as a server holds it."""
    opened = open_shard(
        folder.disk,
        folder.shard,
        segment_bytes_max=1 << 20,
        map_bytes=MAP_BYTES,
        data_id=folder.shards.data_id,
    )
    yield opened
    opened.index.close()
    opened.stream.close()


def look(folder: StoredFolder, files: ShardFiles) -> Report:
    assert isinstance(files.index, LmdbIndex)
    report, ring = Report(), Ring(folder.shards.shards)
    sizes = [
        *check_shard(folder.disk, folder.shard, report, index=files.index, ring=ring),
        *check_inbox_stream(folder.disk, folder.data / INBOX, report),
    ]
    assert sum(sizes) > 5_000
    return report


def test_an_open_shard_is_read_with_its_own_index(folder: StoredFolder, files: ShardFiles) -> None:
    report = look(folder, files)
    assert (report.problems, report.records, report.inbox_bodies) == ([], 5, 2)
    assert [path.name for path in folder.data.iterdir()].count(SHARD) == 1


def test_what_is_in_memory_only_is_not_missed(folder: StoredFolder, files: ShardFiles) -> None:
    first = files.index.checkpoint
    known = files.index.lookup(key(1))
    assert first is not None
    assert known is not None
    files.index.put(key(1), known, first)
    assert files.index.unflushed == 1
    assert look(folder, files).is_sound


def test_a_value_that_rotted_is_named_and_fences_nothing(
    folder: StoredFolder, files: ShardFiles
) -> None:
    assert isinstance(files.index, LmdbIndex)
    handles = files.index.handles
    name = record_key_bytes(key(1))
    with handles.env.begin(write=True, db=handles.records) as transaction:
        transaction.put(name, b"not a value")
    kinds = {each.kind for each in look(folder, files).problems}
    assert kinds == {Kind.INDEX_UNREADABLE}
    assert not files.index.is_damaged
    assert files.index.lookup(key(2)) is not None


def test_a_ledger_that_rotted_is_named_while_it_is_open(
    folder: StoredFolder, files: ShardFiles
) -> None:
    flip(folder.segments()[0], 400)
    assert [each.kind for each in look(folder, files).problems] == [Kind.LEDGER_DAMAGED]
    assert not files.stream.is_fenced


def key(epoch: int) -> RecordKey:
    first = decided(epoch=epoch)
    return RecordKey(first.tenant, first.family, first.pcs_id)
