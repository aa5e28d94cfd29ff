"""Several workers over one port: one server to whoever asks, whichever of them answers or dies."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.load import Connection, id_of, record_of
from tests.support.server_process import (
    WIDE_LANE,
    Folder,
    NotStartedError,
    Reply,
    ServerProcess,
    until,
    until_ready,
)
from tests.support.signed import ACME, GLOBEX, body, members
from tests.support.workers import is_gone, pids, signalled, until_replaced

TWO = ("--workers", "2", *WIDE_LANE)


def answered_by(server: ServerProcess) -> set[int]:
    """Return which workers wrote that they settled something."""
    return {line["worker"] for line in server.log_lines() if line["event"] == "settled"}


def submit_to_both(server: ServerProcess, epochs: Iterator[int]) -> dict[int, Reply]:
    """Submit until each worker has answered something; return every answer, by epoch."""
    answers: dict[int, Reply] = {}

    def have_both() -> bool:
        epoch = next(epochs)
        answers[epoch] = server.submit(body(epoch))
        return answered_by(server) == {0, 1}

    until(have_both, "both workers answered")
    assert {reply.status for reply in answers.values()} == {200}
    return answers


def sure(server: ServerProcess, data: bytes) -> Reply:
    """Submit until it is answered: not all know at once that a worker is back."""
    replies: list[Reply] = []

    def is_answered() -> bool:
        replies.append(server.submit(data))
        return replies[-1].status != 503

    until(is_answered, "answered")
    return replies[-1]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = Folder(tmp_path_factory.mktemp("workers") / "server")
    with ServerProcess(folder, *TWO) as server:
        yield server
        assert server.stop() == 0, server.log.read_text()
    code, report = folder.fsck()
    assert (code, report["undecided_inbox"], report["stored_twice"]) == (0, 0, 0), report


def test_every_call_has_one_answer_whichever_worker_gives_it(served: ServerProcess) -> None:
    answers = submit_to_both(served, iter(range(1_000)))
    for epoch, first in answers.items():
        for _ in range(4):
            again = served.submit(body(epoch))
            assert (again.is_replayed, again.body) == (True, first.body)
            assert again.headers["x-received-at"] == first.headers["x-received-at"]
            assert served.submit(body(epoch, n=65)).status == 409
            assert served.get(id_of(epoch)).json["outcome"] == first.json
    ids = {id_of(epoch) for epoch in answers}
    for _ in range(6):
        listed = served.read("/v1/pcs?limit=100").json["records"]
        assert {row["pcs_id"] for row in listed} >= ids


def test_a_batch_and_a_resolution_are_settled_by_whichever_worker_they_meet(
    served: ServerProcess,
) -> None:
    escalated = body(2_000, regime="sticky")
    assert served.submit(escalated).status == 202
    pcs_id = members(2_000)["pcs_id"]
    for number in range(6):
        data = b"".join(body(2_001 + line) + b"\n" for line in range(5)) + b"{}\n"
        lines = served.batch(data).lines
        assert [line["status"] for line in lines] == [200] * 5 + [400]
        assert [line.get("replayed", False) for line in lines[:5]] == [number > 0] * 5
        assert served.resolve(pcs_id, f"note {number}").status == 200
    resolutions = served.get(pcs_id).json["resolutions"]
    assert [each["note"] for each in resolutions] == [f"note {number}" for number in range(6)]


def test_a_refusal_is_the_same_from_every_worker(served: ServerProcess) -> None:
    old = body(3_000, created_at="2020-01-01T00:00:00.000Z")
    said = {served.submit(old).said for _ in range(8)}
    assert len(said) == 1
    assert served.submit(old).json["code"] == "beyond_horizon"
    assert {served.submit(body(3_001)[:-9]).status for _ in range(4)} == {400}


def scraped(server: ServerProcess) -> dict[str, float]:
    """Return the samples of one scrape, by name and labels."""
    lines = server.ask("GET", "/metrics").body.decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_a_scrape_of_any_worker_counts_for_all_and_no_count_falls_with_a_worker(
    served: ServerProcess,
) -> None:
    before = scraped(served)
    count = len(submit_to_both(served, iter(range(7_000, 8_000))))
    accepted = 'flk_accepted_total{tenant="acme"}'
    after = scraped(served)
    for _ in range(6):
        after = scraped(served)
        for name in ("flk_ingest_total", "flk_submit_seconds_count", accepted):
            assert after[name] == before.get(name, 0) + count, name
        assert after['flk_worker_up{worker="0"}'] == after['flk_worker_up{worker="1"}'] == 1
    for worker in (0, 1):
        name = f'flk_worker_restarts_total{{worker="{worker}"}}'
        pid = signalled(served, worker, signal.SIGKILL)
        until_replaced(served, worker, pid)
        until_ready(served)
        again = scraped(served)
        assert again[name] == after[name] + 1
        assert again["flk_disk_used_bytes"] > 0
        counts = (name for name in after if name.endswith(("_total", "_count")) or "{" in name)
        fallen = [
            name
            for name in counts
            if ("_total" in name or "_count" in name) and again.get(name, 0) < after[name]
        ]
        assert not fallen, fallen
        after = again


def test_a_killed_worker_is_replaced_and_nothing_acknowledged_is_lost(
    served: ServerProcess,
) -> None:
    answers = submit_to_both(served, iter(range(4_000, 5_000)))
    for worker in (0, 1):
        pid = signalled(served, worker, signal.SIGKILL)
        # Whatever is asked meanwhile is answered, or told to come again, with its worker named.
        seen: list[Reply] = []

        def is_replaced(worker: int = worker, pid: int = pid, seen: list[Reply] = seen) -> bool:
            seen.append(served.ask("GET", "/ready"))
            return pids(served)[worker] != pid and seen[-1].status == 200

        until(is_replaced, "replaced")
        reasons = [reason for reply in seen for reason in reply.json["reasons"]]
        assert any(f"worker {worker}: expected it to" in reason for reason in reasons), reasons
        for epoch, first in answers.items():
            again = sure(served, body(epoch))
            assert (again.is_replayed, again.body) == (True, first.body)


def test_while_the_owner_is_away_its_shard_answers_503_and_nothing_is_decided_twice(
    served: ServerProcess,
) -> None:
    with closing(Connection(served)) as first, closing(Connection(served)) as second:
        # Stopped, it holds what it owns: nobody else decides meanwhile.
        pid = signalled(served, 0, signal.SIGSTOP)
        first.send(record_of(5_001))
        second.send(record_of(5_001))
        os.kill(pid, signal.SIGKILL)
        for connection in (first, second):
            try:
                reply = connection.answer()
            except (ConnectionError, OSError):
                continue  # it was the killed worker's
            assert reply.status == 503, reply
            assert reply.json["code"] == "storage_unavailable"
            assert int(reply.headers["retry-after"]) >= 1
    until_replaced(served, 0, pid)
    until_ready(served)
    decided = sure(served, record_of(5_001))
    again = sure(served, record_of(5_001))
    assert (again.is_replayed, again.body) == (True, decided.body)


def test_a_hung_worker_is_killed_and_replaced(folder: Folder) -> None:
    with ServerProcess(folder, *TWO, "--worker-timeout-s", "2") as server:
        answers = submit_to_both(server, iter(range(1_000)))
        pid = signalled(server, 1, signal.SIGSTOP)
        until_replaced(server, 1, pid)
        # Woken late, it is not there any more: it ended before its successor began.
        with pytest.raises(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        until_ready(server)
        for epoch, first in answers.items():
            assert sure(server, body(epoch)).said == first.said
        # A reload reaches every worker.
        folder.write_keyring([GLOBEX])
        server.process.send_signal(signal.SIGHUP)
        until(
            lambda: {server.submit(body(1)).status for _ in range(8)} == {401},
            "no worker knows the key",
        )
        folder.write_keyring([ACME, GLOBEX])
        server.process.send_signal(signal.SIGHUP)
        until(
            lambda: all(server.submit(body(1)).is_replayed for _ in range(8)),
            "every worker knows the key",
        )
        assert server.stop() == 0


def test_a_server_that_was_frozen_as_a_whole_goes_on_with_the_workers_it_had(
    folder: Folder,
) -> None:
    with ServerProcess(folder, *TWO, "--worker-timeout-s", "4") as server:
        before = pids(server)
        # The workers first: no sign of life of theirs is left for it to read when it wakes.
        for worker in before:
            signalled(server, worker, signal.SIGSTOP)
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(5)  # longer than it waits for a sign of life: nothing tells that but the time
        server.process.send_signal(signal.SIGCONT)
        for worker in before:
            signalled(server, worker, signal.SIGCONT)
        # Once it has replaced another one it has looked at this one.
        signalled(server, 0, signal.SIGKILL)
        until_replaced(server, 0, before[0])
        assert pids(server)[1] == before[1]
        assert "no sign of life" not in server.log.read_text()
        assert server.stop() == 0


def test_replaced_one_after_the_other_the_workers_refuse_no_connection(folder: Folder) -> None:
    wrong: list[str] = []
    is_over = threading.Event()
    answered = []

    def send(server: ServerProcess, first: int) -> None:
        epoch = first
        try:
            while not is_over.is_set():
                # A connection for each: none is refused, none ends without its answer.
                with closing(Connection(server)) as connection:
                    reply = connection.submit(record_of(epoch))
                if reply.status == 503 and reply.json["code"] == "storage_unavailable":
                    continue
                if reply.status not in {200, 202, 422}:
                    wrong.append(str(reply))
                answered.append(epoch)
                epoch += 1
        except Exception as error:  # noqa: BLE001 - told by the test
            wrong.append(repr(error))

    with ServerProcess(folder, *TWO, "--grace-s", "2") as server:
        before = pids(server)
        kept = Connection(server)
        assert kept.submit(body(90_000)).status == 200
        threads = [
            threading.Thread(target=send, args=(server, 1_000 * number)) for number in (1, 2)
        ]
        for thread in threads:
            thread.start()
        server.process.send_signal(signal.SIGUSR1)
        until(
            lambda: any(line["event"] == "workers replaced" for line in server.log_lines()),
            "workers replaced",
        )
        is_over.set()
        for thread in threads:
            thread.join()
        kept.close()
        assert not wrong, wrong
        assert not set(before.values()) & set(pids(server).values())
        assert all(is_gone(pid) for pid in before.values())
        died = [line for line in server.log_lines() if line["event"] == "worker died"]
        assert not died
        assert server.stop() == 0
    code, report = folder.fsck()
    assert (code, report["records"], report["undecided_inbox"]) == (0, len(answered) + 1, 0)


def test_the_workers_of_a_killed_supervisor_are_gone_and_one_process_settles_what_they_left(
    folder: Folder,
) -> None:
    with ServerProcess(folder, *TWO) as server:
        answers = submit_to_both(server, iter(range(1_000)))
        workers = pids(server)
        # Stopped, it decides nothing: what its neighbour takes stays in that one's inbox.
        os.kill(workers[0], signal.SIGSTOP)
        left = [Connection(server) for _ in range(6)]
        for number, connection in enumerate(left):
            connection.send(record_of(6_000 + number))
        inbox = folder.data / "inbox-1"
        until(
            lambda: any(b'"epoch":600' in path.read_bytes() for path in inbox.iterdir()),
            "taken by worker 1",
        )
        server.kill()
        for connection in left:
            connection.close()
        until(lambda: all(is_gone(pid) for pid in workers.values()), "gone with it")
    code, report = folder.fsck()
    assert code == 0, report
    assert report["undecided_inbox"] > 0
    with ServerProcess(folder) as server:
        # One process has every inbox: it settled what stood in the other worker's.
        for epoch, first in answers.items():
            assert server.submit(body(epoch)).said == first.said
        assert server.stop() == 0
    code, report = folder.fsck()
    assert (code, report["undecided_inbox"]) == (0, 0), report


def test_a_second_server_and_a_worker_that_cannot_begin_end_the_start_with_their_message(
    folder: Folder, tmp_path: Path
) -> None:
    with ServerProcess(folder) as server:
        with pytest.raises(NotStartedError) as refused:
            ServerProcess(folder, *TWO)
        assert refused.value.code == 2
        assert "expected no other process, got pid" in str(refused.value)
        assert server.stop() == 0
    (folder.data / "inbox-1").mkdir(exist_ok=True)
    (folder.data / "inbox-1").rename(tmp_path / "inbox")
    (folder.data / "inbox-1").write_bytes(b"in the way")
    with pytest.raises(NotStartedError) as failed:
        ServerProcess(folder, *TWO)
    assert failed.value.code == 1
    said = [line for line in str(failed.value).splitlines() if "fractal-server: " in line]
    assert len(said) == 1, str(failed.value)
    path = folder.path / "keyring.json"
    path.write_bytes(b"{}")
    with pytest.raises(NotStartedError) as unusable:
        ServerProcess(folder, *TWO)
    assert unusable.value.code == 2


def test_workers_find_each_other_below_a_folder_whose_name_is_longer_than_a_sockets_may_be(
    tmp_path: Path,
) -> None:
    deep = tmp_path / ("d" * 110)
    deep.mkdir()
    with ServerProcess(Folder(deep / "server"), *TWO) as server:
        submit_to_both(server, iter(range(1_000)))
        pid = signalled(server, 0, signal.SIGKILL)
        until_replaced(server, 0, pid)
        until_ready(server)
        assert server.stop() == 0
