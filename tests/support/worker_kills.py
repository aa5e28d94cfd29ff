"""Kill random workers under load, again and again: ``python -m tests.support.worker_kills``.

Several connections send records until each is answered, every third one twice at once. Whatever a
killed worker left unanswered, and whatever answered 503 meanwhile, is sent again. In the end there
is one outcome for each id, the one that was acknowledged first, whichever worker is asked.
"""

import argparse
import http.client
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from tests.support.load import Acknowledged, Connection, conflict_of, id_of, record_of
from tests.support.memory import folder_in_memory
from tests.support.server_process import WIDE_LANE, Folder, ServerProcess, until_ready
from tests.support.workers import is_gone, pids

_DECIDED: Final = frozenset({200, 202, 422})
_AGAIN_S: Final = 0.01
_CONNECTIONS: Final = 6
_TIMEOUT_S: Final = 120.0
ACKNOWLEDGED_MIN: Final = 100
NIGHTLY: Final = 300

_KILL_EVERY_S: Final = 5.0
_MEASURED_S: Final = 5.0
_WARM: Final = 500
_SHARE: Final = 0.7
"""Of the maximum, what a soak sends."""
GROWTH_MAX: Final = 1.25
"""Each of its workers lives for seconds: what grows, grows with what is stored."""


@dataclass
class Siege:
    """A load that outlives the workers it meets.

    Attributes:
        answers: epoch → the first answer of its record.
        wrong: What contradicts one.
        statuses: Of every answer.
        broken: Requests that a worker never answered.
        pause_s: Between two records of one connection; 0 sends as fast as it is answered.
    """

    server: ServerProcess
    pause_s: float = 0.0
    answers: dict[int, Acknowledged] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    broken: int = 0
    _sent: set[int] = field(default_factory=set)
    _next: int = 0
    _twins: list[int] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._threads = [
            threading.Thread(target=self._send, args=(number,)) for number in range(_CONNECTIONS)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(_TIMEOUT_S)
            assert not thread.is_alive(), "a request hangs"

    @property
    def in_flight(self) -> int:
        """How many requests have no answer yet."""
        return len(self._sent)

    def wait_for(self, acknowledged: int) -> None:
        """Return when so many more were acknowledged and a request is in flight."""
        goal = len(self.answers) + acknowledged
        end = time.monotonic() + _TIMEOUT_S
        while len(self.answers) < goal or not self._sent:
            assert time.monotonic() < end, f"{len(self.answers)} of {goal} acknowledged"
            assert not self.wrong, self.wrong
            time.sleep(0.001)

    def _epoch(self) -> int:
        with self._lock:
            if self._twins:
                return self._twins.pop()
            self._next += 1
            if self._next % 3 == 0:
                self._twins.append(self._next)
            return self._next

    def _send(self, number: int) -> None:
        connection: Connection | None = None
        epoch: int | None = None
        due_s = time.monotonic()
        while epoch is not None or not self._is_over.is_set():
            if epoch is None and self.pause_s:
                due_s = max(due_s + self.pause_s, time.monotonic() - 1)
                self._is_over.wait(max(0.0, due_s - time.monotonic()))
            epoch = self._epoch() if epoch is None else epoch
            try:
                connection = connection or Connection(self.server)
                self._sent.add(number)
                reply = connection.submit(record_of(epoch))
            except (http.client.HTTPException, OSError):
                self.broken += 1
                if connection is not None:
                    connection.close()
                    connection = None
                continue
            finally:
                self._sent.discard(number)
            with self._lock:
                self.statuses[reply.status] += 1
                if reply.status in _DECIDED:
                    said = Acknowledged.of(reply)
                    if self.answers.setdefault(epoch, said) != said:
                        self.wrong.append(f"epoch {epoch}: {said} after {self.answers[epoch]}")
                    epoch = None
                    continue
            if reply.status != 503 or reply.json["code"] != "storage_unavailable":
                self.wrong.append(f"epoch {epoch}: {reply.status} {reply.body[:200]!r}")
                epoch = None
            time.sleep(_AGAIN_S)
        if connection is not None:
            connection.close()


def check(server: ServerProcess, siege: Siege) -> None:
    """Hold every worker to what was acknowledged: each repeat, some conflicts, some reads."""
    until_ready(server)
    connections = [Connection(server) for _ in range(_CONNECTIONS)]
    for number, (epoch, first) in enumerate(siege.answers.items()):
        connection = connections[number % len(connections)]
        again = connection.submit(record_of(epoch))
        assert again.is_replayed, (epoch, again)
        assert Acknowledged.of(again) == first, epoch
        if number % 20 == 0:
            assert connection.submit(conflict_of(epoch)).status == 409, epoch
            assert connection.get(id_of(epoch)).json["outcome"] == json.loads(first.body), epoch
    for connection in connections:
        connection.close()


def run(path: Path, *, workers: int, kills: int, seed: int) -> None:
    """Kill so many times in one folder; print each.

    Raises:
        AssertionError: Something acknowledged is missing, or was answered in two ways.
    """
    chance = random.Random(seed)  # noqa: S311 - which worker dies is no secret
    folder = Folder(path)
    flags = ("--workers", str(workers), *WIDE_LANE, "--index-flush-records", "60")
    with ServerProcess(folder, *flags) as server, Siege(server) as siege:
        for number in range(kills):
            siege.wait_for(ACKNOWLEDGED_MIN)
            worker = chance.randrange(workers)
            pid = pids(server)[worker]
            in_flight, broken = siege.in_flight, siege.broken
            with suppress(ProcessLookupError):  # it may be one that is not back yet
                os.kill(pid, signal.SIGKILL)
            until_gone(pid)
            _say(
                f"kill {number + 1}: worker {worker}, in flight {in_flight}, acknowledged"
                f" {len(siege.answers)}, unanswered before it {broken}"
            )
        siege.wait_for(ACKNOWLEDGED_MIN)
        siege.__exit__()
        assert not siege.wrong, siege.wrong[:5]
        assert siege.broken, "no request was in flight at any kill"
        check(server, siege)
        assert server.stop() == 0, server.log.read_text()[-2_000:]
    code, report = folder.fsck()
    assert (code, report["undecided_inbox"], report["stored_twice"]) == (0, 0, 0), report
    assert report["records"] == len(siege.answers), (report, len(siege.answers))
    _say(
        f"{kills} kills of {workers} workers, seed {seed}: {len(siege.answers)} acknowledged,"
        f" answers {dict(siege.statuses)}, {siege.broken} unanswered, all found again"
    )


@dataclass(frozen=True, kw_only=True)
class Soaked:
    """What a soak came to.

    Attributes:
        rate: Records a second at the maximum.
        served: Records a second, between one kill and the next.
        held: Bytes of their own that the largest worker held, before each kill.
        acknowledged: Records.
        lost: Of these those that are not there in the end.
        twice: Decisions that are there twice.
        broken: Requests that nobody answered, and that were sent again.
    """

    rate: float
    served: Sequence[float]
    held: Sequence[int]
    acknowledged: int
    lost: int
    twice: int
    broken: int

    @property
    def kills(self) -> int:
        """How many workers were killed."""
        return len(self.held)


def soaked(path: Path, *, workers: int, seconds: float, seed: int) -> Soaked:
    """Serve at 70 % of the maximum for so long while a random worker is killed every 5 s.

    Raises:
        AssertionError: As ``run``.
    """
    chance = random.Random(seed)  # noqa: S311 - as above
    folder = Folder(path)
    with ServerProcess(folder, "--workers", str(workers), *WIDE_LANE) as server:
        with Siege(server) as siege:
            siege.wait_for(_WARM)
            begun, begun_s = len(siege.answers), time.monotonic()
            time.sleep(_MEASURED_S)
            rate = (len(siege.answers) - begun) / (time.monotonic() - begun_s)
            siege.pause_s = _CONNECTIONS / (_SHARE * rate)
            begun_s = time.monotonic()
            held: list[int] = []
            served: list[float] = []
            while time.monotonic() - begun_s < seconds:
                before, before_s = len(siege.answers), time.monotonic()
                time.sleep(_KILL_EVERY_S)
                served.append((len(siege.answers) - before) / (time.monotonic() - before_s))
                held.append(max(_anonymous_bytes(pid) for pid in pids(server).values()))
                with suppress(ProcessLookupError):
                    os.kill(pids(server)[chance.randrange(workers)], signal.SIGKILL)
        assert not siege.wrong, siege.wrong[:5]
        check(server, siege)
        assert server.stop() == 0, server.log.read_text()[-2_000:]
    code, report = folder.fsck()
    assert code == 0, report
    return Soaked(
        rate=rate,
        served=served,
        held=held,
        acknowledged=len(siege.answers),
        lost=len(siege.answers) - int(report["records"]),
        twice=int(report["stored_twice"]),
        broken=siege.broken,
    )


def soak(path: Path, *, workers: int, seconds: float, seed: int) -> None:
    """Soak, and print what came of it.

    Raises:
        AssertionError: As ``run``, or the memory of the workers grew.
    """
    found = soaked(path, workers=workers, seconds=seconds, seed=seed)
    part = max(1, found.kills // 3)
    early, late = max(found.held[:part]), max(found.held[-part:])
    served = sum(found.served) / len(found.served)
    _say(
        f"soak of {seconds:g} s, {workers} workers, {found.kills} kills, seed {seed}: maximum"
        f" {found.rate:.0f}/s, served {served:.0f}/s, {found.acknowledged} acknowledged,"
        f" {found.lost} lost, {found.twice} decided twice, {found.broken} unanswered and sent"
        f" again; most memory of a worker {early >> 20} MiB early, {late >> 20} MiB late"
    )
    assert (found.lost, found.twice) == (0, 0), found
    assert late <= GROWTH_MAX * early, (early, late)


def _anonymous_bytes(pid: int) -> int:
    """Return what a process holds of its own, 0 where it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    held = (line.split()[1] for line in status.splitlines() if line.startswith("RssAnon"))
    return 1_024 * int(next(held, 0))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def until_gone(pid: int) -> None:
    """Return once a process has ended."""
    while not is_gone(pid):
        time.sleep(0.001)


def main() -> None:
    """Kill as often as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", nargs="?", type=int, default=NIGHTLY)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--soak", type=float, metavar="SECONDS", help="serve so long at 70 %%")
    asked = parser.parse_args()
    with folder_in_memory() as name:
        if asked.soak:
            soak(name / "server", workers=asked.workers, seconds=asked.soak, seed=asked.seed)
            return
        run(name / "server", workers=asked.workers, kills=asked.kills, seed=asked.seed)


if __name__ == "__main__":
    main()
