"""A batch and what may befall it: kills, failing disks, damage to what came before it."""

import errno
import functools
import gzip
import http.client
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zstandard
from tests.support.failing_disk import Effect
from tests.support.faulty_server import Fault, FaultyServer, check_here
from tests.support.server_process import WIDE_LANE, Folder, ServerProcess, until, until_ready
from tests.support.signed import body

from fractal_lba.server.core import inbox_frame, names
from fractal_lba.server.pipeline.batch import LINES_AT_ONCE_MAX
from fractal_lba.wal import Damage, Frame, RealDisk, scan_folder

COUNT = 2 * LINES_AT_ONCE_MAX + 88
EPOCHS = range(1, COUNT + 1)
SYNCS = 4
"""Of such a batch: one of the inbox, three of the ledger."""
ZSTD = {"Content-Encoding": "zstd"}


@functools.cache
def sent() -> bytes:
    return zstandard.compress(b"\n".join(body(epoch) for epoch in EPOCHS))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "server")


def bodies(folder: Folder) -> Iterator[tuple[Frame, inbox_frame.Received]]:
    for item in scan_folder(RealDisk(), folder.data / names.inbox(0), names.inbox(0)):
        assert not isinstance(item, Damage) or not item.is_loss, item
        if not isinstance(item, Damage):
            received = inbox_frame.decode_received(item[1].meta)
            if received is not None:
                yield item[1], received


def assert_each_once(folder: Folder, count: int = COUNT) -> None:
    report = check_here(folder)
    assert (report.problems, report.stored_twice, report.records) == ([], 0, count), report
    assert report.undecided_inbox == 0


@pytest.mark.parametrize(
    ("sync", "effect"),
    [(1, Effect.WHOLE), (2, Effect.NONE), (2, Effect.WHOLE), (SYNCS, Effect.NONE)],
)
def test_a_kill_at_any_sync_of_a_batch_leaves_each_line_decided_once(
    folder: Folder, sync: int, effect: Effect
) -> None:
    with FaultyServer(folder, unidentified_cpu_share="1") as server:
        server.tell(Fault(at=frozenset({sync}), error=None, only="datasync", effect=effect))
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            server.batch(sent(), ZSTD)
        server.wait()
    # On disk as it came, before anything of it was read; and not finished.
    ((frame, received),) = bodies(folder)
    assert frame.payload == sent()
    assert (received.route, received.content_encoding) == ("batch", "zstd")
    with FaultyServer(folder, unidentified_cpu_share="1") as server:
        answers = server.batch(sent(), ZSTD).lines
        assert {(line["status"], line["replayed"]) for line in answers} == {(200, True)}
        # The time of the first receipt, whichever process decided it.
        assert len({line["received_at"] for line in answers}) == 1
        assert server.stop() == 0
    assert_each_once(folder)


def test_lines_whose_sync_fails_are_answered_503_and_the_others_stay_decided(
    folder: Folder,
) -> None:
    mixed = rounds = 0
    with FaultyServer(folder, unidentified_cpu_share="1") as server:
        # A durable mark may be synced in between: which sync is the second of the ledger varies.
        for sync in range(1, SYNCS + 2):
            rounds += 1
            first = sync * 10_000
            sent = b"\n".join(body(first + n) for n in range(COUNT))
            server.tell(Fault(at=frozenset({sync}), error=errno.EIO, only="datasync"))
            answer = server.batch(sent)
            server.tell(None)
            answers: list[dict[str, object]] = []
            if sync == 1:
                # The inbox failed: nothing of it was looked at, and the whole is to be sent again.
                assert (answer.status, answer.json["code"]) == (503, "storage_unavailable")
                assert int(answer.headers["retry-after"]) >= 1
            else:
                answers = answer.lines
                failed = [line for line in answer.lines if line["status"] != 200]
                assert {(line["status"], line["retry_after"]) for line in failed} <= {(503, 1)}
                assert {line["body"]["code"] for line in failed} <= {"storage_unavailable"}
                mixed += 0 < len(failed) < COUNT
            until_ready(server)
            again = server.batch(sent).lines
            assert {line["status"] for line in again} == {200}
            assert all(
                line == {**was, "replayed": True}
                for was, line in zip(answers, again, strict=bool(answers))
                if was["status"] == 200
            )
        assert mixed
        assert server.stop() == 0
    # What was left open is settled beside the callers: a stop right behind the last failure may
    # come first, and then the next start settles it.
    with FaultyServer(folder, unidentified_cpu_share="1") as server:
        assert server.stop() == 0
    assert_each_once(folder, rounds * COUNT)


