"""Lives of a process over one disk, each ended by a fault, a kill or a power cut; all from a seed.

A *scenario* is what the processes do and what must hold after each of them. Every seed makes its
own disk, faults and cuts, so a failing one is replayed by its number alone.
"""

import errno
import random
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol, TypeVar, assert_never

from tests.support.failing_disk import Call, Crash, Effect, FailingDisk
from tests.support.memory import memory_folder
from tests.support.memory_disk import MemoryDisk
from tests.support.power_cut import cut_power
from typing_extensions import override

from fractal_lba.protocol.errors import ContractError, DurabilityError

_T = TypeVar("_T")

LIVES_MAX: Final = 3
FAULTS_MAX: Final = 2
_ERRORS: Final = (errno.EIO, errno.ENOSPC, errno.EDQUOT)
_CHANGING: Final = frozenset(
    {"create", "write_at", "truncate", "datasync", "rename", "unlink", "mkdir", "sync_dir"}
)
_FAULTS_FIRST: Final = 0.3
"""How often a life meets errors before it ends."""
_KILL_ALONE: Final = 0.2
"""How often a process ends and the machine does not."""


class InvariantError(AssertionError):
    """What must never happen did.

    Attributes:
        invariant: its name; the rest says what was seen.
    """

    def __init__(self, invariant: str, seen: str) -> None:
        super().__init__(f"{invariant}: {seen}")
        self.invariant: Final = invariant


class Invariant:
    """The names of what must hold."""

    NOTHING_LOST: Final = "what was acknowledged is there"
    SERVED_STAYS: Final = "what recovery gave stays"
    NO_NUMBER_TWICE: Final = "no number is given twice"
    NOTHING_TWICE: Final = "no record is there twice"
    NOBODY_NEEDED: Final = "recovery needs no person"
    NOTHING_ELSE: Final = "nothing is there that nobody wrote"
    SENT_IS_DURABLE: Final = "nothing is sent that is not on disk"
    WHOLE_OR_OLD: Final = "a replaced file is the old one or the new one"


def hold(condition: object, invariant: str, seen: object) -> None:
    """Raise ``InvariantError`` unless the condition is true."""
    if not condition:
        raise InvariantError(invariant, str(seen))


class At(StrEnum):
    """Which calls are counted until one is struck."""

    ANY = "any"
    CHANGE = "change"
    SYNC = "sync"
    NAMES = "names"

    def counts(self, call: Call) -> bool:
        match self:
            case At.ANY:
                return True
            case At.CHANGE:
                return call.name in _CHANGING
            case At.SYNC:
                return call.name == "datasync"
            case At.NAMES:
                return call.name == "sync_dir"
        assert_never(self)


@dataclass(slots=True)
class Strike:
    """A fault at a call of one life: an error, or with ``None`` the end of the process."""

    at: At
    left: int
    error: int | None
    effect: Effect


class UnluckyDisk(FailingDisk):
    """A disk on which several calls of a life fail, and the last one may end it."""

    def __init__(self, inner: MemoryDisk, strikes: Iterable[Strike]) -> None:
        super().__init__(inner, is_syncing=True)
        self.memory: Final = inner
        self._strikes = list(strikes)

    @override
    def do(
        self,
        call: Call,
        act: Callable[[], _T],
        *,
        part: Callable[[], object] | None = None,
        undo: Callable[[_T], object] | None = None,
    ) -> _T:
        for strike in self._strikes:
            strike.left -= strike.at.counts(call)
        due = next((strike for strike in self._strikes if strike.left <= 0), None)
        if due is not None and not self.has_ended:
            self._strikes.remove(due)
            self.fail_next(1, error=due.error, effect=due.effect)
            if due.error is not None:
                self.memory.happened[errno.errorcode[due.error]] += 1
        return super().do(call, act, part=part, undo=undo)


