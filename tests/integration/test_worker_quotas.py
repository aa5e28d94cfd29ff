"""What a tenant may send is asked of it over all workers, whichever of them dies."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest
from tests.oracle.ring import owner, point
from tests.support.server_process import WIDE_LANE, Folder, Reply, ServerProcess, until, until_ready
from tests.support.signed import GLOBEX, body
from tests.support.workers import signalled, until_replaced

TWO = ("--workers", "2", *WIDE_LANE, "--mend-interval-s", "0.1")
SHARDS = [f"shard-{number}" for number in range(4)]
SENDERS = 6


def keeper_of(tenant: str) -> int:
    """Return the worker of two that keeps a tenant's quotas."""
    return SHARDS.index(owner([(name, 1) for name in SHARDS], point(tenant, ""))) % 2


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "two", shards="4")


def limit(folder: Folder, tenant: str, *lines: str) -> None:
    with (folder.path / "server.toml").open("a") as settings:
        settings.write("\n".join(["", f"[tenants.{tenant}]", *lines, ""]))


def codes(replies: list[Reply]) -> list[str]:
    return [str(reply.json.get("code", reply.status)) for reply in replies]


def test_a_day_and_a_rate_are_the_tenants_over_two_workers(folder: Folder) -> None:
    limit(folder, "acme", "records_per_day = 50")
    limit(folder, "globex", "rate_per_s = 0.001", "burst = 20")
    with ServerProcess(folder, *TWO) as server, ThreadPoolExecutor(SENDERS) as pool:
        day = list(pool.map(lambda epoch: server.submit(body(epoch)), range(90)))
        rate = list(pool.map(lambda epoch: server.submit(body(epoch, signer=GLOBEX)), range(40)))
        lines = server.batch(b"\n".join(body(epoch) for epoch in range(1_000, 1_020))).lines
        assert sorted(codes(day)) == ["200"] * 50 + ["quota_exceeded"] * 40
        assert sorted(codes(rate)) == ["200"] * 20 + ["quota_exceeded"] * 20
        assert {line["status"] for line in lines} == {429}
        workers = {line["worker"] for line in server.log_lines() if line["event"] == "settled"}
        assert workers == {0, 1}
        assert server.stop() == 0
    code, report = folder.fsck()
    assert (code, report["records"]) == (0, 70)


def test_a_day_takes_exactly_what_it_may_whichever_worker_is_killed_in_it(folder: Folder) -> None:
    limit(folder, "acme", "records_per_day = 120")
    epochs, taken, ends = count(), set[int](), list[str]()
    lock, is_over = threading.Lock(), threading.Event()

    def send(server: ServerProcess) -> None:
        while not is_over.is_set():
            with lock:
                epoch = next(epochs)
            reply = None
            while reply is None or reply.status == 503:
                try:
                    reply = server.submit(body(epoch))
                except OSError:
                    continue  # its worker was killed: nobody knows, so it is sent again
            with lock:
                ends.append(str(reply.json.get("code", reply.status)))
                if reply.status == 200:
                    taken.add(epoch)

    def kill(server: ServerProcess, worker: int, after: int) -> None:
        until(lambda: len(taken) >= after, f"{after} taken")
        pid = signalled(server, worker, signal.SIGKILL)
        until_replaced(server, worker, pid)

    with ServerProcess(folder, *TWO) as server, ThreadPoolExecutor(SENDERS) as pool:
        senders = [pool.submit(send, server) for _ in range(SENDERS)]
        try:
            kill(server, keeper_of("acme"), 20)
            kill(server, 1 - keeper_of("acme"), 50)
            kill(server, keeper_of("acme"), 80)
            until(lambda: ends.count("quota_exceeded") > SENDERS, "the day is over")
        finally:
            is_over.set()
        for sender in senders:
            sender.result()
        assert set(ends) == {"200", "quota_exceeded"}
        assert len(taken) == 120
        assert server.stop() == 0
    # What was answered 503 while its quotas' keeper was away may stand open still.
    with ServerProcess(folder, *TWO) as server:
        until_ready(server)
        assert server.stop() == 0
    code, report = folder.fsck()
    assert (code, report["records"], report["undecided_inbox"]) == (0, 120, 0)
