"""The agent on a disk that fails, or a process that dies and the power with it, at every call.

Whatever fails: nothing is sent that is not on disk, no epoch is used for two windows or left out,
and the next run delivers everything.
"""

import asyncio
import errno
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.agent_world import MemoryServer, csv_stream, plan, run, world
from tests.support.failing_disk import Call, Crash, Effect, FailingDisk
from tests.support.memory_disk import MemoryDisk
from tests.support.power_cut import cut_power
from tests.support.virtual_time import run_virtual

from fractal_lba.agent.deadletters import FILE, read_dead_letters
from fractal_lba.agent.status import read_status
from fractal_lba.agent.stop import Stop
from fractal_lba.agent.tally import Exit, Tally
from fractal_lba.protocol import DurabilityError, LockedError

ROWS = 13  # 4 windows of 3 rows, the last one with a fourth
WINDOWS = 4
DEAD_EPOCH = 2
STOPPED_S = 20.0  # long after a run that nothing happens to


def status_of(record: dict[str, Any]) -> int:
    return 422 if record["epoch"] == DEAD_EPOCH else 200


@dataclass(frozen=True)
class Outcome:
    """What one run over a failing disk came to."""

    tally: Tally | None
    error: BaseException | None


class Rig:
    """One folder, one source, one server that outlives the agents."""

    def __init__(self, folder: Path) -> None:
        self.memory = MemoryDisk(folder, random.Random(0))  # noqa: S311 - to be replayed
        self.data = folder / "data"
        self.stream = csv_stream(folder / "x.csv", ROWS)
        self.server = MemoryServer(status=status_of)
        # Longer than the outbox's quiet moment, so that its marks are among the calls.
        self.server.latency_s = 0.3

    def disk(
        self,
        *,
        fail_at: int | None = None,
        error: int | None = errno.EIO,
        effect: Effect = Effect.NONE,
        is_sticky: bool = False,
    ) -> FailingDisk:
        return FailingDisk(
            self.memory,
            fail_at=fail_at,
            error=error,
            effect=effect,
            is_sticky=is_sticky,
            is_syncing=True,
        )

    def run(self, disk: FailingDisk) -> Outcome:
        self.server.before = lambda body: check_durable(self.memory, body)
        try:
            tally = run_virtual(self._main(disk))
        except (DurabilityError, Crash) as error:
            return Outcome(None, error)
        except BaseExceptionGroup as group:
            if group.subgroup(Crash) is None:
                raise
            return Outcome(None, group)
        finally:
            disk.abandon()
        return Outcome(tally, None)

    async def _main(self, disk: FailingDisk) -> Tally:
        """Run; where the disk stays full an agent waits for room until somebody stops it."""
        stop = Stop()
        stopping = asyncio.get_running_loop().call_later(STOPPED_S, stop.interrupt)
        try:
            few = plan(self.data, self.stream, grace_s=1.0)
            return await run(few, world(self.server, disk), stop)
        finally:
            stopping.cancel()


def check_durable(memory: MemoryDisk, body: bytes) -> None:
    """Fail unless the record in this body would be there after a power cut."""
    pcs_id = body[body.index(b'"pcs_id":"') + 10 :][:64]
    assert any(pcs_id in content for content in memory.durable_files()), "sent before it was synced"


def unsynced(calls: Sequence[Call]) -> set[str]:
    """Return the files that were written to and not synced since, by their names when opened."""
    names: set[str] = set()
    for call in calls:
        if call.name == "write_at" and call.path != ".lock":
            names.add(call.path)
        elif call.name == "datasync":
            names.discard(call.path)
    return names


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Rig]:
    """Return the number of disk calls of a run nothing happens to, and what it did."""
    rig = Rig(tmp_path_factory.mktemp("undisturbed"))
    disk = rig.disk()
    outcome = rig.run(disk)
    assert outcome.tally is not None
    assert outcome.tally.exit is Exit.DEAD_LETTERS
    assert len(rig.server.sent) == WINDOWS
    return len(disk.calls), rig


@contextmanager
def named(call: int, disk: FailingDisk) -> Iterator[None]:
    """Say which call failed when what is inside does."""
    try:
        yield
    except AssertionError as error:
        struck = disk.calls[call - 1] if len(disk.calls) >= call else "nothing"
        raise AssertionError(f"call {call}, {struck}: {error}") from error


FAULTS = [(error, effect) for error in (errno.EIO, errno.ENOSPC, None) for effect in Effect]


