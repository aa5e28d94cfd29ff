"""A network between an agent and a server, on virtual time, with a day of trouble from a seed.

It stands where the HTTP client stands: a request goes in as bytes, and an answer comes out, or
``UnavailableError`` where the client would have found none. What the server was sent and what the
agent learns are two things here: a request may arrive twice, late, after others that were sent
later, or after the agent has given it up; an answer may be lost, or cut at any byte.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

import msgspec
from tests.support.port_server import no_answer

from fractal_lba.agent.ports import Server
from fractal_lba.client import Answer, BatchAnswer, UnavailableError
from fractal_lba.client.batch import read_lines
from fractal_lba.client.http import TIMEOUT_S

_T = TypeVar("_T")
_ReachedT = TypeVar("_ReachedT", bound="Reached")

DAY_S = 24 * 3_600.0
PASSES_S = 0.02
LATE_S_MAX = 120.0
"""Of what the network delivers though nobody waits for it any more."""


class Trouble(StrEnum):
    """What an episode is."""

    PARTITION = "partition"  # nothing passes; a request fails at once or in the time of the client
    DEAF = "deaf"  # requests arrive, answers do not
    FLAKY = "flaky"  # requests and answers are lost, cut, doubled, late
    SLOW = "slow"  # answers take seconds, some longer than anybody waits
    FULL = "full"  # the server has room for one request, and asks for time


@dataclass(frozen=True, slots=True)
class Episode:
    """A time of one trouble."""

    trouble: Trouble
    begins_s: float
    ends_s: float


def episodes_of(rng: random.Random, *, day_s: float = DAY_S) -> list[Episode]:
    """Return a day's troubles, one behind the other: two of each kind and some, in any order."""
    kinds = [*Trouble, *Trouble, *rng.choices(list(Trouble), k=4)]
    rng.shuffle(kinds)
    slot_s = day_s / (len(kinds) + 1)
    found = []
    for number, kind in enumerate(kinds):
        lasts_s = min(rng.expovariate(1 / (slot_s / 6)), 0.9 * slot_s)
        begins_s = number * slot_s + rng.uniform(0.0, slot_s - lasts_s)
        found.append(Episode(kind, begins_s, begins_s + lasts_s))
    return found


class Reached(Server, Protocol):
    """A server behind a network; ``room`` is how many requests it takes at once."""

    room: int


class Network(Generic[_ReachedT]):
    """The way to one server; a ``Server`` to the agent.

    Attributes:
        requests: Those the agent made.
        carried: Windows in all of them.
        doubled: Requests that arrived twice.
        late: Requests that arrived when nobody waited any more.
        cut: Answers of which only a part came.
        met: Requests that met each trouble.
    """

    def __init__(self, server: _ReachedT, episodes: Sequence[Episode], rng: random.Random) -> None:
        self.server = server
        self.episodes = episodes
        self.requests = self.carried = self.doubled = self.late = self.cut = 0
        self.met: Counter[Trouble] = Counter()
        self._rng = rng
        self._stray: set[asyncio.Task[object]] = set()

    def trouble(self, at_s: float) -> Trouble | None:
        for episode in self.episodes:
            if episode.begins_s <= at_s < episode.ends_s:
                return episode.trouble
        return None

    async def settle(self) -> None:
        """Wait until everything that is on its way has arrived."""
        while self._stray:
            await asyncio.wait(self._stray)

    async def submit(self, body: bytes) -> Answer:
        return await self._carry(1, lambda: self.server.submit(body), lambda _answer: no_answer())

    async def batch(self, bodies: Sequence[bytes]) -> BatchAnswer:
        def cut(answer: BatchAnswer) -> UnavailableError:
            """Return what the client makes of a part of these lines."""
            data = b"".join(_line(each) for each in answer.lines)
            try:
                read_lines(data[: self._rng.randrange(max(1, len(data)))], len(bodies))
            except UnavailableError as error:
                return error
            raise AssertionError("a part of an answer was taken for the whole")

        return await self._carry(len(bodies), lambda: self.server.batch(bodies), cut)

    async def _carry(
        self,
        windows: int,
        deliver: Callable[[], Awaitable[_T]],
        cut: Callable[[_T], UnavailableError],
    ) -> _T:
        self.requests += 1
        self.carried += windows
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._exchange(deliver, cut)
        except TimeoutError:
            raise no_answer() from None

    async def _exchange(
        self, deliver: Callable[[], Awaitable[_T]], cut: Callable[[_T], UnavailableError]
    ) -> _T:
        rng = self._rng
        trouble = self.trouble(asyncio.get_running_loop().time())
        if trouble is not None:
            self.met[trouble] += 1
        await asyncio.sleep(PASSES_S)
        match trouble:
            case Trouble.PARTITION:
                await asyncio.sleep(rng.choice([0.0, 0.0, TIMEOUT_S]))
                raise no_answer()
            case Trouble.DEAF:
                await deliver()
                await asyncio.sleep(rng.choice([0.0, TIMEOUT_S]))
                raise no_answer()
            case Trouble.FLAKY:
                return await self._flaky(deliver, cut)
            case Trouble.SLOW:
                self._later(deliver, rng.uniform(0.0, 40.0))
                await asyncio.sleep(rng.uniform(0.5, 40.0))
                return await deliver()
            case Trouble.FULL:
                self.server.room = 1
                try:
                    await asyncio.sleep(rng.uniform(0.0, 0.2))
                    return await deliver()
                finally:
                    self.server.room = 1_000
            case None:
                return await deliver()

    async def _flaky(
        self, deliver: Callable[[], Awaitable[_T]], cut: Callable[[_T], UnavailableError]
    ) -> _T:
        rng = self._rng
        match rng.randrange(10):
            case 0:  # lost on the way there
                raise no_answer()
            case 1:  # given up, and there all the same, after what was sent later
                self.late += 1
                self._later(deliver, rng.uniform(1.0, LATE_S_MAX))
                raise no_answer()
            case 2:  # lost on the way back
                await deliver()
                raise no_answer()
            case 3:
                answer = await deliver()
                self.cut += 1
                raise cut(answer)
            case 4 | 5:  # doubled
                self.doubled += 1
                self._later(deliver, rng.uniform(0.0, LATE_S_MAX))
                return await deliver()
            case _:
                return await deliver()

    def _later(self, deliver: Callable[[], Awaitable[object]], delay_s: float) -> None:
        """Let a request arrive once more, or for the first time, whatever becomes of its sender."""

        async def arrive() -> None:
            await asyncio.sleep(delay_s)
            await deliver()

        task = asyncio.ensure_future(arrive())
        self._stray.add(task)
        task.add_done_callback(self._stray.discard)


def _line(answer: Answer) -> bytes:
    body = msgspec.Raw(answer.body)
    return msgspec.json.encode({"status": answer.status, "body": body}) + b"\n"
