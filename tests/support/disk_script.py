"""A short run of requests that touches every disk call of a server, and how many calls it makes."""

import time
from typing import Final

import pytest
from tests.support.faulty_server import FaultyServer
from tests.support.load import Load, conflict_of, forged_of, record_of
from tests.support.server_process import ServerProcess, until_ready

RUNS_MAX: Final = 10
IDLE_S: Final = 2.0


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


def calls_of_a_run(server: FaultyServer, script: Script) -> int:
    """Return how many calls a run makes on a sound disk, the idle marks that follow included."""
    server.tell(None)
    assert script.run(server) == 0
    # Two batches that carry nothing but what was finished, or the durable offset, end it.
    seen = -1
    while seen != (seen := len(server.calls())):
        time.sleep(0.3)
    return seen


def runs_until_a_call_failed(server: FaultyServer, script: Script) -> int:
    """Return how many requests were answered with 503.

    How many idle marks a run writes depends on how quick the machine is: where this one wrote fewer
    than the one that was counted, the call comes in the next.
    """
    for _ in range(RUNS_MAX):
        refused = script.run(server)
        end = time.monotonic() + IDLE_S
        while time.monotonic() < end:
            if server.failed():
                return refused
            time.sleep(0.002)
    pytest.fail(f"no call failed in {RUNS_MAX} runs")
