"""Bodies that kill the process that parses them: set aside after two deaths, not read again."""

import http.client
from hashlib import sha256

import pytest
from tests.support.poison_server import leave_open, plant, poison
from tests.support.server_process import (
    WIDE_LANE,
    Folder,
    NotStartedError,
    ServerProcess,
    until,
)
from tests.support.signed import body

from fractal_lba.server.core import names
from fractal_lba.server.core.poison import RETRY_AFTER_S, Note, Poison, encode_note

GONE = (http.client.RemoteDisconnected, ConnectionError)
SET_ASIDE = (503, "storage_unavailable", str(int(RETRY_AFTER_S)))


def poison_in_metrics(server: ServerProcess) -> float:
    lines = server.ask("GET", "/metrics").body.decode().splitlines()
    (value,) = (line.split()[1] for line in lines if line.startswith("flk_poison_bodies "))
    return float(value)


def test_a_body_that_killed_two_processes_is_set_aside_and_what_stood_beside_it_is_decided(
    folder: Folder,
) -> None:
    killer = poison(9)
    with ServerProcess(folder, plant=plant) as server:
        assert server.submit(body(1)).status == 200
        with pytest.raises(GONE):
            server.batch(b"\n".join([body(2), killer, body(3)]))
    leave_open(folder.data, body(4), body(5))
    with pytest.raises(NotStartedError):
        ServerProcess(folder, plant=plant)

    with ServerProcess(folder, plant=plant) as server:
        for epoch in (1, 2, 3, 4, 5):
            reply = server.submit(body(epoch))
            assert (reply.status, reply.is_replayed) == (200, True), epoch
        reply = server.submit(killer)
        assert (reply.status, reply.json["code"], reply.headers["retry-after"]) == SET_ASIDE
        lines = server.batch(b"\n".join([body(6), killer, body(7)])).lines
        assert [line["status"] for line in lines] == [200, 503, 200]
        assert poison_in_metrics(server) == 1
        digests = [line["sha256"] for line in server.log_lines() if "sha256" in line]
        assert digests == [sha256(killer).hexdigest()]
        assert server.stop() == 0

    with ServerProcess(folder, plant=plant) as server:
        assert server.submit(killer).status == 503
        assert poison_in_metrics(server) == 1
        assert server.stop() == 0
    code, report = folder.fsck()
    assert (code, report["undecided_inbox"], report["poison"]) == (0, 0, digests)


def test_what_was_set_aside_is_decided_once_the_note_is_removed_and_the_defect_with_it(
    folder: Folder,
) -> None:
    with ServerProcess(folder, plant=plant) as server, pytest.raises(GONE):
        server.submit(poison(1))
    with pytest.raises(NotStartedError):
        ServerProcess(folder, plant=plant)
    with ServerProcess(folder, plant=plant) as server:
        assert server.submit(poison(1)).status == 503
        assert server.stop() == 0
    (folder.data / names.judging(names.inbox(0))).unlink()
    with ServerProcess(folder) as server:
        assert server.submit(poison(1)).status == 200


def test_bodies_of_a_process_that_ended_for_another_reason_are_tried_and_decided(
    folder: Folder,
) -> None:
    with ServerProcess(folder) as server:
        assert server.submit(body(1)).status == 200
    leave_open(folder.data, body(2), b"no record", body(3))
    note = folder.data / names.judging(names.inbox(0))
    note.write_bytes(encode_note(Note(run=tuple(range(1, 20)))))
    with ServerProcess(folder) as server:
        for epoch in (2, 3):
            assert server.submit(body(epoch)).is_replayed
        assert poison_in_metrics(server) == 0
        assert "a process ended over these" in [line["event"] for line in server.log_lines()]
        assert server.stop() == 0
    assert folder.fsck()[1]["undecided_inbox"] == 0


def test_what_one_worker_found_to_be_poison_ends_no_other(folder: Folder) -> None:
    killer = body(1)
    known = Poison(sha256=sha256(killer).hexdigest(), bytes=len(killer), noted_at="then")
    flags = ("--workers", "2", "--mend-interval-s", "0.05", *WIDE_LANE)
    with ServerProcess(folder, *flags) as server:
        # As another one's trial leaves it.
        note = folder.data / names.judging(names.inbox(7))
        new = note.with_suffix(".new")
        new.write_bytes(encode_note(Note(poison=(known,))))
        new.replace(note)
        until(
            lambda: {server.submit(body(1)).status for _ in range(8)} == {503},
            "known to both workers",
        )
        assert server.submit(body(2)).status == 200
        assert server.stop() == 0
