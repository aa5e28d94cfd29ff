"""An agent's machine in a simulated world: its disk, its clock, its processes one after the other.

What runs is ``run_agent``, over a source that grows and can be read again, as a followed file does.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextvars import Context
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from tests.support.memory_disk import MemoryDisk
from tests.support.power_cut import cut_power
from tests.support.power_runs import Strike
from tests.support.sim_law import Law
from tests.support.sim_process import Process
from tests.support.sim_server import START_NS
from tests.support.sim_truth import Truth
from tests.support.sim_watch import ProcessDisk
from typing_extensions import override

from fractal_lba.agent.outcome import Outcome
from fractal_lba.agent.ports import Server, ThreadLanes
from fractal_lba.agent.record import Recipe
from fractal_lba.agent.run import Plan, run_agent
from fractal_lba.agent.session import World
from fractal_lba.agent.sources.csv_rows import CsvRows
from fractal_lba.agent.sources.followed import Followed
from fractal_lba.agent.sources.streams import FollowedStream
from fractal_lba.agent.stop import Stop
from fractal_lba.agent.tally import Tally
from fractal_lba.agent.window import SourcePosition, Window
from fractal_lba.client import Answer, BatchAnswer, RetryPolicy
from fractal_lba.protocol import ContractError, DurabilityError, Key, Profile

_T = TypeVar("_T")
_ROWS: Final = 3


class Growing(Followed):
    """Windows that come with time; the n-th of a stream is the same however often it is read."""

    def __init__(
        self, shard_id: str, due_s: Sequence[float], *, exhausted: Callable[[], None]
    ) -> None:
        super().__init__(CsvRows(Path(f"/m/{shard_id}.csv"), None), Path(f"/m/{shard_id}.csv"))
        self.key = f"csv+file:///m/{shard_id}.csv"
        self._stream = shard_id
        self._due_s = due_s
        self._exhausted = exhausted

    @override
    def windows(
        self, after: SourcePosition | None, window: int
    ) -> Generator[Window | None, None, None]:
        """See ``Followed``."""
        number = 0 if after is None else after.offset
        while True:
            now_s = asyncio.get_running_loop().time()
            if number < len(self._due_s) and self._due_s[number] <= now_s:
                number += 1
                rows = [[row * number, (row * row + number) % 17] for row in range(_ROWS)]
                yield Window(
                    data=np.array(rows, dtype=np.float64),
                    after=SourcePosition(offset=number, units=_ROWS * number, mark=self._stream),
                )
            else:
                if number == len(self._due_s):
                    self._exhausted()
                yield None


class _Clock:
    """A machine's clocks: the wall's may be wrong."""

    def __init__(self) -> None:
        self.offset_ns = 0

    def now_ns(self) -> int:
        return START_NS + self.offset_ns + int(self.monotonic_s() * 1e9)

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Outside:
    """The way out of a machine: what was sent goes on, whatever becomes of its sender."""

    def __init__(self, way: Server, sending: Callable[[Sequence[bytes]], None]) -> None:
        self._way = way
        self._sending = sending

    async def submit(self, body: bytes) -> Answer:
        self._sending([body])
        return await _outside(self._way.submit(body))

    async def batch(self, bodies: Sequence[bytes]) -> BatchAnswer:
        self._sending(bodies)
        return await _outside(self._way.batch(bodies))


async def _outside(exchange: Coroutine[Any, Any, _T]) -> _T:
    """Await something that belongs to no process."""
    task = asyncio.get_running_loop().create_task(exchange, context=Context())
    return await asyncio.shield(task)


class AgentMachine:
    """One machine with one data folder and one source.

    Args:
        number: Among the agents.
        chance: Decides about its disk.
        way: To the server.
        key: Signs.
        due_s: When its windows come.
        truth: What its server is held to.
        note: Takes each event.

    Attributes:
        clock: Its own.
        key: What the next process signs with.
        is_ending: A process ends when the source has no more and everything is answered.
        is_done: One has ended so.
        unreadable: Windows that it could not read back.
    """

    def __init__(  # noqa: PLR0913 - each by name
        self,
        number: int,
        *,
        chance: random.Random,
        way: Server,
        key: Key,
        due_s: Sequence[float],
        truth: Truth,
        note: Callable[[str], None],
    ) -> None:
        self.shard_id: Final = f"agent-{number}"
        self.clock: Final = _Clock()
        self.key = key
        self.due_s: Final = due_s
        self._chance = chance
        self._way: Final = _Outside(way, self._hold_durable)
        self._truth = truth
        self._note = note
        self._process: Process | None = None
        self._held: ProcessDisk | None = None
        self._stop = Stop()
        self._count = 0
        self.is_ending = False
        self.is_done = False
        self.unreadable = 0
        self.disk = MemoryDisk(Path("/m"), chance)
        self.lost: Final[list[MemoryDisk]] = []

    @property
    def is_up(self) -> bool:
        return self._process is not None

    def start(self, strikes: Sequence[Strike] = (), *, ends_at_step: int | None = None) -> None:
        """Start a process; none may be there."""
        self._count += 1
        disk = ProcessDisk(self.disk, strikes, self.clock.now_ns)
        process = Process(
            f"{self.shard_id} {self._count}", on_end=self._ended, ends_at_step=ends_at_step
        )
        disk.process = process
        self._process, self._held = process, disk
        self._stop = Stop()
        self._note(f"{process.name} starts")
        process.start(self._observe(process, disk))

    def kill(self) -> None:
        if self._process is not None:
            self._process.end("killed")

    def cut_power(self) -> None:
        self.kill()
        cut_power(self.disk, self._chance)
        self.disk.happened["power cut of an agent"] += 1
        self._note(f"the power of {self.shard_id} is cut")

    def lose_disk(self) -> None:
        """Go on with an empty folder: everything is observed again."""
        self.kill()
        self.lost.append(self.disk)
        self.disk = MemoryDisk(Path("/m"), self._chance)
        self.disk.happened["folder of an agent lost"] += 1
        self._note(f"{self.shard_id} lost its folder")

    def _hold_durable(self, bodies: Sequence[bytes]) -> None:
        files = list(self.disk.durable_files())
        for body in bodies:
            start = body.index(b'"pcs_id":"') + 10
            pcs_id = body[start : start + 64]
            is_durable = any(pcs_id in data for data in files)
            self._truth.hold(is_durable, Law.SENT_IS_DURABLE, pcs_id)

    async def _observe(self, process: Process, disk: ProcessDisk) -> None:
        stop = self._stop

        def exhausted() -> None:
            if self.is_ending:
                stop.observe_no_more()

        source = Growing(self.shard_id, self.due_s, exhausted=exhausted)
        plan = Plan(
            data=Path("/m/data"),
            recipe=Recipe(key=self.key, seed=42, scales=(2, 4), meta={}),
            in_flight=4,
            grace_s=1e9,
            policy=RetryPolicy(),
            files=(),
            live=None,
            windows={Profile.POINTS: _ROWS, Profile.BYTES: _ROWS},
            interval_s=1.0,
            duration_s=None,
            followed=(FollowedStream(shard_id=self.shard_id, source=source),),
        )
        world = World(
            clock=self.clock,
            lanes=ThreadLanes(),
            disk=disk,
            servers={"the server": self._way},
            rng=self._chance,
            tell=self._told,
        )
        tally = Tally(say=lambda _what: None)
        try:
            await run_agent(plan, world, stop, tally)
        except (DurabilityError, ContractError) as error:
            self._note(f"{process.name} cannot go on: {type(error).__name__}")
        except Exception as error:  # noqa: BLE001 - told
            self._truth.bug(error)
        else:
            self.is_done = self.is_ending and not tally.pending
            self.unreadable = tally.unreadable
            self._note(f"{process.name} ends: {tally.exit.name}, {tally.windows} windows")
        process.end("ended")

    def _told(self, outcome: Outcome) -> None:
        self._truth.noted(outcome.pcs_id)

    def _ended(self, process: Process, why: str) -> None:
        assert self._held is not None
        calls, turns = len(self._held.calls), process.steps
        self._note(f"{process.name} {why}: {calls} calls of its disk, {turns} turns")
        self.disk.happened[f"agent {why}"] += 1
        self._held.abandon()
        self._process = self._held = None
