"""Torn tails and flipped bits: nothing acknowledged is lost, and damage is never an answer."""

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from tests.support.failing_disk import FailingDisk
from tests.support.faulty_server import Fault, FaultyServer, check_here
from tests.support.load import Load, check, conflict_of, id_of, record_of
from tests.support.server_disk import (
    LEDGER,
    Batch,
    Snapshot,
    batches,
    flip,
    known,
    opened,
    readable,
)
from tests.support.server_process import Folder, ServerProcess, until

from fractal_lba.server.storage.inbox import InboxLog
from fractal_lba.server.telemetry.metrics import Metrics
from fractal_lba.wal import RealDisk, Stream
from fractal_lba.wal.group_commit import Bounds

EPOCHS: Final = [1, 2, 3, 4, 5]
NEW: Final = 900


@dataclass(frozen=True)
class Made:
    """A folder of a server that ended, and where its decisions are."""

    folder: Folder
    load: Load
    ledger: list[Batch]

    def batch(self, epoch: int) -> Batch:
        (found,) = (batch for batch in self.ledger if batch.pcs_id == id_of(epoch))
        return found


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: thousands of recoveries wait for no device."""
    base = Path("/dev/shm")  # noqa: S108 - of this machine's own
    path = Path(tempfile.mkdtemp(dir=base if base.is_dir() else None))
    yield path
    shutil.rmtree(path)


def make(path: Path, *, is_killed: bool) -> Made:
    folder = Folder(path)
    load = Load()
    with FaultyServer(folder) as server:
        for epoch in EPOCHS:
            load.settle("new", epoch, server.submit(record_of(epoch)))
        if is_killed:
            # The idle mark is the ledger's last call: what it covers is durable for good.
            until_marked(folder)
        else:
            assert server.stop() == 0
    assert not load.wrong
    return Made(folder, load, batches(folder.data, LEDGER))


def until_marked(folder: Folder) -> None:
    ledger = folder.data / LEDGER
    until(
        lambda: (
            max(batch.end for batch in batches(folder.data, LEDGER))
            < max(path.stat().st_size for path in ledger.glob("*.seg"))
        ),
        "the idle mark",
    )


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
        until_marked(folder)
        # Its batch carries the durable offset before it; the process ends before its own mark.
        server.tell(Fault(at=frozenset({5}), error=None))
        load.settle("new", EPOCHS[-1], server.submit(record_of(EPOCHS[-1])))
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
    found = batches(unmarked.folder.data, "inbox-0")
    batch = found[-1]
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
    batch = batches(folder.data, stream)[-1]
    torn_bytes = int((batch.end - batch.start) * share)
    os.truncate(batch.path, batch.start + torn_bytes)
    assert check_here(folder).torn_bytes == torn_bytes
    with FaultyServer(folder) as server:
        # With the ledger torn the inbox has it still: it is decided as when it was received.
        check(server, unmarked.load, EPOCHS)
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
    assert any(name in problem for problem in report.problems), report
    assert report.stored_twice == 0
