"""fsck beside a server that works: what is being written is no damage, what is damaged is named."""

import threading
from pathlib import Path

from tests.support.failing_disk import Effect
from tests.support.faulty_server import Fault, FaultyServer, check_here
from tests.support.load import Connection, Load, record_of
from tests.support.server_disk import LEDGER, batches, flip
from tests.support.server_process import Folder, ServerProcess
from tests.support.signed import body

SMALL = ("--segment-bytes-max", "300000", "--index-flush-records", "40")
"""Segments and index commits small enough to happen many times while fsck reads."""


def held(folder: Folder) -> dict[Path, tuple[int, bytes]]:
    """Return the locks as they are: who held them last, and when."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.data.rglob("*")
        if path.name == ".lock"
    }


def test_fsck_finds_nothing_wrong_beside_a_server_under_load(folder: Folder) -> None:
    load = Load()
    looks = 0
    with ServerProcess(folder, *SMALL) as server:
        run = load.start(server, connections=6)
        run.wait_for(1)
        locks = held(folder)
        while run.acknowledged < 600 or looks < 5:
            before = run.acknowledged
            report = check_here(folder)
            assert report.problems == []
            # What was acknowledged before it looked is there.
            assert report.records >= before
            assert report.damage == []
            looks += 1
        assert held(folder) == locks
        run.end()
        assert server.stop() == 0
    assert not load.wrong, load.wrong
    assert len(list((folder.data / LEDGER).glob("*.seg"))) > 3


def test_fsck_finds_nothing_wrong_beside_a_server_that_mends_itself(folder: Folder) -> None:
    stop = threading.Event()
    answers: list[int] = []

    def send(server: FaultyServer, first: int) -> None:
        connection = Connection(server)
        epoch = first
        while not stop.is_set():
            status = connection.submit(record_of(epoch)).status
            answers.append(status)
            epoch += status != 503
        connection.close()

    with FaultyServer(folder, segment_bytes_max="300000", index_flush_records="40") as server:
        threads = [
            threading.Thread(target=send, args=(server, first))
            for first in range(1, 400_000, 100_000)
        ]
        for thread in threads:
            thread.start()
        try:
            for look in range(12):
                effect = (Effect.NONE, Effect.PART, Effect.WHOLE)[look % 3]
                call = "datasync" if look % 2 else "write_at"
                server.tell(Fault(at=frozenset({3, 9}), effect=effect, only=call))
                enough = answers.count(200) + 10
                while answers.count(200) < enough:
                    report = check_here(folder)
                    assert (report.problems, report.damage) == ([], [])
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert server.stop() == 0
    # It did fail, and went on.
    assert answers.count(503) > 0
    assert answers.count(200) > 100
    report = check_here(folder)
    assert (report.problems, report.stored_twice) == ([], 0)


def test_fsck_names_damage_beside_a_running_server(folder: Folder) -> None:
    with ServerProcess(folder) as server:
        for epoch in (1, 2, 3):
            assert server.submit(body(epoch)).status == 200
        (_, second, _) = batches(folder.data, LEDGER)
        flip(second.path, second.start + 400)
        code, report = folder.fsck()
        assert code == 1
        assert any(second.path.name in problem["where"] for problem in report["problems"])
        assert server.submit(body(4)).status == 200
