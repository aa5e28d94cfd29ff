"""EIO and ENOSPC under the real server: 503 at the worst, never a wrong answer, mended alone."""

import errno
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from tests.support.failing_disk import Effect
from tests.support.faulty_server import Fault, FaultyServer, check_here
from tests.support.load import Load, check, conflict_of, forged_of, record_of
from tests.support.server_process import Folder, ServerProcess, until, until_ready

STREAMS: Final = {"inbox-0": "inbox-0", "ledger": "shard-0/ledger"}
"""Stream names by the folder their segments are in."""

FAULTS: Final = {
    "an EIO that had no effect": Fault(error=errno.EIO),
    "an EIO that had its effect": Fault(error=errno.EIO, effect=Effect.WHOLE),
    "an ENOSPC half way": Fault(error=errno.ENOSPC, effect=Effect.PART),
}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "server")


class Script:
    """A short run of everything that touches the disk, held to a ``Load``."""

    def __init__(self, load: Load, *, after: int = 0) -> None:
        self.load = load
        self.left: list[tuple[str, int]] = []
        self.refusals: list[str] = []
        self._epoch = after

    def run(self, server: ServerProcess) -> int:
        """Return how many requests were answered with 503."""
        self._epoch += 1
        epoch = self._epoch
        requests = [("new", epoch), ("forged", 1_000_000 + epoch)]
        if epoch > 1:
            requests += [("repeat", epoch - 1), ("conflict", epoch - 1)]
        requests.append(("new", epoch))
        self.left = [request for request in requests if not self.attempt(server, *request)]
        return len(self.left)

    def finish(self, server: ServerProcess, *, failures: int = 0) -> None:
        """Send again what had no answer; the disk fails at most so many times more."""
        for request in self.left:
            while not self.attempt(server, *request):
                assert failures, f"{request} {self.refusals}"
                failures -= 1
                until_ready(server)
        assert not self.load.wrong, self.load.wrong

    def attempt(self, server: ServerProcess, kind: str, epoch: int) -> bool:
        make = {"conflict": conflict_of, "forged": forged_of}.get(kind, record_of)
        reply = server.submit(make(epoch))
        if reply.status == 503:
            assert reply.json["code"] == "storage_unavailable", reply
            assert "retry-after" in reply.headers
            self.refusals.append(reply.json["detail"])
            return False
        self.load.settle(kind, epoch, reply)
        return True


def assert_sound(folder: Folder, load: Load) -> None:
    """Every acknowledged record is there, no id has two outcomes, nothing is wrong on disk."""
    assert not load.wrong, load.wrong
    with FaultyServer(folder) as server:
        check(server, load, load.acknowledged)
        assert server.stop() == 0
    code, report = folder.fsck()
    assert (code, report["problems"], report["stored_twice"]) == (0, [], 0), report
    assert report["records"] == len(load.acknowledged)
    assert report["conflicts"] == len(load.conflicts)
    assert report["undecided_inbox"] == 0


def calls_of_a_run(server: FaultyServer, script: Script) -> int:
    """Return how many calls a run makes on a sound disk, the idle marks that follow included."""
    server.tell(None)
    assert script.run(server) == 0
    # Two batches that carry nothing but what was finished, or the durable offset, end it.
    seen = -1
    while seen != (seen := len(server.calls())):
        time.sleep(0.3)
    return seen


def assert_names_the_fenced(server: FaultyServer) -> None:
    reasons = server.ask("GET", "/ready").json["reasons"]
    failed = {STREAMS[call.path.partition(":")[0]] for call in server.failed() if ":" in call.path}
    assert reasons
    for reason in reasons:
        assert any(reason.startswith(f"fenced: stream {name}") for name in failed), reason


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("is_sticky", [False, True], ids=["one call", "every call until healed"])
def test_whichever_call_fails_the_server_says_so_and_mends_itself(
    folder: Folder, kind: str, capsys: pytest.CaptureFixture[str], *, is_sticky: bool
) -> None:
    load = Load()
    script = Script(load)
    refused = 0
    with FaultyServer(folder) as server:
        script.run(server)
        total = calls_of_a_run(server, script)
        for n in range(1, total + 1):
            fault = FAULTS[kind]
            server.tell(replace(fault, since=n) if is_sticky else replace(fault, at=frozenset({n})))
            refused += script.run(server)
            until(lambda: bool(server.failed()), f"call {n}")
            if is_sticky:
                until(lambda: server.ask("GET", "/ready").status == 503, "fenced")
                assert_names_the_fenced(server)
                server.tell(None)
            until_ready(server)
            script.finish(server)
        assert server.stop() == 0
    assert_sound(folder, load)
    with capsys.disabled():
        print(f" calls failed: {total} of {total}, answers of 503: {refused} ", end="")  # noqa: T201


@pytest.mark.parametrize("stream", ["inbox-0", "ledger"])
def test_whichever_call_of_the_mending_fails_too_it_is_mended_in_the_end(
    folder: Folder, tmp_path: Path, stream: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # The first failure is the sync of the first record's own batch, in the inbox or in the ledger.
    first = {"inbox-0": 2, "ledger": 4}[stream]
    with FaultyServer(folder) as server:
        assert server.submit(record_of(1)).status == 200
        assert server.stop() == 0

    def fail_and_mend(second: int | None) -> int:
        """Return how many calls were made from the first failure until the server was ready."""
        load = Load()
        copy = Folder(tmp_path / f"copy-{second or 0}", copy_of=folder)
        with FaultyServer(copy) as server:
            at = {first} if second is None else {first, first + second}
            server.tell(Fault(at=frozenset(at), effect=Effect.WHOLE))
            script = Script(load, after=1)
            assert script.run(server) > 0
            failed = server.failed()[0]
            assert (failed.name, failed.path.partition(":")[0]) == ("datasync", stream)
            until_ready(server)
            calls = len(server.calls()) - first
            script.finish(server, failures=second is not None)
            until(
                lambda: second is None or len(server.failed()) == 2, f"the failure {second} later"
            )
            until_ready(server)
            assert server.stop() == 0
        report = check_here(copy)
        assert (report.problems, report.stored_twice) == ([], 0)
        assert (report.records, report.conflicts) == (2, 1)
        shutil.rmtree(copy.path)
        return calls

    total = fail_and_mend(None)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fail_and_mend, range(1, total + 1)))
    with capsys.disabled():
        print(f" calls of a mending that failed too: {total} of {total} ", end="")  # noqa: T201
