"""Fail every file-system call of a running server: ``python -m tests.support.traced_sweep``.

The kernel fails them, under strace. A script of requests rotates inbox and ledger, and commits the
index, each time it runs. It is traced once without a fault; then each call that it made, in each
thread of the logs, fails with EIO, with ENOSPC, and is the process's last. After each the server
has said 503 at the worst, and goes on or is started again by itself; everything acknowledged is
there with its first answer, and ``fsck`` finds nothing. Then the same for a start that recovers.
"""

import argparse
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from tests.support.faulty_server import check_here
from tests.support.load import Load, check, conflict_of, record_of
from tests.support.memory import folder_in_memory
from tests.support.server_process import START_TIMEOUT_S, Folder, ServerProcess, until_ready
from tests.support.traced import Strike, Tracer, name_threads, threads_of_logs
from tests.support.traced_start import ROTATING, sweep_starts

FAULTS: Final = ("EIO", "ENOSPC", "SIGKILL")
_RUNS_MAX: Final = 12
_QUIET_S: Final = 0.35
"""Longer than what a log waits for before it marks what is durable."""
_GONE: Final = (ConnectionError, OSError)


class Sweep:
    """One server folder, and the servers that run in it."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._load = Load()
        self._epoch = 0
        self.server = self._start()

    def _start(self) -> ServerProcess:
        return ServerProcess(self._folder, *ROTATING, plant=name_threads)

    def run(self) -> None:
        """Send a new record, a repeat, and another content under the id of what was answered."""
        self._epoch += 1
        self._send("new", self._epoch, record_of(self._epoch))
        known = max(self._load.acknowledged, default=None)
        if known is not None:
            self._send("new", known, record_of(known))
            self._send("conflict", known, conflict_of(known))
        time.sleep(_QUIET_S)

    def _send(self, kind: str, epoch: int, data: bytes) -> None:
        reply = self.server.submit(data)
        if reply.status == 503:
            assert reply.json["code"] == "storage_unavailable", reply
            until_ready(self.server)
        else:
            self._load.settle(kind, epoch, reply)

    def calls(self) -> dict[str, Counter[str]]:
        """Return how many calls of each name each log's thread makes in a run."""
        found = {}
        for name in threads_of_logs(self.server.process.pid):
            with self._traced(name) as tracer:
                self.run()
            found[name] = tracer.calls()
        return found

    def strike(self, at: str, strike: Strike) -> bool:
        """Return whether a call was reached and failed; all is held to what was acknowledged."""
        with self._traced(at, strike) as tracer:
            for _ in range(_RUNS_MAX):
                try:
                    self.run()
                except _GONE:
                    assert strike.fault == "SIGKILL"
                    # Its sockets are gone a while before it is: only its end is the call's.
                    self.server.process.wait(timeout=START_TIMEOUT_S)
                if self._has_ended() or tracer.has_struck():
                    break
            has_struck = self._has_ended() or tracer.has_struck()
        if strike.fault == "SIGKILL" and has_struck:
            self.server.kill()
            self.server = self._start()
        until_ready(self.server)
        self.run()
        self.run()  # a repeat of the last one, too, as in every run that is traced
        return has_struck

    def _has_ended(self) -> bool:
        return self.server.process.poll() is not None

    def reasons(self) -> str:
        """Say why not everything can be served, for people."""
        try:
            return self.server.ask("GET", "/ready").body.decode()
        except _GONE as error:
            return str(error)

    def end(self) -> None:
        """Stop, and look at everything."""
        check(self.server, self._load, self._load.acknowledged)
        assert self.server.stop() == 0
        assert not self._load.wrong, self._load.wrong
        report = check_here(self._folder)
        assert (report.problems, report.stored_twice, report.undecided_inbox) == ([], 0, 0), report
        assert report.records >= len(self._load.acknowledged)

    def _traced(self, name: str, strike: Strike | None = None) -> Tracer:
        thread = threads_of_logs(self.server.process.pid)[name]
        return Tracer(self._folder.path / "strace.log", [thread], strike)


def strikes(calls: dict[str, Counter[str]], fault: str) -> Iterator[tuple[str, Strike]]:
    """Yield each call of each thread, to be struck by a fault."""
    for at, names in calls.items():
        for name, count in sorted(names.items()):
            for number in range(1, count + 1):
                yield at, Strike(name, number, fault)


def sweep(folder: Folder, fault: str, *, step: int, say: Callable[[str], None]) -> None:
    """Strike every so-manieth call with a fault.

    Raises:
        AssertionError: Something is lost, wrong, needs a person, or a call was not reached.
    """
    going = Sweep(folder)
    try:
        going.run()
        calls = going.calls()
        due = list(strikes(calls, fault))[::step]
        missed = [each for each in due if not _struck(going, *each)]
        going.end()
    finally:
        going.server.kill()
    total = sum(count for names in calls.values() for count in names.values())
    names = sum(calls.values(), Counter[str]())
    say(
        f"{fault}: {len(due) - len(missed)} of {len(due)} calls struck, of {total} that a submit,"
        f" two rotations and an index commit make in {len(calls)} threads: {dict(names)}"
    )
    assert not missed, missed
    assert len(calls) == 2, calls


def _struck(going: Sweep, at: str, strike: Strike) -> bool:
    try:
        return going.strike(at, strike)
    except AssertionError as error:
        error.add_note(f"thread {at}, {strike}; ready: {going.reasons()}")
        raise


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.traced_sweep",
        description="Fail every file-system call of a running server under strace; exit 1 where"
        " something is lost.",
    )
    parser.add_argument("--fault", choices=FAULTS, action="append", help="default: all")
    parser.add_argument("--step", type=int, default=1)
    given = parser.parse_args()
    logging.disable()
    for fault in given.fault or FAULTS:
        with folder_in_memory() as name:
            sweep(Folder(name / "server"), fault, step=given.step, say=print)
            sweep_starts(name, fault, step=given.step, say=print)
    return 0


if __name__ == "__main__":
    sys.exit(main())
