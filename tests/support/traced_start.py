"""Fail every file-system call of a server's start, by the kernel, where there is much to recover.

The folder is one of a server that was killed, with bodies in its inbox that nobody looked at. The
start under strace either serves or ends; the next one recovers everything, without a person.
"""

import os
import re
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.support.faulty_server import check_here
from tests.support.load import Load, check, record_of
from tests.support.poison_server import leave_open
from tests.support.server_process import Folder, NotStartedError, ServerProcess, until
from tests.support.traced import Strike, Tracer

ROTATING: Final = (
    *("--segment-age-s", "0.0001", "--index-flush-records", "1"),
    *("--mend-interval-s", "0.02", "--inbox-trim-s", "3600"),
    *("--keyring-poll-s", "3600", "--disk-poll-s", "3600"),
)
"""Every append is the first of a segment, every decision is the index's last; and nothing is done
that was not asked for."""
DECIDED: Final = range(1, 6)
LEFT_OPEN: Final = range(6, 9)
_CALL: Final = re.compile(r"^(\d+) +([a-z0-9_]+)\(")


def _stop() -> None:
    """Wait until the tracer is there."""
    os.kill(os.getpid(), signal.SIGSTOP)


class Starts:
    """A folder that is recovered again and again, each time from the same bytes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._made = Folder(path / "made")
        self._load = Load()
        with ServerProcess(self._made, *ROTATING) as server:
            for epoch in DECIDED:
                self._load.settle("new", epoch, server.submit(record_of(epoch)))
        leave_open(self._made.data, *map(record_of, LEFT_OPEN))

    def calls(self) -> Counter[str]:
        """Return how many calls of each name one thread makes at the most in a start."""
        return max_of(self._started(None)[0])

    def strike(self, strike: Strike) -> tuple[bool, bool]:
        """Return whether a call was struck, and whether the start ended over it."""
        lines, has_ended = self._started(strike)
        return any(struck in line for line in lines for struck in Tracer.STRUCK), has_ended

    def _started(self, strike: Strike | None) -> tuple[list[str], bool]:
        folder = Folder(self._path / "copy", copy_of=self._made)
        log = self._path / "strace.log"
        tracers: list[Tracer] = []

        def trace(pid: int) -> None:
            until(lambda: "T (stopped)" in Path(f"/proc/{pid}/status").read_text(), "stopped")
            tracers.append(Tracer(log, [pid], strike, is_following=True))
            os.kill(pid, signal.SIGCONT)

        has_ended = False
        try:
            with ServerProcess(folder, *ROTATING, plant=_stop, begun=trace) as server:
                if strike is None:
                    check(server, self._load, self._load.acknowledged)
        except NotStartedError:
            has_ended = True
        finally:
            for tracer in tracers:
                tracer.stop()
        self._hold(folder)
        shutil.rmtree(folder.path)
        return log.read_text(errors="replace").splitlines(), has_ended

    def _hold(self, folder: Folder) -> None:
        with ServerProcess(folder, *ROTATING) as server:
            check(server, self._load, self._load.acknowledged)
            for epoch in LEFT_OPEN:
                reply = server.submit(record_of(epoch))
                assert reply.is_replayed, (epoch, reply)
            assert server.stop() == 0
        assert not self._load.wrong, self._load.wrong
        report = check_here(folder)
        assert (report.problems, report.stored_twice, report.undecided_inbox) == ([], 0, 0), report
        assert report.records == len(DECIDED) + len(LEFT_OPEN)


def max_of(lines: list[str]) -> Counter[str]:
    """Return for each name how often the thread called it that did so most."""
    found: dict[str, Counter[str]] = {}
    for line in lines:
        if match := _CALL.match(line):
            found.setdefault(match[1], Counter())[match[2]] += 1
    most: Counter[str] = Counter()
    for counts in found.values():
        most |= counts
    return most


def sweep_starts(path: Path, fault: str, *, step: int, say: Callable[[str], None]) -> None:
    """Strike every so-manieth call of a start with a fault.

    Raises:
        AssertionError: Something is lost, wrong, needs a person, or a call was not reached.
    """
    starts = Starts(path)
    calls = starts.calls()
    due = [
        Strike(name, number, fault)
        for name, count in sorted(calls.items())
        for number in range(1, count + 1)
    ][::step]
    struck = ended = 0
    missed = []
    for strike in due:
        try:
            was_struck, has_ended = starts.strike(strike)
        except AssertionError as error:
            error.add_note(str(strike))
            raise
        struck += was_struck
        ended += has_ended
        if not was_struck:
            missed.append(strike)
    say(
        f"{fault}: {struck} of {len(due)} calls struck, of {sum(calls.values())} of a start that"
        f" recovers, which ended over {ended}: {dict(calls)}"
    )
    assert not missed, missed
