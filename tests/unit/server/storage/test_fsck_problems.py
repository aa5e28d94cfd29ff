"""Every kind of problem can be met, is named with its place, and has its remedy."""

import errno
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import lmdb
import msgspec
import pytest
from msgspec.structs import replace
from tests.support.failing_disk import FailingDisk
from tests.support.server_disk import flip
from tests.support.signed import ACME, body
from tests.support.stored_folder import (
    INBOX,
    RING,
    StoredFolder,
    conflicting,
    decided,
    evidence,
    resolved,
    whole,
)

from fractal_lba.protocol import Keyring
from fractal_lba.server.core import inbox_frame, names
from fractal_lba.server.core.entry import META, encode_entry
from fractal_lba.server.core.inbox_frame import Received
from fractal_lba.server.core.known import RecordKey
from fractal_lba.server.core.problems import PROBLEMS_NAMED_MAX, REMEDIES, Kind, Problem, Report
from fractal_lba.server.core.ring import WEIGHT_MAX, ShardSpec
from fractal_lba.server.core.usage import Usage
from fractal_lba.server.storage.index_values import known_bytes, record_key_bytes
from fractal_lba.server.storage.ledgers import begin_ledger
from fractal_lba.wal import RealDisk
from fractal_lba.wal.footer import FOOTER_BYTES


@pytest.fixture
def folder(ram_path: Path) -> StoredFolder:
    return StoredFolder(ram_path / "data").create()


def key_of(epoch: int) -> RecordKey:
    first = decided(epoch=epoch)
    return RecordKey(first.tenant, first.family, first.pcs_id)


def only(folder: StoredFolder, kind: Kind, keyring: Keyring | None = None) -> Problem:
    """Return the first problem; all are of this kind."""
    report = folder.check(keyring)
    assert {each.kind for each in report.problems} == {kind}, report.problems
    return report.problems[0]


def change(folder: StoredFolder, database: bytes, key: bytes, value: bytes | None) -> None:
    """Put a value into a database of the index behind its back, or take it away."""
    with lmdb.open(str(folder.index), max_dbs=8) as env:
        handle = env.open_db(database)
        with env.begin(write=True, db=handle) as transaction:
            assert transaction.delete(key) if value is None else transaction.put(key, value)


def flip_in_ledger(folder: StoredFolder) -> Problem:
    flip(folder.segments()[0], 400)
    report = folder.check()
    assert [each.kind for each in report.problems] == [Kind.LEDGER_DAMAGED]
    assert report.damage == [f"shard-0/ledger: {report.problems[0].what}"]
    return report.problems[0]


def lose_the_end(folder: StoredFolder) -> Problem:
    for path in folder.segments():
        path.unlink()
    folder.append(whole()[:2])
    report = folder.check()
    (found,) = (each for each in report.problems if each.kind is Kind.LEDGER_ENDS_EARLY)
    assert "up to decision 7, got one up to 2" in found.what
    return found


def lose_a_ledger(folder: StoredFolder) -> Problem:
    folder.ledger.rename(folder.data / "elsewhere")
    return only(folder, Kind.LEDGER_MISSING)


def flip_in_inbox(folder: StoredFolder) -> Problem:
    flip(folder.segments(INBOX)[0], 400)
    return only(folder, Kind.INBOX_DAMAGED)


def spoil_a_footer_s_sum(folder: StoredFolder) -> Problem:
    # A footer that verifies, over bytes that are not its own: only a bug or a forger makes one.
    from fractal_lba.wal.footer import footer_at, pack_footer  # noqa: PLC0415 - here alone
    from fractal_lba.wal.framing import SegmentKey  # noqa: PLC0415

    path = folder.segments()[0]
    data = path.read_bytes()
    key = SegmentKey(bytes.fromhex(path.name[11:43]))
    found = footer_at(data, len(data) - FOOTER_BYTES, len(data), key)
    assert found is not None
    path.write_bytes(data[:-FOOTER_BYTES] + pack_footer(key, found._replace(whole=found.whole ^ 1)))
    return only(folder, Kind.FOOTER_DIFFERS)


class Unreadable(FailingDisk):
    """A disk whose inbox cannot be listed."""

    def names(self, folder: Path) -> list[str]:  # type: ignore[explicit-override]
        if folder.name == INBOX:
            raise OSError(errno.EIO, os.strerror(errno.EIO), folder.name)
        return super().names(folder)


def refuse_a_folder(folder: StoredFolder) -> Problem:
    folder.disk = Unreadable(RealDisk())
    return only(folder, Kind.UNREADABLE)


def append_a_newer_entry(folder: StoredFolder) -> Problem:
    folder.append_raw([(struct.pack("<HBB", 9, 3, 1), b"new")])
    found = only(folder, Kind.ENTRY_UNREADABLE)
    assert "release 3.1 and later" in found.what
    return found


def append_another_s_digest(folder: StoredFolder) -> Problem:
    folder.append([msgspec.structs.replace(decided(epoch=9), content_digest="0" * 64)])
    return only(folder, Kind.ENTRY_DIFFERS)