def test_a_batch_refused_as_a_whole_is_evidence_as_it_came_and_is_finished(folder: Folder) -> None:
    broken = gzip.compress(body(1))[:-4]
    with FaultyServer(folder, unidentified_cpu_share="1") as server:
        assert server.batch(broken, {"Content-Encoding": "gzip"}).status == 400
        assert server.stop() == 0
    ((frame, _),) = bodies(folder)
    assert frame.payload == broken
    assert_each_once(folder, 0)


def test_forged_lines_leave_no_trace_and_occupy_no_id(folder: Folder) -> None:
    honest = [body(epoch) for epoch in EPOCHS]
    forged = [line.replace(b'"n":64', b'"n":63') for line in honest]
    with FaultyServer(folder, unidentified_cpu_share="1") as server, ThreadPoolExecutor(4) as pool:
        attack = pool.map(server.batch, [b"\n".join(forged)] * 3)
        answers = server.batch(b"\n".join(honest)).lines
        assert {(line["status"], line.get("replayed")) for line in answers} == {(200, None)}
        for each in attack:
            assert {line["body"]["code"] for line in each.lines} == {"signature_invalid"}
        assert server.stop() == 0
    assert_each_once(folder)


def test_the_same_batch_and_its_records_at_once_are_decided_once(folder: Folder) -> None:
    with FaultyServer(folder, unidentified_cpu_share="1") as server, ThreadPoolExecutor(8) as pool:
        batches = [pool.submit(server.batch, sent(), ZSTD) for _ in range(3)]
        records = [
            pool.submit(server.submit, body(epoch)) for epoch in range(COUNT, COUNT - 40, -1)
        ]
        firsts = Counter[str]()
        for batch in batches:
            for line in batch.result().lines:
                assert line["status"] == 200
                firsts[line["body"]["pcs_id"]] += not line.get("replayed", False)
        for record in records:
            reply = record.result()
            assert reply.status == 200
            firsts[reply.json["pcs_id"]] += not reply.is_replayed
        assert set(firsts.values()) == {1}
        assert server.stop() == 0
    assert_each_once(folder)


def test_kills_between_batches_under_load_lose_no_line_that_was_acknowledged(
    folder: Folder,
) -> None:
    acknowledged: dict[int, dict[str, object]] = {}
    size, epoch = 100, 1
    for kill in range(4):
        with ServerProcess(folder, *WIDE_LANE) as server, ThreadPoolExecutor(3) as pool:

            def send(first: int, server: ServerProcess = server) -> None:
                sent = b"\n".join(body(first + n) for n in range(size))
                try:
                    answers = server.batch(sent).lines
                except (http.client.HTTPException, OSError):
                    return
                acknowledged.update(enumerate(answers, first))

            enough = len(acknowledged) + 2 * size
            for _ in range(12):
                pool.submit(send, epoch)
                epoch += size
            until(lambda enough=enough: len(acknowledged) >= enough, f"kill {kill}")  # type: ignore[misc]
            server.kill()
    with ServerProcess(folder, *WIDE_LANE) as server:
        sent = [body(each) for each in acknowledged]
        for start in range(0, len(sent), 1_000):
            answers = server.batch(b"\n".join(sent[start : start + 1_000])).lines
            firsts = list(acknowledged.values())[start : start + 1_000]
            assert answers == [{**first, "replayed": True} for first in firsts]
        assert server.stop() == 0
    report = check_here(folder)
    assert (report.problems, report.stored_twice, report.undecided_inbox) == ([], 0, 0)
