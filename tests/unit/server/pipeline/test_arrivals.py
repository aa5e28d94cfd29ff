"""What arrives together goes together, and nobody waits for another tenant or an earlier group."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from fractal_lba.protocol.errors import DurabilityError, UnavailableError
from fractal_lba.server.core.answer import Answer
from fractal_lba.server.core.inbox_frame import Received
from fractal_lba.server.pipeline.arrivals import TOGETHER_MAX, Arrivals
from fractal_lba.server.pipeline.settled import Settled
from fractal_lba.server.ports import InboxFrame

pytestmark = pytest.mark.asyncio

ACME = Received(identified_tenant="acme")
OTHER = Received(identified_tenant="other")
NOBODY = Received()


class World:
    """An inbox whose disk is told when to sync, and groups that are settled when told to be."""

    def __init__(self) -> None:
        self.given: list[tuple[bytes, Received, Callable[[InboxFrame | Exception], None]]] = []
        self.groups: list[list[bytes]] = []
        self.verified: list[Callable[[], None]] = []
        self.decided: list[asyncio.Future[Sequence[Settled | Exception]]] = []
        self.is_full = False
        self.counted = 0
        self._seq = 0
        inbox = meter = cast("Any", self)
        self.arrivals = Arrivals(inbox, meter=meter, settle=self.settle)

    def give(
        self,
        body: bytes,
        received: Received,
        *,
        received_ns: int,
        told: Callable[[InboxFrame | Exception], None],
    ) -> None:
        assert received_ns == 7
        if self.is_full:
            raise UnavailableError("inbox: expected room, got none")
        self.given.append((body, received, told))

    def ingested(self, records: int = 1) -> None:
        self.counted += records

    async def settle(
        self, frames: Sequence[InboxFrame], verified: Callable[[], None]
    ) -> Sequence[Settled | Exception]:
        self.groups.append([frame.body for frame in frames])
        self.verified.append(verified)
        self.decided.append(asyncio.get_running_loop().create_future())
        return await self.decided[-1]

    async def come(self, *bodies: bytes, received: Received = ACME) -> list[asyncio.Task[Settled]]:
        tasks = [
            asyncio.create_task(self.arrivals.receive(body, received, received_ns=7))
            for body in bodies
        ]
        await turns()
        return tasks

    async def sync(self) -> None:
        given, self.given = self.given, []
        for body, received, told in given:
            self._seq += 1
            told(InboxFrame(seq=self._seq, received_ns=7, received=received, body=body))
        await turns()

    async def decide(self, group: int) -> None:
        self.decided[group].set_result([end_of(body) for body in self.groups[group]])
        await turns()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def end_of(body: bytes) -> Settled | Exception:
    if body.startswith(b"bug"):
        return RuntimeError("a bug")
    return Settled(answer=Answer(status=200, body=body), is_over=True)


async def test_what_one_sync_logged_is_settled_together_and_each_gets_its_own_answer() -> None:
    world = World()
    tasks = await world.come(b"a", b"b", b"c")
    assert world.groups == []
    await world.sync()
    assert world.groups == [[b"a", b"b", b"c"]]
    assert world.counted == 3
    await world.decide(0)
    assert [task.result().answer.body for task in tasks] == [b"a", b"b", b"c"]


async def test_what_is_logged_while_a_group_is_verified_is_the_next_one_while_that_is_decided() -> (
    None
):
    world = World()
    first = await world.come(b"a")
    await world.sync()
    later = await world.come(b"b", b"c")
    await world.sync()
    assert world.groups == [[b"a"]]
    world.verified[0]()
    await turns()
    assert world.groups == [[b"a"], [b"b", b"c"]]
    await world.decide(1)
    assert [task.result().answer.body for task in later] == [b"b", b"c"]
    assert not first[0].done()
    await world.decide(0)
    assert first[0].result().answer.body == b"a"


async def test_after_the_last_group_the_next_body_begins_one_at_once() -> None:
    world = World()
    await world.come(b"a")
    await world.sync()
    world.verified[0]()
    await world.come(b"b")
    await world.sync()
    assert world.groups == [[b"a"], [b"b"]]


async def test_a_group_is_no_longer_than_its_bound_and_the_rest_is_the_next() -> None:
    world = World()
    await world.come(*[b"x"] * (TOGETHER_MAX + 1))
    await world.sync()
    world.verified[0]()
    await turns()
    assert [len(group) for group in world.groups] == [TOGETHER_MAX, 1]


async def test_tenants_do_not_wait_for_each_other_and_each_of_nobody_known_goes_alone() -> None:
    world = World()
    await world.come(b"a")
    await world.come(b"o", received=OTHER)
    await world.come(b"m", b"n", received=NOBODY)
    await world.sync()
    assert sorted(world.groups) == [[b"a"], [b"m"], [b"n"], [b"o"]]
    assert world.counted == 4


async def test_a_body_that_meets_a_bug_fails_alone() -> None:
    world = World()
    bug, sound = await world.come(b"bug", b"sound")
    await world.sync()
    await world.decide(0)
    assert isinstance(bug.exception(), RuntimeError)
    assert sound.result().answer.body == b"sound"


async def test_a_body_whose_caller_left_is_settled_all_the_same() -> None:
    world = World()
    gone, stays = await world.come(b"bug", b"stays")
    gone.cancel()
    await turns()
    await world.sync()
    assert world.groups == [[b"bug", b"stays"]]
    await world.decide(0)
    assert stays.result().answer.body == b"stays"


async def test_a_full_inbox_and_a_failed_one_are_told_to_those_whose_bodies_they_met() -> None:
    world = World()
    (met,) = await world.come(b"a")
    _, _, told = world.given.pop()
    told(DurabilityError("inbox: expected a sync, got EIO"))
    world.is_full = True
    (refused,) = await world.come(b"b")
    await turns()
    assert isinstance(met.exception(), DurabilityError)
    assert isinstance(refused.exception(), UnavailableError)
    assert world.groups == []


async def test_closing_ends_what_is_under_way() -> None:
    world = World()
    (waits,) = await world.come(b"a")
    await world.sync()
    await world.arrivals.close()
    assert world.decided[0].cancelled()
    waits.cancel()