def append_a_forged_record(folder: StoredFolder) -> Problem:
    forged = decided(epoch=9)
    other = decided(epoch=10).record.split(b'"sig":')[1].split(b'"')[1]
    own = forged.record.split(b'"sig":')[1].split(b'"')[1]
    folder.append([msgspec.structs.replace(forged, record=forged.record.replace(own, other))])
    assert folder.check().is_sound
    return only(folder, Kind.SIGNATURE_DIFFERS, RING)


def decide_again(folder: StoredFolder) -> Problem:
    folder.append([decided(epoch=1)])
    assert folder.check().stored_twice == 1
    return only(folder, Kind.DECIDED_TWICE)


def decide_elsewhere(folder: StoredFolder) -> Problem:
    # Another set of the same shard and one more: some of what it holds is no longer its own.
    folder.others = (ShardSpec(name="shard-1", weight=WEIGHT_MAX),)
    begin_ledger(folder.disk, folder.data / "shard-1")
    return only(folder, Kind.WRONG_SHARD)


def append_to_nothing(folder: StoredFolder) -> Problem:
    folder.append([conflicting(77)])
    return only(folder, Kind.APPENDED_ALONE)


def receive_another_kind(folder: StoredFolder) -> Problem:
    folder.append_inbox(b"\x09", b"new")
    return only(folder, Kind.INBOX_FRAME_UNREADABLE)


def spoil_a_note(folder: StoredFolder) -> Problem:
    (folder.data / names.judging(names.inbox(0))).write_bytes(b"{")
    return only(folder, Kind.NOTE_UNREADABLE)


def finish_a_mark(folder: StoredFolder) -> Problem:
    folder.append_inbox(*inbox_frame.encode_finished([1, 3]))
    return only(folder, Kind.MARK_DIFFERS)


def spoil_a_value(folder: StoredFolder) -> Problem:
    change(folder, b"records", record_key_bytes(key_of(1)), b"not a value")
    return only(folder, Kind.INDEX_UNREADABLE)


def remove_an_entry(folder: StoredFolder) -> Problem:
    change(folder, b"records", record_key_bytes(key_of(1)), None)
    report = folder.check()
    kinds = {each.kind for each in report.problems}
    assert kinds == {Kind.INDEX_LACKS, Kind.INDEX_ORDERS_DIFFER}
    (found,) = (each for each in report.problems if each.kind is Kind.INDEX_LACKS)
    return found


def invent_an_entry(folder: StoredFolder) -> Problem:
    index = folder.opened()
    known = index.lookup(key_of(1))
    assert known is not None
    index.close()
    name = record_key_bytes(key_of(99))
    change(folder, b"records", name, known_bytes(name, known))
    report = folder.check()
    found, *_ = (each for each in report.problems if each.kind is Kind.INDEX_STRAY)
    return found


def move_an_entry(folder: StoredFolder) -> Problem:
    index = folder.opened()
    known = index.lookup(key_of(1))
    assert known is not None
    moved = replace(known, place=replace(known.place, offset=known.place.offset + 1))
    index.close()
    name = record_key_bytes(key_of(1))
    change(folder, b"records", name, known_bytes(name, moved))
    return only(folder, Kind.INDEX_DIFFERS)


def remove_from_an_order(folder: StoredFolder) -> Problem:
    change(folder, b"numbers", b"acme\0" + struct.pack(">Q", 1), None)
    return only(folder, Kind.INDEX_ORDERS_DIFFER)


def charge_too_much(folder: StoredFolder) -> Problem:
    index = folder.opened()
    index.charge("acme", 20_000, Usage(records=1, bytes=1))
    index.close()
    return only(folder, Kind.INDEX_USAGE_DIFFERS)


def lose_numbers(folder: StoredFolder) -> Problem:
    index = folder.opened()
    index.lose(3, 4)
    index.close()
    return only(folder, Kind.IDS_LOST)


PROVOKED: dict[Kind, Callable[[StoredFolder], Problem]] = {
    Kind.LEDGER_DAMAGED: flip_in_ledger,
    Kind.LEDGER_ENDS_EARLY: lose_the_end,
    Kind.LEDGER_MISSING: lose_a_ledger,
    Kind.INBOX_DAMAGED: flip_in_inbox,
    Kind.FOOTER_DIFFERS: spoil_a_footer_s_sum,
    Kind.UNREADABLE: refuse_a_folder,
    Kind.ENTRY_UNREADABLE: append_a_newer_entry,
    Kind.ENTRY_DIFFERS: append_another_s_digest,
    Kind.SIGNATURE_DIFFERS: append_a_forged_record,
    Kind.DECIDED_TWICE: decide_again,
    Kind.WRONG_SHARD: decide_elsewhere,
    Kind.APPENDED_ALONE: append_to_nothing,
    Kind.INBOX_FRAME_UNREADABLE: receive_another_kind,
    Kind.NOTE_UNREADABLE: spoil_a_note,
    Kind.MARK_DIFFERS: finish_a_mark,
    Kind.INDEX_UNREADABLE: spoil_a_value,
    Kind.INDEX_LACKS: remove_an_entry,
    Kind.INDEX_STRAY: invent_an_entry,
    Kind.INDEX_DIFFERS: move_an_entry,
    Kind.INDEX_ORDERS_DIFFER: remove_from_an_order,
    Kind.INDEX_USAGE_DIFFERS: charge_too_much,
    Kind.IDS_LOST: lose_numbers,
}