class Scenario(Protocol):
    """What processes do over one disk."""

    def live(self, disk: FailingDisk) -> None:
        """Be one process: recover, work, and end; a failure may be raised as it is met."""
        ...

    def check(self, disk: FailingDisk, *, is_last: bool) -> None:
        """Recover over a sound disk and hold what is there to the invariants.

        What takes a whole life to be seen need only be held after the last one.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of scenario.

    Attributes:
        name: by which it is replayed.
        make: gives one over a disk that is empty; its root is a real folder, too, for what is
            not behind the port.
        calls: about how many calls a life makes that nothing happens to.
        changes: how many of them change something; a third of those are syncs of files, a
            sixth of folders.
    """

    name: str
    make: Callable[[MemoryDisk, random.Random], AbstractContextManager[Scenario]]
    calls: int
    changes: int


def run_seed(kind: Kind, seed: int) -> MemoryDisk:
    """Run one seed to its end and return its disk, which has counted what happened.

    Raises:
        InvariantError: Something must not be as it is.
    """
    try:
        return _run_seed(kind, seed)
    except BaseExceptionGroup as group:
        broken = _broken_in(group)
        if broken is None:
            raise
        raise broken from group


def _broken_in(group: BaseExceptionGroup) -> InvariantError | None:
    for error in group.exceptions:
        found = _broken_in(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, InvariantError):
            return found
    return None


def _run_seed(kind: Kind, seed: int) -> MemoryDisk:
    chance = random.Random(f"{kind.name} {seed}")  # noqa: S311 - to be replayed
    with ExitStack() as stack:
        memory = MemoryDisk(stack.enter_context(given_folder()), chance)
        scenario = stack.enter_context(kind.make(memory, chance))
        lives = chance.randint(1, LIVES_MAX)
        for life in range(lives):
            live_once(scenario, UnluckyDisk(memory, _strikes(chance, kind)))
            if chance.random() < _KILL_ALONE and not memory.is_read_only:
                memory.happened["process ended, power stayed"] += 1
            else:
                cut_power(memory, chance)
                memory.happened["power cut"] += 1
            hold_after(scenario, memory, is_last=life == lives - 1)
    return memory


def hold_after(scenario: Scenario, memory: MemoryDisk, *, is_last: bool) -> None:
    """Hold what a scenario's lives left to its invariants, over a sound disk.

    Raises:
        InvariantError: Something must not be as it is.
    """
    sound = FailingDisk(memory, is_syncing=True)
    try:
        scenario.check(sound, is_last=is_last)
    except (DurabilityError, ContractError) as error:
        raise InvariantError(Invariant.NOBODY_NEEDED, str(error)) from error
    finally:
        sound.abandon()


@contextmanager
def given_folder() -> Iterator[Path]:
    """Give a real folder, in memory: for what does not go through the port."""
    folder = Path(tempfile.mkdtemp(prefix="power-", dir=memory_folder()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def live_once(scenario: Scenario, disk: FailingDisk) -> None:
    """Have one process live until its end, whatever ends it."""
    try:
        scenario.live(disk)
    except (Crash, DurabilityError):
        pass
    except BaseExceptionGroup as group:
        # Of a bug nothing is left out: an exception nobody expects is raised as it came.
        if (rest := group.split((Crash, DurabilityError))[1]) is not None:
            raise rest from None
    finally:
        disk.abandon()


def _strikes(chance: random.Random, kind: Kind) -> list[Strike]:
    effects = list(Effect)
    faults = chance.randint(1, FAULTS_MAX) if chance.random() < _FAULTS_FIRST else 0
    strikes = [
        Strike(
            At.ANY, chance.randint(1, kind.calls), chance.choice(_ERRORS), chance.choice(effects)
        )
        for _ in range(faults)
    ]
    # A life that outlasts its number of calls ends by itself, and the power goes then.
    at = chance.choice((At.ANY, At.CHANGE, At.SYNC, At.SYNC, At.NAMES))
    shares = {At.ANY: kind.calls, At.CHANGE: kind.changes, At.SYNC: kind.changes // 3}
    end = chance.randint(1, shares.get(at, kind.changes // 6))
    return [*strikes, Strike(at, end, None, chance.choice(effects))]
