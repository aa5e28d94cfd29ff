"""Who is served next, and how fast refusals are given."""

import asyncio

import pytest

from fractal_lba.server.http import refusals
from fractal_lba.server.http.refusals import Refusals
from fractal_lba.server.http.shares import ACTIVE_NS, Shares

pytestmark = pytest.mark.asyncio


class Served:
    """Bodies that are served until they are let go."""

    def __init__(self, shares: Shares) -> None:
        self.shares = shares
        self.now: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.may_go: dict[str, asyncio.Semaphore] = {}

    async def come(self, owner: str, count: int = 1) -> None:
        self.may_go.setdefault(owner, asyncio.Semaphore(0))
        self.tasks += [asyncio.create_task(self._one(owner)) for _ in range(count)]
        await asyncio.sleep(0)

    async def go(self, owner: str, count: int = 1) -> None:
        for _ in range(count):
            self.may_go[owner].release()
        for _ in range(5):
            await asyncio.sleep(0)

    async def end(self) -> None:
        for each in self.tasks:
            each.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _one(self, owner: str) -> None:
        async with self.shares.one_of(owner):
            self.now.append(owner)
            try:
                await self.may_go[owner].acquire()
            finally:
                self.now.remove(owner)


async def test_one_alone_has_no_bound() -> None:
    served = Served(Shares(8, monotonic=lambda: 0))
    await served.come("a", 100)
    assert served.now.count("a") == 100
    await served.end()


async def test_beside_others_each_has_an_equal_share_and_the_rest_waits() -> None:
    served = Served(Shares(8, monotonic=lambda: 0))
    await served.come("b")
    await served.come("a", 20)
    assert (served.now.count("a"), served.now.count("b")) == (4, 1)
    await served.come("b", 3)
    assert served.now.count("b") == 4
    await served.come("c")
    # Three share now: what is above the share ends first.
    await served.go("a", 2)
    assert served.now.count("a") == 2
    await served.go("a", 2)
    assert served.now.count("a") == 2
    await served.end()


async def test_whoever_was_many_before_is_let_down_to_its_share() -> None:
    served = Served(Shares(8, monotonic=lambda: 0))
    await served.come("a", 20)
    await served.come("a", 5)
    await served.come("b")
    await served.come("a", 5)
    await served.go("a", 22)
    assert served.now.count("a") == 4
    assert served.now.count("b") == 1
    await served.end()


async def test_who_was_not_seen_for_a_while_is_not_counted() -> None:
    now = [0]
    served = Served(Shares(8, monotonic=lambda: now[0]))
    await served.come("b")
    await served.go("b")
    await served.come("a", 20)
    assert served.now.count("a") == 4
    now[0] = ACTIVE_NS + 1
    await served.go("a")
    assert served.now.count("a") == 19
    await served.end()


async def test_a_turn_that_nobody_is_there_for_goes_on_to_the_next() -> None:
    served = Served(Shares(4, monotonic=lambda: 0))
    await served.come("b")
    await served.come("a", 6)
    waiting = served.tasks[3]
    # Given its turn and cancelled before it could take it.
    served.may_go["a"].release()
    for _ in range(2):
        await asyncio.sleep(0)
    waiting.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert served.now.count("a") == 2
    await served.go("a", 4)
    assert served.now.count("a") == 0
    await served.end()


async def test_refusals_above_their_rate_wait_each_longer_than_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float | None] = []
    timeout = asyncio.timeout

    def noted(delay: float | None) -> asyncio.Timeout:
        waits.append(delay)
        return timeout(delay)

    monkeypatch.setattr(asyncio, "timeout", noted)
    pace = Refusals(2, monotonic=lambda: 0)
    assert [await pace.pace("a") for _ in range(2)] == [True, True]
    waiting = [asyncio.create_task(pace.pace("a")) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(each.done() for each in waiting)
    assert waits == [0.5, 1.0, 1.5]
    assert await pace.pace("b")  # another's are another's
    pace.end()
    assert await asyncio.gather(*waiting) == [True] * 3


async def test_no_more_refusals_wait_than_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "WAITING_MAX", 2)
    pace = Refusals(0.001, monotonic=lambda: 0)
    assert await pace.pace("a")
    waiting = [asyncio.create_task(pace.pace("a")) for _ in range(2)]
    await asyncio.sleep(0)
    assert await pace.pace("a") is False
    pace.end()
    assert await asyncio.gather(*waiting) == [True] * 2


async def test_no_rate_paces_nothing() -> None:
    pace = Refusals(0, monotonic=lambda: 0)
    assert [await pace.pace("a") for _ in range(500)] == [True] * 500
