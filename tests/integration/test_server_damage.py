"""Torn tails and flipped bits: nothing acknowledged is lost, and damage is never an answer."""

import asyncio
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.support.failing_disk import Effect, FailingDisk
from tests.support.faulty_server import Fault, FaultyServer, check_here
from tests.support.load import Load, check, conflict_of, id_of, record_of
from tests.support.made_folder import EPOCHS, Made, make, until_marked
from tests.support.memory import folder_in_memory
from tests.support.server_disk import (
    LEDGER,
    Snapshot,
    batches,
    flip,
    known,
    opened,
    readable,
)
from tests.support.server_process import Folder, ServerProcess, until_ready

from fractal_lba.protocol.identity import content_digest
from fractal_lba.protocol.reading import parse_record
from fractal_lba.protocol.timestamps import format_timestamp
from fractal_lba.server.storage.inbox import InboxLog
from fractal_lba.server.telemetry.metrics import Metrics
from fractal_lba.wal import Damage, RealDisk, Stream, scan_folder
from fractal_lba.wal.group_commit import Bounds

NEW: Final = 900


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: thousands of recoveries wait for no device."""
    with folder_in_memory() as path:
        yield path


@pytest.fixture(scope="module")
def killed(memory: Path) -> Made:
    return make(memory / "killed", is_killed=True)


@pytest.fixture(scope="module")
def stopped(memory: Path) -> Made:
    return make(memory / "stopped", is_killed=False)


@pytest.mark.parametrize("end", ["killed", "stopped"])
@pytest.mark.parametrize("epoch", [EPOCHS[2], EPOCHS[-1]], ids=["a middle batch", "the last batch"])
def test_a_bit_flipped_at_any_byte_of_an_acknowledged_batch_costs_its_own_answer_at_the_most(
    request: pytest.FixtureRequest, memory: Path, end: str, epoch: int
) -> None:
    made: Made = request.getfixturevalue(end)
    batch = made.batch(epoch)
    snapshot = Snapshot(made.folder.data / "shard-0", memory / "flipped" / "shard-0")
    others = set(EPOCHS) - {epoch}
    lost = 0
    for offset in range(batch.start, batch.end):
        snapshot.restore()
        path = snapshot.moved(batch.path)
        flip(path, offset)
        acknowledged = path.read_bytes()[: made.ledger[-1].end]
        with opened(snapshot.folder) as files:
            assert files.stream.recovery.torn_bytes == 0, offset
            assert [damage.segment for damage in files.damage] == [path.name], offset
            assert files.index.losses == ()
            answering = readable(files, EPOCHS)
            assert others <= answering, offset
            lost += epoch not in answering
            assert known(files, id_of(NEW)) is None
            assert files.stream.next_seq == len(EPOCHS) + 1
        assert path.read_bytes()[: len(acknowledged)] == acknowledged, offset
        assert not list(snapshot.folder.rglob("*.cut"))
    # The bytes before the frame are the batch's header: the frame is found without it.
    assert lost == batch.end - batch.start - 32


def torn(path: Path) -> Made:
    """Make a folder whose last batches, of the ledger and of the inbox, no mark covers."""
    folder = Folder(path)
    load = Load()
    with FaultyServer(folder) as server:
        for epoch in EPOCHS[:-1]:
            load.settle("new", epoch, server.submit(record_of(epoch)))
        until_marked(folder, LEDGER)
        # The process ends when its ledger's sync is done: no index, no answer, no mark follows.
        server.tell(Fault(at=frozenset({4}), error=None, effect=Effect.WHOLE))
        with pytest.raises(OSError, match=r"."):
            server.submit(record_of(EPOCHS[-1]))
        server.wait()
    assert not load.wrong
    return Made(folder, load, batches(folder.data, LEDGER))


@pytest.fixture(scope="module")
def unmarked(memory: Path) -> Made:
    return torn(memory / "unmarked")


def test_a_ledger_torn_at_any_byte_of_its_last_batch_keeps_every_decision_before_it(
    unmarked: Made, memory: Path
) -> None:
    batch = unmarked.batch(EPOCHS[-1])
    snapshot = Snapshot(unmarked.folder.data / "shard-0", memory / "torn" / "shard-0")
    for end in range(batch.start, batch.end + 1):
        snapshot.restore()
        path = snapshot.moved(batch.path)
        os.truncate(path, end)
        torn_bytes = (end - batch.start) % (batch.end - batch.start)
        with opened(snapshot.folder) as files:
            assert files.stream.recovery.torn_bytes == torn_bytes, end
            assert (files.damage, files.index.losses) == ((), ())
            whole = EPOCHS if end == batch.end else EPOCHS[:-1]
            assert readable(files, whole) == set(whole), end
            assert (known(files, id_of(EPOCHS[-1])) is None) == (end < batch.end)
            assert files.stream.next_seq == len(whole) + 1
        cut = path.with_name(path.name + ".cut")
        assert (cut.stat().st_size if cut.exists() else 0) == torn_bytes


def test_an_inbox_torn_at_any_byte_of_its_last_batch_keeps_every_body_before_it(
    unmarked: Made, memory: Path
) -> None:
    batch = batches(unmarked.folder.data, "inbox-0")[-1]
    folder = memory / "torn" / "inbox-0"
    snapshot = Snapshot(unmarked.folder.data / "inbox-0", folder)
    for end in range(batch.start, batch.end + 1):
        snapshot.restore()
        path = snapshot.moved(batch.path)
        os.truncate(path, end)
        stream, left_open = asyncio.run(left_open_in(folder))
        torn_bytes = (end - batch.start) % (batch.end - batch.start)
        assert stream.recovery.torn_bytes == torn_bytes, end
        assert stream.recovery.damage == ()
        assert left_open == ([batch.seq] if end == batch.end else [])
        cut = path.with_name(path.name + ".cut")
        assert (cut.stat().st_size if cut.exists() else 0) == torn_bytes


async def left_open_in(folder: Path) -> tuple[Stream, list[int]]:
    """Open an inbox as the server does; return the bodies it would decide now."""
    stream = Stream.open(FailingDisk(RealDisk()), folder, "inbox-0")
    bounds = Bounds(items_max=8, bytes_max=1 << 20, queue_items_max=8, queue_bytes_max=1 << 20)
    inbox = InboxLog(stream, meter=Metrics(), bounds=bounds)
    await inbox.load()
    left_open = inbox.left_open()
    await inbox.close()
    return stream, left_open


@pytest.mark.parametrize("share", [0.0, 0.01, 0.4, 0.99], ids=lambda share: f"cut at {share:.0%}")
@pytest.mark.parametrize("stream", [LEDGER, "inbox-0"])
def test_a_server_goes_on_after_a_torn_tail_and_counts_it(
    unmarked: Made, tmp_path: Path, stream: str, share: float
) -> None:
    folder = Folder(tmp_path / "copy", copy_of=unmarked.folder)
    received_ns = batches(folder.data, LEDGER)[-1].received_ns
    batch = batches(folder.data, stream)[-1]
    torn_bytes = int((batch.end - batch.start) * share)
    os.truncate(batch.path, batch.start + torn_bytes)
    assert check_here(folder).torn_bytes == torn_bytes
    with FaultyServer(folder) as server:
        check(server, unmarked.load, EPOCHS[:-1])
        # One of the two logs has the last one still: it is decided as when it was received.
        last = server.submit(record_of(EPOCHS[-1]))
        assert last.is_replayed
        assert last.headers["x-received-at"] == format_timestamp(received_ns // 1_000_000)
        assert metric(server, "flk_wal_torn_bytes_total", stream) == torn_bytes
        assert server.submit(record_of(NEW)).status == 200
        assert server.stop() == 0
    report = check_here(folder)
    assert (report.problems, report.records, report.stored_twice) == ([], len(EPOCHS) + 1, 0)
    assert report.undecided_inbox == 0


def metric(server: ServerProcess, name: str, stream: str) -> float:
    text = server.ask("GET", "/metrics").body.decode()
    (value,) = re.findall(rf'^{name}{{stream="{re.escape(stream)}"}} (\S+)$', text, re.MULTILINE)
    return float(value)


SAMPLE: Final = {
    "the batch's magic": 0,
    "the batch's durable offset": 30,
    "the frame's length": 32,
    "the frame's checksum": 37,
    "the frame's number": 41,
    "the frame's receipt": 50,
    "the entry's version": 58,
    "the entry": 400,
    "the last byte": -1,
}


@pytest.mark.parametrize("where", SAMPLE)
@pytest.mark.parametrize("end", ["killed", "stopped"])
@pytest.mark.parametrize("epoch", [EPOCHS[2], EPOCHS[-1]], ids=["a middle batch", "the last batch"])
def test_a_server_says_what_is_damaged_and_serves_the_rest(
    request: pytest.FixtureRequest, tmp_path: Path, end: str, epoch: int, where: str
) -> None:
    made: Made = request.getfixturevalue(end)
    folder = Folder(tmp_path / "copy", copy_of=made.folder)
    batch = next(each for each in batches(folder.data, LEDGER) if each.pcs_id == id_of(epoch))
    offset = SAMPLE[where] % (batch.end - batch.start)
    flip(batch.path, batch.start + offset)
    assert_named_by_fsck(folder, batch.path.name)
    is_lost = offset >= 32
    for restart in range(2):
        with FaultyServer(folder) as server:
            if not restart:
                # Later starts do not read what the index holds already.
                opened_ = [line for line in server.log_lines() if line["event"] == "log opened"]
                assert any(batch.path.name in str(line["damage"]) for line in opened_)
                assert metric(server, "flk_wal_damaged_ranges", LEDGER) == 1
            assert server.ask("GET", "/ready").status == 200
            check(server, made.load, set(EPOCHS) - {epoch})
            if is_lost:
                for reply in (server.submit(record_of(epoch)), server.get(id_of(epoch))):
                    assert (reply.status, reply.json["code"]) == (503, "storage_unavailable")
                assert metric(server, "flk_wal_errors_total", LEDGER) > 0
            else:
                check(server, made.load, [epoch])
            # Another content under the damaged id does not become its decision.
            assert server.submit(conflict_of(epoch)).status in {409, 503}
            assert server.submit(record_of(NEW + restart)).status == 200
            assert server.stop() == 0
        assert_named_by_fsck(folder, batch.path.name)
    assert not list(folder.data.rglob("*.cut"))


def assert_named_by_fsck(folder: Folder, name: str) -> None:
    report = check_here(folder)
    assert not report.is_sound
    assert any(name in str(problem) for problem in report.problems), report
    assert report.stored_twice == 0


def lose_epoch(folder: Folder, epoch: int) -> None:
    """Damage a decision and delete the index that knew whose it was."""
    batch = next(each for each in batches(folder.data, LEDGER) if each.pcs_id == id_of(epoch))
    flip(batch.path, batch.start + 400)
    shutil.rmtree(folder.data / "shard-0" / "index")


@pytest.mark.parametrize("end", ["killed", "stopped"])
@pytest.mark.parametrize("epoch", [EPOCHS[2], EPOCHS[-1]], ids=["a middle batch", "the last batch"])
def test_unknown_ids_are_refused_while_decisions_are_lost_until_the_operator_accepts_it(
    request: pytest.FixtureRequest, tmp_path: Path, end: str, epoch: int
) -> None:
    made: Made = request.getfixturevalue(end)
    folder = Folder(tmp_path / "copy", copy_of=made.folder)
    lose_epoch(folder, epoch)
    for _ in range(2):
        with FaultyServer(folder) as server:
            check(server, made.load, set(EPOCHS) - {epoch})
            for reply in (
                server.submit(record_of(epoch)),
                server.submit(conflict_of(epoch)),
                server.submit(record_of(NEW)),
                server.get(id_of(NEW)),
            ):
                assert (reply.status, reply.json["code"]) == (503, "storage_unavailable")
            ready = server.ask("GET", "/ready")
            assert ready.status == 503
            assert any(f"decisions {epoch} to {epoch} " in each for each in ready.json["reasons"])
            assert server.stop() == 0
        assert check_here(folder).records == len(EPOCHS) - 1
    # Nobody tries them again by itself: a sender does, and the inbox never fills up with them.
    assert check_here(folder).undecided_inbox == 0
    with ServerProcess(folder, "--accept-loss") as accepting:
        assert accepting.ask("GET", "/ready").status == 200
        assert accepting.stop() == 0
    # It holds over a restart even where nothing was decided in between.
    with FaultyServer(folder) as server:
        assert server.ask("GET", "/ready").status == 200
        again = server.submit(record_of(epoch))
        assert (again.status, again.is_replayed) == (made.load.acknowledged[epoch].status, False)
        assert server.submit(record_of(NEW)).status == 200
        check(server, made.load, set(EPOCHS) - {epoch})
        assert server.stop() == 0
    report = check_here(folder)
    assert (report.records, report.stored_twice) == (len(EPOCHS) + 1, 0)


def grown(path: Path) -> Made:
    """Make a folder whose decisions are in two segments."""
    folder = Folder(path)
    load = Load()
    for epochs in (EPOCHS[:3], EPOCHS[3:]):
        with FaultyServer(folder) as server:
            for epoch in epochs:
                load.settle("new", epoch, server.submit(record_of(epoch)))
            assert server.stop() == 0
    return Made(folder, load, batches(folder.data, LEDGER))


@pytest.fixture(scope="module")
def two_segments(memory: Path) -> Made:
    return grown(memory / "two")


CUT: Final = "cut below the mark"
LOSSES: Final = [CUT, "the last segment gone", "it and all after it gone", "the first gone"]


# What was killed has one segment: without it there is no ledger, and nothing is opened.
@pytest.mark.parametrize(
    ("end", "what"), [("killed", CUT), *(("two_segments", what) for what in LOSSES)]
)
def test_lost_decisions_answer_503_and_their_numbers_are_never_given_again(
    request: pytest.FixtureRequest, tmp_path: Path, end: str, what: str
) -> None:
    made: Made = request.getfixturevalue(end)
    folder = Folder(tmp_path / "copy", copy_of=made.folder)
    found = batches(folder.data, LEDGER)
    first, last = found[0].path, found[-1].path
    match what:
        case "cut below the mark":
            os.truncate(last, found[-2].start + 100)
            gone = set(EPOCHS[-2:])
        case "the first gone":
            first.unlink()
            gone = {epoch for epoch in EPOCHS if made.batch(epoch).path.name == first.name}
        case _:
            gone = {epoch for epoch in EPOCHS if made.batch(epoch).path.name == last.name}
            later = [path for path in last.parent.glob("*.seg") if path.name > last.name]
            for path in [last, *(later if what.startswith("it and") else [])]:
                path.unlink()
    for restart in range(2):
        with FaultyServer(folder) as server:
            check(server, made.load, set(EPOCHS) - gone)
            for epoch in gone:
                for reply in (server.submit(record_of(epoch)), server.get(id_of(epoch))):
                    assert (reply.status, reply.json["code"]) == (503, "storage_unavailable")
            assert server.submit(record_of(NEW + restart)).status == 200
            assert server.stop() == 0
        assert not check_here(folder).is_sound
    numbers = {
        item[1].seq
        for item in scan_folder(RealDisk(), folder.data / LEDGER, LEDGER)
        if not isinstance(item, Damage)
    }
    assert numbers >= {len(EPOCHS) + 1, len(EPOCHS) + 2}
    assert check_here(folder).stored_twice == 0


@pytest.mark.parametrize("where", [0, 45, -1], ids=["its first byte", "inside", "its last byte"])
@pytest.mark.parametrize("number", [0, 4, -1], ids=["the first batch", "a middle one", "the last"])
def test_a_damaged_inbox_costs_no_decision(
    killed: Made, tmp_path: Path, number: int, where: int
) -> None:
    folder = Folder(tmp_path / "copy", copy_of=killed.folder)
    batch = batches(folder.data, "inbox-0")[number]
    flip(batch.path, batch.start + where % (batch.end - batch.start))
    assert_named_by_fsck(folder, batch.path.name)
    with FaultyServer(folder) as server:
        assert metric(server, "flk_wal_damaged_ranges", "inbox-0") == 1
        assert server.ask("GET", "/ready").status == 200
        check(server, killed.load, EPOCHS)
        assert server.submit(record_of(NEW)).status == 200
        assert server.stop() == 0
    report = check_here(folder)
    assert (report.records, report.stored_twice) == (len(EPOCHS) + 1, 0)


def test_a_flipped_byte_of_an_index_entry_is_never_an_answer_and_the_index_is_built_again(
    stopped: Made, tmp_path: Path
) -> None:
    folder = Folder(tmp_path / "copy", copy_of=stopped.folder)
    path = folder.data / "shard-0" / "index" / "data.mdb"
    digest = content_digest_of(EPOCHS[1])
    offsets = [found.start() for found in re.finditer(re.escape(digest), path.read_bytes())]
    assert offsets
    for offset in offsets:
        flip(path, offset)
    assert not check_here(folder).is_sound
    with FaultyServer(folder) as server:
        first = server.submit(record_of(EPOCHS[1]))
        assert (first.status, first.json["code"]) == (503, "storage_unavailable")
        until_ready(server)
        check(server, stopped.load, EPOCHS)
        assert server.stop() == 0
    assert check_here(folder).is_sound


def content_digest_of(epoch: int) -> bytes:
    return bytes.fromhex(content_digest(parse_record(record_of(epoch)).members))