def test_a_sound_folder_is_read_whole_and_found_sound(folder: StoredFolder) -> None:
    report = folder.check(RING)
    assert report.problems == []
    assert (report.records, report.conflicts, report.resolutions) == (5, 1, 1)
    assert (report.accepted, report.escalated, report.not_accepted) == (2, 2, 1)
    assert (report.inbox_bodies, report.undecided_inbox, report.torn_bytes) == (2, 0, 0)
    assert (report.signatures_checked, report.signatures_unchecked) == (6, 0)


@pytest.mark.parametrize("kind", PROVOKED)
def test_each_kind_of_problem_is_met_with_its_place_and_its_remedy(
    folder: StoredFolder, kind: Kind
) -> None:
    found = PROVOKED[kind](folder)
    assert found.kind is kind
    assert found.where.startswith(("shard-0/ledger", "shard-0/index", "inbox-0"))
    assert found.remedy == REMEDIES[kind]


def test_every_kind_has_a_remedy_and_a_test_that_meets_it() -> None:
    assert set(PROVOKED) == set(REMEDIES) == set(Kind)
    assert all(remedy.endswith((".", ").")) for remedy in REMEDIES.values())


def test_a_ledger_is_missed_where_its_disk_is_not_mounted_and_where_none_ever_ran(
    folder: StoredFolder,
) -> None:
    folder.others = (ShardSpec(name="shard-1"),)
    shutil.rmtree(folder.shard)
    folder.ledger.mkdir(parents=True)  # what something is mounted on
    report = folder.check()
    assert {each.kind for each in report.problems} == {Kind.LEDGER_MISSING}
    assert [each.where for each in report.problems] == ["shard-0/ledger", "shard-1/ledger"]


def test_a_second_decision_is_met_where_no_index_knows_the_first(folder: StoredFolder) -> None:
    folder.append([decided(epoch=11), decided(epoch=11), resolved(decided(epoch=11))])
    assert only(folder, Kind.DECIDED_TWICE).where == "shard-0/ledger entry 9"
    (folder.index / "data.mdb").unlink()
    folder.append([decided(epoch=1)])
    report = folder.check()
    assert [each.kind for each in report.problems] == [Kind.DECIDED_TWICE] * 2


def test_what_is_appended_is_in_the_index_under_its_number(folder: StoredFolder) -> None:
    index = folder.opened()
    known = index.lookup(key_of(1))
    assert known is not None
    index.close()
    name = record_key_bytes(key_of(1))
    change(folder, b"records", name, known_bytes(name, replace(known, conflicts=())))
    assert "what is appended" in only(folder, Kind.INDEX_DIFFERS).what


def test_a_signature_whose_key_is_gone_is_counted_and_no_problem(folder: StoredFolder) -> None:
    report = folder.check(Keyring(keys={ACME.kid: ACME.key}, tokens={}))
    assert report.is_sound
    assert (report.signatures_checked, report.signatures_unchecked) == (5, 1)
    assert report.kids_unknown == [decided("0.1").kid]


def test_a_record_under_another_tenant_than_its_key_s_is_named(folder: StoredFolder) -> None:
    folder.append([msgspec.structs.replace(decided(epoch=9), tenant="globex")])
    assert only(folder, Kind.SIGNATURE_DIFFERS, RING).what.endswith("got one of acme")


def test_every_inbox_is_read_whoever_it_was_of(folder: StoredFolder) -> None:
    (folder.data / INBOX).rename(folder.data / "inbox-7")
    with pytest.raises(Exception, match="expected stream inbox-7, got stream inbox-0"):
        folder.check()


def test_bodies_without_a_mark_are_counted_and_no_problem(folder: StoredFolder) -> None:
    folder.append_inbox(inbox_frame.encode_received(Received()), body(3))
    report = folder.check()
    assert (report.is_sound, report.inbox_bodies, report.undecided_inbox) == (True, 3, 1)


def test_a_report_names_some_problems_and_counts_all_of_them(folder: StoredFolder) -> None:
    wrong = encode_entry(evidence(decided(epoch=50)))
    folder.append_raw([(META, wrong)] * (PROBLEMS_NAMED_MAX + 20))
    report = folder.check()
    assert report.problem_count == PROBLEMS_NAMED_MAX + 20
    assert len(report.problems) == PROBLEMS_NAMED_MAX


def test_a_problem_counts_only_if_both_looks_find_it() -> None:
    first, second = Report(), Report()
    first.add(Kind.INDEX_DIFFERS, "shard-0/index", "moved")
    for what in ("moved", "other"):
        second.add(Kind.INDEX_DIFFERS, "shard-0/index", what)
    assert [each.what for each in first.confirmed_by(second).problems] == ["moved"]
    assert second.confirmed_by(Report()).is_sound
