"""What earlier releases wrote is read as it is, what later ones wrote is refused."""

import struct
from pathlib import Path
from typing import Any

import lmdb
import msgspec
import pytest
from tests.support import old_files
from tests.support.signed import body
from tests.support.stored_folder import MAP_BYTES, StoredFolder, conflicting, decided

from fractal_lba.protocol.errors import ContractError, CorruptionError, DurabilityError, LockedError
from fractal_lba.server import offline
from fractal_lba.server.config import Settings
from fractal_lba.server.core.entry import Decision, decode_entry
from fractal_lba.server.core.inbox_frame import decode_received
from fractal_lba.server.core.known import Known, RecordKey
from fractal_lba.server.storage import data_folder
from fractal_lba.server.storage.index_state import META_STATE, State, state_bytes
from fractal_lba.server.storage.migrate import Format
from fractal_lba.wal import RealDisk, lock_folder, scan_folder

LEDGER = "shard-0/ledger"
AT_NS = 1_793_534_400_000_000_000


@pytest.fixture
def folder(ram_path: Path) -> StoredFolder:
    return StoredFolder(ram_path / "data")


def old(kind: str, entry: Any, *, meta: bytes = old_files.ENTRY_1) -> tuple[bytes, bytes]:  # noqa: ANN401 - an entry
    members = {name: getattr(entry, name) for name in entry.__struct_fields__}
    return old_files.entry(kind, members, meta=meta)


def write_old(folder: StoredFolder) -> None:
    """Write a folder of an earlier release: entries of version 1, then of version 2, no index."""
    frames = [
        old("decision", decided(epoch=1)),
        old("decision", decided(epoch=2, D_hat=3.0)),
        old("conflict", conflicting(1)),
        old("decision", decided(epoch=3), meta=old_files.ENTRY_2),
        # The other version's worker was still there: the two take turns in a rolling restart.
        old("decision", decided("0.1", epoch=4)),
    ]
    old_files.write_shards(folder.data)
    old_files.write_stream(folder.ledger, *old_files.closed(LEDGER, frames, received_ns=AT_NS))
    arrived = b"\x01" + old_files.packed({"route": "submit"}), body(9)
    mark = b"\x02", struct.pack("<Q", 1)
    inbox = old_files.closed("inbox-0", [arrived, mark], received_ns=AT_NS)
    old_files.write_stream(folder.data / "inbox-0", *inbox)


def settings(folder: StoredFolder) -> Settings:
    return Settings(data=str(folder.data), shards=("shard-0",), index_map_bytes=MAP_BYTES)


def migrate(folder: StoredFolder, *, is_applied: bool) -> dict[str, Format]:
    found = offline.migrate(settings(folder), folder.data, is_applied=is_applied)
    return {each.where: each for each in found}


def everything(folder: StoredFolder) -> dict[RecordKey, Known]:
    index = folder.opened()
    try:
        return dict(index.items())
    finally:
        index.close()


def test_what_an_earlier_release_wrote_is_read_as_it_is(folder: StoredFolder) -> None:
    write_old(folder)
    path = folder.segments()[0]
    before = path.read_bytes()
    assert folder.check().problems == []
    folder.replay()
    report = folder.check()
    assert (report.problems, report.records, report.conflicts) == ([], 4, 1)
    assert (report.inbox_bodies, report.undecided_inbox) == (1, 0)
    known = everything(folder)
    assert sorted(each.place.seq for each in known.values()) == [1, 2, 4, 5]
    assert path.read_bytes() == before


def test_entries_of_both_versions_are_the_same_decision(folder: StoredFolder) -> None:
    write_old(folder)
    read = [
        decode_entry(item[1].meta, item[1].payload)
        for item in scan_folder(RealDisk(), folder.ledger, LEDGER)
        if isinstance(item, tuple)
    ]
    assert read[0] == decided(epoch=1)
    assert read[3] == decided(epoch=3)
    assert isinstance(read[4], Decision)
    one, two = old("decision", decided(epoch=1)), old("decision", decided(epoch=1), meta=b"")
    assert one[1] == two[1]


