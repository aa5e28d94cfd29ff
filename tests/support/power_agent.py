"""The agent over a disk that loses power: outbox and dead letters, and a source that grows."""

import json
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from tests.support.agent_world import MemoryServer, csv_stream, plan, run, world
from tests.support.failing_disk import FailingDisk
from tests.support.memory_disk import MemoryDisk
from tests.support.power_runs import LIVES_MAX, Invariant, Kind, hold
from tests.support.virtual_time import run_virtual

from fractal_lba.agent.deadletters import read_dead_letters
from fractal_lba.agent.status import read_status
from fractal_lba.agent.tally import Exit, Tally

_ROWS: Final = 3
"""Of a window; what a file holds is a multiple, so that each window is the same however often the
source is read."""
_WINDOWS_MAX: Final = 3
"""By which the source grows between two lives."""
_DEAD_EVERY: Final = 4


def is_dead(epoch: int) -> bool:
    """Tell which windows the server does not accept."""
    return epoch % _DEAD_EVERY == 1


class AgentScenario:
    """One data folder, one source, one server that outlives the agents."""

    def __init__(self, memory: MemoryDisk, chance: random.Random) -> None:
        self._memory = memory
        self._chance = chance
        self._data = memory.root / "data"
        self._source = memory.root / "x.csv"
        self._windows = 0
        self.server = MemoryServer(
            status=lambda record: 422 if is_dead(record["epoch"]) else 200,
            before=self._hold_durable,
        )

    def live(self, disk: FailingDisk) -> None:
        # Longer than the outbox's quiet moment or not: its marks are among the calls or not.
        self.server.latency_s = self._chance.choice((0.01, 0.3))
        self._windows += self._chance.randint(1, _WINDOWS_MAX)
        self._run(disk)

    def check(self, disk: FailingDisk, *, is_last: bool) -> None:
        if not is_last and self._chance.random() < 0.5:
            return  # the next life meets what this one left
        tally = self._run(disk)
        hold(tally.exit in {Exit.DONE, Exit.DEAD_LETTERS}, Invariant.NOBODY_NEEDED, tally.exit)
        hold((tally.pending, tally.unreadable) == (0, 0), Invariant.NOTHING_LOST, tally)
        self._hold_sent()
        self._hold_kept(disk)

    def _run(self, disk: FailingDisk) -> Tally:
        stream = csv_stream(self._source, _ROWS * self._windows)
        tally: Tally = run_virtual(run(plan(self._data, stream), world(self.server, disk)))
        return tally

    def _hold_durable(self, body: bytes) -> None:
        (pcs_id,) = (value for key, value in json.loads(body).items() if key == "pcs_id")
        hold(
            any(pcs_id.encode() in content for content in self._memory.durable_files()),
            Invariant.SENT_IS_DURABLE,
            pcs_id,
        )

    def _hold_sent(self) -> None:
        """Each window came, under its epoch, and nothing else did."""
        sent = self.server.windows()
        expected = {key: pcs_id for key, pcs_id in _all_windows().items() if key[1] < self._windows}
        for key, pcs_ids in sent.items():
            hold(pcs_ids <= {expected.get(key)}, Invariant.NO_NUMBER_TWICE, (key, pcs_ids))
        missing = expected.keys() - sent.keys()
        hold(not missing, Invariant.NOTHING_LOST, missing)

    def _hold_kept(self, disk: FailingDisk) -> None:
        """Each window that was not accepted has its letter, and the folder is sound."""
        letters = list(read_dead_letters(disk, self._data))
        found = {letter.epoch for letter in letters if letter is not None}
        dead = {epoch for epoch in range(self._windows) if is_dead(epoch)}
        hold(found == dead, Invariant.NOTHING_LOST, f"dead letters of {found}, not of {dead}")
        status = read_status(disk, self._data, has_ids=False)
        # A line of letters that were torn together may stand between others: they came again.
        contents = status.contents
        hold(not (contents.damage or contents.lost), Invariant.NOBODY_NEEDED, contents.damage)


@cache
def _all_windows() -> dict[tuple[str, int], str]:
    """Return every window the source ever holds, as a run that nothing happens to sends them."""
    with tempfile.TemporaryDirectory() as name:
        memory = MemoryDisk(Path(name), random.Random(0))  # noqa: S311 - no secret
        server = MemoryServer()
        stream = csv_stream(Path(name, "x.csv"), _ROWS * _WINDOWS_MAX * LIVES_MAX)
        run_virtual(run(plan(Path(name, "data"), stream), world(server, memory)))
        return {key: pcs_id for key, (pcs_id,) in server.windows().items()}


@contextmanager
def _scenario(memory: MemoryDisk, chance: random.Random) -> Iterator[AgentScenario]:
    yield AgentScenario(memory, chance)


AGENT: Final = Kind(name="agent", make=_scenario, calls=90, changes=30)
