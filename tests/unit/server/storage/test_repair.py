"""A rebuilt index is what the ledger says; the ledger keeps every byte, wherever a repair ends."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import lmdb
import pytest
from tests.support.failing_disk import Crash, Effect, FailingDisk
from tests.support.server_disk import flip
from tests.support.stored_folder import INBOX, MAP_BYTES, StoredFolder, decided, whole

from fractal_lba.protocol.errors import FractalError, LockedError
from fractal_lba.server import offline
from fractal_lba.server.config import Settings
from fractal_lba.server.core.known import Known, RecordKey
from fractal_lba.server.core.problems import Kind, Report
from fractal_lba.server.core.usage import Usage
from fractal_lba.server.storage.index import LmdbIndex
from fractal_lba.server.storage.replay import open_shard
from fractal_lba.wal import RealDisk, lock_folder


@pytest.fixture
def folder(ram_path: Path) -> StoredFolder:
    return StoredFolder(ram_path / "data").create()


def repair(folder: StoredFolder, *, accept_loss: bool = False) -> Report:
    settings = Settings(data=str(folder.data), shards=("shard-0",), index_map_bytes=MAP_BYTES)
    return offline.repair(settings, folder.data, accept_loss=accept_loss, disk=folder.disk)


def everything(folder: StoredFolder) -> tuple[dict[RecordKey, Known], list[object]]:
    """Return what an index holds."""
    index = folder.opened()
    try:
        return dict(index.items()), list(index.usages())
    finally:
        index.close()


def logs(folder: StoredFolder) -> dict[str, bytes]:
    """Return the bytes of every segment."""
    found = [*folder.segments(), *folder.segments(INBOX)]
    return {path.name: path.read_bytes() for path in found}


@contextmanager
def untouched_logs(folder: StoredFolder) -> Iterator[None]:
    before = logs(folder)
    yield
    assert logs(folder) == before


def spoil(folder: StoredFolder) -> None:
    """Make an index wrong in several ways, each of which verifies."""
    index = folder.opened()
    first = index.lookup(key(1))
    assert first is not None
    index.put(key(2), first, index._checkpoint)  # type: ignore[arg-type]  # there is one
    index.put(key(99), first, index._checkpoint)  # type: ignore[arg-type]
    index.charge("acme", 5, Usage(records=1, bytes=1))
    index.close()


def key(epoch: int) -> RecordKey:
    first = decided(epoch=epoch)
    return RecordKey(first.tenant, first.family, first.pcs_id)


def test_an_index_that_is_wrong_is_rebuilt_and_says_so(folder: StoredFolder) -> None:
    sound = everything(folder)
    spoil(folder)
    assert not folder.check().is_sound
    with untouched_logs(folder):
        report = repair(folder)
    assert report.is_sound
    assert report.repairs == ["shard-0/index: rebuilt from 7 entries of the ledger"]
    assert everything(folder) == sound
    assert contents(folder.shard) == ["index", "ledger"]


@pytest.mark.parametrize("is_there", [True, False])
def test_an_index_that_cannot_be_read_or_is_gone_is_built(
    folder: StoredFolder, *, is_there: bool
) -> None:
    sound = everything(folder)
    if is_there:
        (folder.index / "data.mdb").write_bytes(b"no index")
        assert [each.kind for each in folder.check().problems] == [Kind.INDEX_UNREADABLE]
    else:
        shutil.rmtree(folder.index)
    assert repair(folder).is_sound
    assert everything(folder) == sound


def test_a_sound_folder_is_left_as_it_is(folder: StoredFolder) -> None:
    before = (folder.index / "data.mdb").read_bytes()
    assert (repair(folder).repairs, repair(folder).problems) == ([], [])
    assert (folder.index / "data.mdb").read_bytes() == before


def test_a_repair_beside_whoever_holds_the_folder_is_refused_by_name(
    folder: StoredFolder,
) -> None:
    spoil(folder)
    for held in (folder.data, folder.ledger):
        lock = lock_folder(RealDisk(), held)
        with pytest.raises(LockedError, match=f"got pid {os.getpid()}"):
            repair(folder)
        lock.release()
    assert repair(folder).is_sound


def test_a_repair_that_would_forget_ids_stops_and_names_them(folder: StoredFolder) -> None:
    spoil(folder)
    flip(folder.segments()[0], 400)
    before = (folder.index / "data.mdb").read_bytes()
    with untouched_logs(folder):
        report = repair(folder)
    (said,) = report.repairs
    assert said.startswith("not rebuilt, shard-0/index: expected every decision")
    assert "for the numbers 1 to 1: a rebuilt index would forget 3 ids" in said
    assert (folder.index / "data.mdb").read_bytes() == before
    assert not report.is_sound


def test_a_repair_stops_where_neither_ledger_nor_index_says_whose_it_was(
    folder: StoredFolder,
) -> None:
    flip(folder.segments()[0], 400)
    path = folder.index / "data.mdb"
    data = path.read_bytes()
    at = data.rindex(bytes.fromhex(decided(epoch=1).content_digest))
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    (said,) = repair(folder).repairs
    assert "numbers 1 to 1 were, got neither" in said


@pytest.mark.parametrize("has_index", [True, False])
def test_a_ledger_that_is_gone_is_begun_again_with_the_operator_s_word_alone(
    folder: StoredFolder, *, has_index: bool
) -> None:
    shutil.rmtree(folder.ledger if has_index else folder.shard)
    refused = repair(folder)
    assert [each.kind for each in refused.problems] == [Kind.LEDGER_MISSING]
    assert not refused.repairs
    assert not folder.ledger.exists()
    report = repair(folder, accept_loss=True)
    assert report.repairs == [
        "shard-0/ledger: begun empty, what it held is lost",
        "shard-0/index: rebuilt from 0 entries of the ledger",
    ]
    assert report.is_sound
    files = open_shard(
        folder.disk,
        folder.shard,
        segment_bytes_max=1 << 20,
        map_bytes=MAP_BYTES,
        data_id=folder.shards.data_id,
    )
    assert files.stream.next_seq == (8 if has_index else 1)  # no number is given again
    assert not files.index.losses
    files.index.close()
    files.stream.close()


def test_with_the_operator_s_word_ids_are_forgotten_and_numbers_are_not_given_again(
    folder: StoredFolder,
) -> None:
    kept = whole()[:2]
    for path in folder.segments():
        path.unlink()
    folder.append(kept)
    (refused,) = repair(folder).repairs
    assert "for the numbers 3 to 7" in refused
    report = repair(folder, accept_loss=True)
    assert report.repairs == ["shard-0/index: rebuilt from 2 entries of the ledger"]
    assert report.is_sound
    files = open_shard(
        folder.disk,
        folder.shard,
        segment_bytes_max=1 << 20,
        map_bytes=MAP_BYTES,
        data_id=folder.shards.data_id,
    )
    assert files.stream.next_seq == 8
    assert files.index.losses == ()
    assert files.index.lookup(key(3)) is None
    files.index.close()
    files.stream.close()


def test_what_no_mark_covers_is_left_to_the_next_start(folder: StoredFolder) -> None:
    last = folder.segments()[-1]
    folder.append([decided(epoch=20)])
    # As a crash leaves it: the batch is there, and nothing that marks it.
    newest = folder.segments()[-2]
    assert newest != last
    data = newest.read_bytes()
    folder.segments()[-1].unlink()
    newest.write_bytes(data[: data.rindex(b"\xf1LBf")])
    folder.index.joinpath("data.mdb").unlink()
    assert repair(folder).repairs == ["shard-0/index: rebuilt from 7 entries of the ledger"]
    assert everything(folder)[0].get(key(20)) is None
    folder.replay()
    assert folder.check().is_sound
    assert everything(folder)[0][key(20)].place.seq == 8


@pytest.mark.parametrize(
    ("error", "effect"), [(None, Effect.NONE), (None, Effect.WHOLE), (errno.EIO, Effect.WHOLE)]
)
def test_a_repair_that_ends_at_any_call_leaves_a_whole_index_and_can_be_run_again(
    ram_path: Path, error: int | None, effect: Effect
) -> None:
    made = StoredFolder(ram_path / "data").create()
    sound = everything(made)
    spoil(made)
    spoiled = everything(made)
    disk = FailingDisk(RealDisk())
    repair(copied(made, ram_path / "counted", disk))
    locks = [n for n, call in enumerate(disk.calls) if call.name in {"lock", "release"}]
    # Before the ledger's lock and after its release everything is only read.
    calls = range(locks[1] + 1, locks[-2] + 2)
    outcomes = set()
    for at in calls:
        failing = FailingDisk(RealDisk(), fail_at=at, error=error, effect=effect)
        copy = copied(made, ram_path / f"at-{at}", failing)
        before = logs(copy)
        with suppress(Crash, FractalError):
            repair(copy)
        failing.abandon()
        assert failing.has_failed, at
        assert logs(copy) == before, at
        copy.disk = FailingDisk(RealDisk())
        outcomes.add(is_rebuilt := everything(copy) == sound)
        assert is_rebuilt or everything(copy) == spoiled, at
        assert repair(copy).is_sound, at
        assert everything(copy) == sound
        assert contents(copy.shard) == ["index", "ledger"]
        shutil.rmtree(copy.data)
    assert len(calls) > 20
    assert outcomes == {True, False}


def copied(made: StoredFolder, data: Path, disk: FailingDisk) -> StoredFolder:
    shutil.copytree(made.data, data)
    return StoredFolder(data, disk=disk)


def contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_lmdb_serves_an_index_that_took_the_place_of_an_open_one_s_file(
    folder: StoredFolder,
) -> None:
    sound = everything(folder)
    spoil(folder)
    # A reader that was killed leaves its lock file behind, with the places of its transactions.
    with lmdb.open(str(folder.index)) as env, env.begin():
        lock = (folder.index / "lock.mdb").read_bytes()
    assert repair(folder).is_sound
    (folder.index / "lock.mdb").write_bytes(lock)
    assert everything(folder) == sound
    index = LmdbIndex(folder.index, map_bytes=MAP_BYTES, data_id=folder.shards.data_id)
    index.charge("acme", 5, Usage(records=1, bytes=1))
    index.close()
    assert not folder.check().is_sound
