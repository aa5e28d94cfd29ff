"""EIO and ENOSPC under the real server: 503 at the worst, never a wrong answer, mended alone."""

import errno
import shutil
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from tests.support.disk_script import Script, calls_of_a_run, runs_until_a_call_failed
from tests.support.failing_disk import Effect
from tests.support.faulty_server import EXIT_FAILED, Fault, FaultyServer, check_here, until_idle
from tests.support.load import Load, check, conflict_of, id_of, record_of
from tests.support.server_process import Folder, NotStartedError, ServerProcess, until, until_ready
from tests.support.small_disk import small_disk

STREAMS: Final = {"inbox-0": "inbox-0", "ledger": "shard-0/ledger"}
"""Stream names by the folder their segments are in."""

STARTS_STEP: Final = 3
FAULTS: Final = {
    "an EIO that had no effect": Fault(error=errno.EIO),
    "an EIO that had its effect": Fault(error=errno.EIO, effect=Effect.WHOLE),
    "an ENOSPC half way": Fault(error=errno.ENOSPC, effect=Effect.PART),
}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "server")


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


def assert_names_the_fenced(server: FaultyServer) -> None:
    reasons = server.ask("GET", "/ready").json["reasons"]
    folders = {call.path.partition(":")[0] for call in server.failed()}
    # What failed beside the logs, such as the note of what is being judged, fences none of them.
    failed = {name for folder, name in STREAMS.items() if folder in folders}
    assert reasons
    for reason in reasons:
        assert any(reason.startswith(f"fenced: stream {name}") for name in failed), reason


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("is_sticky", [False, True], ids=["one call", "every call until healed"])
def test_whichever_call_fails_the_server_says_so_and_mends_itself(
    folder: Folder, kind: str, tell: Callable[[str, str], None], *, is_sticky: bool
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
            refused += runs_until_a_call_failed(server, script)
            if is_sticky:
                until(lambda: server.ask("GET", "/ready").status == 503, "fenced")
                assert_names_the_fenced(server)
                server.tell(None)
            until_ready(server)
            script.finish(server)
        assert server.stop() == 0
    assert_sound(folder, load)
    tell("faults", f"calls failed: {total} of {total}, answers of 503: {refused}")


@pytest.mark.parametrize("stream", ["inbox-0", "ledger"])
def test_whichever_call_of_the_mending_fails_too_it_is_mended_in_the_end(
    folder: Folder, tmp_path: Path, stream: str, tell: Callable[[str, str], None]
) -> None:
    # The first failure is the sync of the first record's own batch, in the inbox or in the ledger.
    broken = Fault(first_sync_of=stream, effect=Effect.WHOLE)
    with FaultyServer(folder) as server:
        assert server.submit(record_of(1)).status == 200
        assert server.stop() == 0

    def fail_and_mend(second: int | None) -> int:
        """Return how many calls were made from the first failure until the server was ready."""
        load = Load()
        copy = Folder(tmp_path / f"copy-{second or 0}", copy_of=folder)
        with FaultyServer(copy) as server:
            at = {1} if second is None else {1, 1 + second}
            server.tell(replace(broken, at=frozenset(at)))
            script = Script(load, after=1)
            assert script.run(server) > 0
            assert broken.begins_at(server.failed()[0])
            until_ready(server)
            made = server.calls()
            calls = len(made) - next(
                at for at, call in enumerate(made, 1) if broken.begins_at(call)
            )
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
    tell("faults", f"calls of a mending that failed too: {total} of {total}")


@pytest.fixture(scope="module")
def ended_badly(tmp_path_factory: pytest.TempPathFactory) -> tuple[Folder, Load]:
    """A folder whose server died in a write of the inbox, and then in one of the ledger."""
    folder = Folder(tmp_path_factory.mktemp("ended") / "server")
    load = Load()
    for epoch, call in ((10, 1), (20, 3)):
        with FaultyServer(folder) as server:
            for known in range(epoch, epoch + 3):
                load.settle("new", known, server.submit(record_of(known)))
            until_idle(server)
            server.tell(Fault(at=frozenset({call}), error=None, effect=Effect.PART))
            with pytest.raises(OSError, match=r"."):
                server.submit(record_of(epoch + 9))
            server.wait()
    report = check_here(folder)
    assert (report.undecided_inbox, report.records) == (1, 6)
    assert report.torn_bytes > 0
    assert list(folder.data.rglob("inbox-0/*.cut"))
    return folder, load


KINDS_OF_END: Final = {
    "EIO": Fault(error=errno.EIO, effect=Effect.WHOLE),
    "ENOSPC": Fault(error=errno.ENOSPC, effect=Effect.PART),
    "SIGKILL": Fault(error=None, effect=Effect.PART),
}


@pytest.mark.parametrize("kind", KINDS_OF_END)
def test_whichever_call_of_a_start_fails_or_ends_it_the_next_start_recovers_everything(
    ended_badly: tuple[Folder, Load],
    tmp_path: Path,
    kind: str,
    tell: Callable[[str, str], None],
) -> None:
    made, load = ended_badly
    undecided = 29

    def start(n: int) -> bool:
        """Return whether the server ended at this call of its start."""
        copy = Folder(tmp_path / f"copy-{n}", copy_of=made)
        fault = replace(KINDS_OF_END[kind], at=frozenset({n}))
        try:
            FaultyServer(copy, fault).kill()
            has_ended = False
        except NotStartedError as error:
            expected = EXIT_FAILED if fault.error else -signal.SIGKILL
            has_ended = error.code == expected
            assert has_ended, error  # noqa: PT017 - it may start as well
        with FaultyServer(copy) as server:
            until_ready(server)
            check(server, load, load.acknowledged, connections=1)
            again = server.submit(record_of(undecided))
            assert again.is_replayed
            assert server.stop() == 0
        report = check_here(copy)
        assert (report.problems, report.stored_twice, report.undecided_inbox) == ([], 0, 0)
        assert report.records == len(load.acknowledged) + 1
        shutil.rmtree(copy.path)
        return has_ended

    with FaultyServer(Folder(tmp_path / "sound", copy_of=made)) as server:
        total = len(server.calls())
        server.stop()
    step = STARTS_STEP if kind != "SIGKILL" else 1
    with ThreadPoolExecutor(4) as pool:
        ended = sum(pool.map(start, range(1, total + 1, step)))
    assert ended
    tell("faults", f"calls of a start: {total}, every {step}, ended there: {ended}")


def test_a_full_disk_refuses_and_takes_again_once_there_is_room(tmp_path: Path) -> None:
    made = Folder(tmp_path / "made")
    with small_disk(tmp_path, 2) as mount:
        folder = Folder(mount / "server", copy_of=made)
        ballast = mount / "ballast"
        ballast.write_bytes(bytes(1_400_000))
        load = Load()
        refused = 0
        # On a volume this small nothing is ever left free.
        flags = (
            *("--mend-interval-s", "0.02"),
            *("--disk-free-bytes-min", "0"),
            *("--segment-reserve-bytes", "4096"),
        )
        log = tmp_path / "server.log"
        with ServerProcess(folder, *flags, log=log) as server:
            for epoch in range(1, 1_000):
                reply = server.submit(record_of(epoch))
                if reply.status == 503:
                    assert reply.json["code"] == "storage_unavailable", reply
                    refused = epoch
                    break
                load.settle("new", epoch, reply)
            assert refused, "the disk never filled up"
            assert server.ask("GET", "/ready").status == 503
            assert server.ask("GET", "/health").status == 200
            first = next(iter(load.acknowledged))
            assert server.get(id_of(first)).status == 200
            ballast.unlink()
            until_ready(server)
            for epoch in range(refused, refused + 20):
                load.settle("new", epoch, server.submit(record_of(epoch)))
            check(server, load, load.acknowledged)
            assert server.stop() == 0
        assert not load.wrong
        code, report = folder.fsck()
        assert (code, report["problems"], report["records"]) == (0, [], len(load.acknowledged))


STRACE: Final = shutil.which("strace")


def can_trace() -> bool:
    return (
        STRACE is not None
        and not subprocess.run(
            [STRACE, "-o", "/dev/null", "true"], check=False, capture_output=True
        ).returncode
    )


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_the_real_server_survives_syncs_that_the_kernel_fails(
    folder: Folder, error: str, tell: Callable[[str, str], None]
) -> None:
    if not can_trace():
        pytest.skip("strace is missing or may not trace here")
    assert STRACE is not None
    load = Load()
    log = folder.path / "strace.log"
    with ServerProcess(folder, "--mend-interval-s", "0.05") as server:
        # Every thread's own third sync from now on, and each seventh after it.
        tracer = subprocess.Popen(
            [
                STRACE,
                *("-f", "-p", str(server.process.pid), "-o", str(log), "-e", "trace=fdatasync"),
                *("-e", f"inject=fdatasync:error={error}:when=3+7"),
            ],
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: is_traced(server.process.pid), "traced")
            refused = 0
            for epoch in range(1, 61):
                reply = server.submit(record_of(epoch))
                if reply.status == 503:
                    assert reply.json["code"] == "storage_unavailable"
                    refused += 1
                    until_ready(server)
                else:
                    load.settle("new", epoch, reply)
        finally:
            tracer.terminate()
            tracer.wait()
        until_ready(server)
        for epoch in range(1, 61):
            load.settle("new", epoch, server.submit(record_of(epoch)))
        check(server, load, load.acknowledged)
        assert server.stop() == 0
    injected = log.read_text().count("(INJECTED)")
    assert injected > 1
    assert refused
    assert not load.wrong
    code, report = folder.fsck()
    assert (code, report["stored_twice"], report["records"]) == (0, 0, 60), report
    tell("faults", f"(INJECTED): {injected}, answers of 503: {refused}")


def is_traced(pid: int) -> bool:
    return all(
        "TracerPid:\t0\n" not in (task / "status").read_text()
        for task in Path(f"/proc/{pid}/task").iterdir()
    )


def test_all_who_wait_for_an_occupied_id_share_its_failure_and_it_gets_one_outcome(
    folder: Folder, tell: Callable[[str, str], None]
) -> None:
    waiting = refused = 0
    with FaultyServer(folder) as server:
        for epoch in range(1, 16):
            bodies = [record_of(epoch)] * 12 + [conflict_of(epoch)] * 4
            # The sync of the ledger fails while the others of the id wait for it.
            server.tell(Fault(at=frozenset({epoch % 3 + 1}), only="datasync"))
            with ThreadPoolExecutor(len(bodies)) as pool:
                replies = list(pool.map(server.submit, bodies))
            until_ready(server)
            waiting += len(bodies)
            statuses = {reply.status for reply in replies}
            assert statuses <= {200, 202, 409, 422, 503}, statuses
            refused += sum(reply.status == 503 for reply in replies)
            # Whatever was acknowledged is one outcome, of one of the two contents.
            decisions = {reply.body for reply in replies if reply.status in {200, 202, 422}}
            assert len(decisions) <= 1
            server.tell(None)
            until_ready(server)
            firsts = [server.submit(record_of(epoch)), server.submit(conflict_of(epoch))]
            assert sum(reply.status == 409 for reply in firsts) == 1, firsts
            decided = next(reply.body for reply in firsts if reply.status != 409)
            assert decisions <= {decided}
        assert server.stop() == 0
    report = check_here(folder)
    assert (report.problems, report.stored_twice, report.records) == ([], 0, 15)
    assert refused
    tell("faults", f"requests on occupied ids: {waiting}, refused: {refused}")