def test_a_migration_says_what_it_finds_and_does_it_once(folder: StoredFolder) -> None:
    write_old(folder)
    said = migrate(folder, is_applied=False)
    assert said["shards.json"].found == {"1": 1}
    assert said[LEDGER].found == {"segment 1, entry 1": 4, "segment 1, entry 2": 1}
    assert said[LEDGER].to_do == said["inbox-0"].to_do == ""
    assert said["shard-0/index"].to_do == "build it again from the ledger"
    assert not folder.index.exists()
    done = migrate(folder, is_applied=True)
    assert done["shard-0/index"].found == {"3": 1}
    assert not any(each.to_do for each in done.values())
    first = (folder.index / "data.mdb").read_bytes()
    assert migrate(folder, is_applied=True) == done
    assert (folder.index / "data.mdb").read_bytes() == first
    assert folder.check().is_sound


@pytest.mark.parametrize("version", [1, 2, 4, 99])
def test_an_index_of_another_version_is_built_again(folder: StoredFolder, version: int) -> None:
    write_old(folder)
    folder.replay()
    sound = everything(folder)
    with lmdb.open(str(folder.index), max_dbs=8) as env:
        meta = env.open_db(b"meta")
        with env.begin(write=True, db=meta) as transaction:
            other = State(format_version=version, data_id=folder.shards.data_id)
            transaction.put(META_STATE, state_bytes(other))
    said = migrate(folder, is_applied=False)["shard-0/index"]
    assert (said.found, said.written) == ({str(version): 1}, "3")
    assert migrate(folder, is_applied=True)["shard-0/index"].to_do == ""
    assert everything(folder) == sound


def test_a_migration_beside_a_server_looks_and_changes_nothing(folder: StoredFolder) -> None:
    write_old(folder)
    lock = lock_folder(RealDisk(), folder.data)
    assert migrate(folder, is_applied=False)["shard-0/index"].to_do
    with pytest.raises(LockedError):
        migrate(folder, is_applied=True)
    assert not folder.index.exists()
    lock.release()


def test_a_segment_of_a_later_release_is_refused_with_that_release(folder: StoredFolder) -> None:
    write_old(folder)
    later = old_files.segment(
        LEDGER,
        [],
        received_ns=AT_NS,
        ordinal=3,
        first_seq=6,
        format_version=2,
        read_since=(4, 7),
    )
    (folder.ledger / later[0]).write_bytes(later[1])
    for refuse in (folder.check, folder.replay, lambda: migrate(folder, is_applied=True)):
        with pytest.raises((ContractError, DurabilityError), match=r"4\.7"):
            refuse()


@pytest.mark.parametrize("is_indexed", [False, True])
def test_an_entry_of_a_later_release_is_refused_before_anything_is_decided(
    folder: StoredFolder, *, is_indexed: bool
) -> None:
    write_old(folder)
    folder.replay()
    folder.append_raw([(struct.pack("<HBB", 3, 4, 7), b"later")])
    if is_indexed:
        # As the later release left it: its own index knew the entry, and has this release's format.
        index = folder.opened()
        before = index.checkpoint
        assert before is not None
        index._checkpoint = msgspec.structs.replace(before, seq=6)
        index.close()
    with pytest.raises(ContractError, match=r"got 3, which release 4\.7 and later read"):
        folder.replay()
    with pytest.raises(ContractError, match=r"4\.7"):
        migrate(folder, is_applied=True)


def test_a_shard_set_of_a_later_release_is_refused_with_that_release(tmp_path: Path) -> None:
    old_files.write_shards(tmp_path / "data", format_version=2, read_since="4.7", later="member")
    with pytest.raises(ContractError, match=r"got 2, which release 4\.7 and later read"):
        data_folder.check(tmp_path / "data", ())


def test_a_body_with_what_this_release_does_not_know_is_refused() -> None:
    meta = b"\x01" + old_files.packed({"route": "submit", "priority": "high"})
    with pytest.raises(CorruptionError, match="meta block of this version"):
        decode_received(meta)