@pytest.mark.parametrize(
    ("error", "effect"),
    FAULTS,
    ids=[f"{errno.errorcode[error] if error else 'crash'}-{effect}" for error, effect in FAULTS],
)
def test_a_fault_at_any_disk_call_loses_and_repeats_nothing(
    undisturbed: tuple[int, Rig],
    tmp_path: Path,
    tell: Callable[[str, str], None],
    error: int | None,
    effect: Effect,
) -> None:
    calls, expected = undisturbed
    for call in range(1, calls + 1):
        folder = tmp_path / str(call)
        folder.mkdir()
        rig = Rig(folder)
        disk = rig.disk(fail_at=call, error=error, effect=effect, is_sticky=error == errno.ENOSPC)
        with named(call, disk):
            first = rig.run(disk)
            assert disk.has_failed, "the fault was never reached"
            check_first(first, error)
            if error is None or call % 2 or rig.memory.is_read_only:
                cut_power(rig.memory, random.Random(call))  # noqa: S311 - to be replayed
            second = rig.run(rig.disk())
            check_end(second, rig, expected)
    tell("faults", f"calls of an agent's run that failed: {calls} of {calls}")


def check_first(outcome: Outcome, error: int | None) -> None:
    if error is None:
        assert outcome.error is not None, "a dead process went on"
        return
    assert not isinstance(outcome.error, LockedError)
    if outcome.tally is not None:
        # Either what failed was noticed, or it did not matter (the closing of a file).
        assert outcome.tally.exit in (Exit.UNWRITABLE, Exit.DEAD_LETTERS)


def check_end(outcome: Outcome, rig: Rig, expected: Rig) -> None:
    tally = outcome.tally
    assert tally is not None, f"the next run could not start: {outcome.error}"
    assert (tally.pending, tally.unreadable) == (0, 0)
    assert tally.exit in (Exit.DONE, Exit.DEAD_LETTERS)
    assert rig.server.windows() == expected.server.windows()
    assert {key: answer.status for key, answer in rig.server.decided.items()} == {
        key: answer.status for key, answer in expected.server.decided.items()
    }
    found = read_status(rig.memory, rig.data, has_ids=True)
    assert not found.is_damaged
    assert found.ids is not None
    states = [(window.epoch, window.state) for window in found.ids.values()]
    assert sorted(states) == [
        (epoch, "dead" if epoch == DEAD_EPOCH else "acknowledged") for epoch in range(WINDOWS)
    ]
    letters = list(read_dead_letters(rig.memory, rig.data))
    assert {letter.epoch for letter in letters if letter is not None} == {DEAD_EPOCH}


@pytest.mark.parametrize("seed", range(20))
def test_faults_in_one_run_after_the_other_lose_and_repeat_nothing(
    undisturbed: tuple[int, Rig], tmp_path: Path, seed: int
) -> None:
    calls, expected = undisturbed
    rng = random.Random(seed)  # noqa: S311 - the seed is the test's name
    rig = Rig(tmp_path)
    for _ in range(rng.randint(2, 6)):
        error, effect = rng.choice(FAULTS)
        call = rng.randint(1, calls)
        disk = rig.disk(fail_at=call, error=error, effect=effect)
        with named(call, disk):
            rig.run(disk)
        if rng.random() < 0.5 or rig.memory.is_read_only:
            cut_power(rig.memory, rng)
    check_end(rig.run(rig.disk()), rig, expected)


def test_a_dead_letter_is_synced_before_the_outbox_notes_the_answer(
    tmp_path: Path,
) -> None:
    rig = Rig(tmp_path)
    disk = rig.disk()
    rig.run(disk)
    letters = [at for at, call in enumerate(disk.calls) if call == Call("write_at", FILE)]
    assert len(letters) == 1
    appends = [
        at for at, call in enumerate(disk.calls) if call.name == "write_at" and ".seg" in call.path
    ]
    assert any(at > letters[0] for at in appends), "the answer was never noted"
    for at in appends:
        assert FILE not in unsynced(disk.calls[:at])
    names = [at for at, call in enumerate(disk.calls) if call == Call("create", FILE)]
    assert disk.calls[names[0] + 1].name == "sync_dir"


def test_a_second_run_over_the_same_source_sends_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.run(rig.disk())
    second = rig.run(rig.disk())
    assert second.tally is not None
    assert (second.tally.windows, second.tally.resumed) == (0, 0)
    assert len(rig.server.sent) == WINDOWS
