"""A tenant's quotas that another worker keeps: asked for over a real socket, never over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from fractal_lba.protocol.errors import DurabilityError, UnavailableError
from fractal_lba.server.charging import ChargeEnd, Settle
from fractal_lba.server.core.answer import Answer
from fractal_lba.server.core.ring import Ring, ShardSpec
from fractal_lba.server.core.tenant_policy import Policies, TenantPolicy
from fractal_lba.server.core.usage import NO_USAGE, Held, Usage
from fractal_lba.server.peers import folder, wire
from fractal_lba.server.peers.client import PeerBounds
from fractal_lba.server.peers.crew import Crew
from fractal_lba.server.peers.quotas import SharedQuotas
from fractal_lba.server.peers.serve import PeerServer
from fractal_lba.server.pipeline.quota import Quotas
from fractal_lba.server.seat import Seat

if TYPE_CHECKING:
    from fractal_lba.server.ports import Decisions

SHARD = "shard-0"
RING = Ring([ShardSpec(name=SHARD)])
NOON = 20_778 * 86_400_000_000_000 + 43_200_000_000_000
ONE = Usage(records=1, bytes=700)
KEPT, NOT_WRITTEN, IN_DOUBT = ChargeEnd.KEPT, ChargeEnd.NOT_WRITTEN, ChargeEnd.IN_DOUBT


@dataclass
class Shards:
    """What all shards say they hold of the day."""

    held: Held = field(default_factory=lambda: Held(used=NO_USAGE, is_exact=True))
    fences: tuple[str, ...] = ()
    losses: tuple[()] = ()
    go: asyncio.Event = field(default_factory=asyncio.Event)
    reads: int = 0

    async def usage(self, _tenant: str, _day: int) -> Held:
        self.reads += 1
        await self.go.wait()
        return self.held


@dataclass
class Asker:
    """A worker that keeps nobody's quotas."""

    crew: Crew
    quotas: SharedQuotas
    life: asyncio.Task[None]

    async def reserve(self) -> Answer | Settle:
        return await self.quotas.reserve("acme", ONE, received_ns=NOON, is_recovered=False)

    async def granted(self) -> Settle:
        reserved = await self.reserve()
        assert not isinstance(reserved, Answer), reserved
        return reserved

    async def is_over(self) -> bool:
        reserved = await self.reserve()
        return isinstance(reserved, Answer) and reserved.code == "quota_exceeded"

    async def leave(self) -> None:
        self.life.cancel()
        with suppress(asyncio.CancelledError):
            await self.life


@dataclass
class World:
    """A worker that keeps a tenant's quotas, with one shard.

    Attributes:
        timeout_s: How long another one waits for it.
    """

    path: Path
    policy: TenantPolicy
    shards: Shards = field(default_factory=Shards)
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        policies = Policies(named={"acme": self.policy})
        self.quotas = Quotas(cast("Decisions", self.shards), policies=policies, monotonic=lambda: 0)
        folder.clear(self.path)
        hello = self.crew(0).hello
        self.server = PeerServer(
            {SHARD: cast("Decisions", self.shards)},
            hello=hello,
            quotas=self.quotas,
            requests_max=1_000,
        )

    def crew(self, worker: int) -> Crew:
        bounds = PeerBounds(requests_max=1_000, bytes_max=1 << 20, timeout_s=self.timeout_s)
        seat = Seat(worker=worker, workers=2)
        return Crew(self.path, "d" * 32, seat, (SHARD,), bounds=bounds)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.server.run(folder.listen(self.path, 0)))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[Asker]:
        crew = self.crew(1)
        quotas = SharedQuotas(self.quotas, ring=RING, crew=crew)
        asker = Asker(crew, quotas, asyncio.create_task(crew.peers[0].run()))
        try:
            await crew.peers[0].opened()
            yield asker
        finally:
            await asker.leave()


def world_of(path: Path, records: int, *, timeout_s: float = 30.0) -> World:
    world = World(path, TenantPolicy(records_per_day=records), timeout_s=timeout_s)
    world.shards.go.set()
    return world


@pytest.mark.asyncio
async def test_workers_that_ask_at_once_get_together_what_the_day_may_take(tmp_path: Path) -> None:
    world = world_of(tmp_path, 10)
    async with world.serving(), world.asking() as one, world.asking() as other:
        asked = [each.reserve() for each in (one, other) for _ in range(20)]
        own = [world.quotas.reserve("acme", ONE, received_ns=NOON, is_recovered=False)]
        reserved = await asyncio.gather(*asked, *own)
    over = [each for each in reserved if isinstance(each, Answer)]
    assert len(reserved) - len(over) == 10
    assert {answer.status for answer in over} == {429}
    assert world.shards.reads == 1


@pytest.mark.asyncio
async def test_what_is_asked_in_one_turn_crosses_in_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(tmp_path, 100)
    messages: list[int] = []
    read = wire.read_asked

    def counted(message: bytes) -> wire.Asked:
        asked = read(message)
        messages.append(len(asked.requests))
        return asked

    monkeypatch.setattr(wire, "read_asked", counted)
    async with world.serving(), world.asking() as asker:
        settles = await asyncio.gather(*(asker.granted() for _ in range(64)))
        for settle in settles:
            settle(KEPT)
        assert not await asker.is_over()
    assert messages == [64, 65]


@pytest.mark.asyncio
async def test_what_was_not_written_is_given_back_and_what_was_kept_is_not(tmp_path: Path) -> None:
    world = world_of(tmp_path, 1)
    async with world.serving(), world.asking() as asker:
        for _ in range(3):
            (await asker.granted())(NOT_WRITTEN)
        (await asker.granted())(KEPT)
        assert await asker.is_over()


@pytest.mark.asyncio
@pytest.mark.parametrize("is_on_disk", [True, False])
async def test_what_a_lost_worker_had_reserved_counts_until_its_shards_say_what_they_hold(
    tmp_path: Path, *, is_on_disk: bool
) -> None:
    world = world_of(tmp_path, 2)
    async with world.serving(), world.asking() as asker:
        async with world.asking() as lost:
            await lost.granted()
        (await asker.granted())(KEPT)
        # Nobody knows whether it was written: no third, and no 429 until tomorrow either.
        world.shards.held = Held(used=ONE + ONE, is_exact=False)
        with pytest.raises(UnavailableError, match=r"^quota: expected every shard"):
            await asker.reserve()
        world.shards.held = Held(used=ONE + ONE if is_on_disk else ONE, is_exact=True)
        assert await asker.is_over() is is_on_disk


@pytest.mark.asyncio
async def test_what_nobody_waits_for_any_longer_is_given_back_when_it_is_granted(
    tmp_path: Path,
) -> None:
    world = world_of(tmp_path, 1, timeout_s=0.05)
    world.shards.go.clear()
    async with world.serving(), world.asking() as asker:
        with pytest.raises(DurabilityError, match="expected an answer within"):
            await asker.reserve()
        cancelled = asyncio.create_task(asker.reserve())
        await asyncio.sleep(0)
        cancelled.cancel()
        with suppress(asyncio.CancelledError):
            await cancelled
        world.shards.go.set()
        # The late grants found nobody; this one has the day's only place.
        assert not await asker.is_over()


@pytest.mark.asyncio
async def test_what_is_asked_for_by_a_worker_that_is_gone_is_charged_to_nobody(
    tmp_path: Path,
) -> None:
    world = world_of(tmp_path, 1)
    world.shards.go.clear()
    async with world.serving():
        async with world.asking() as lost:
            asked = asyncio.create_task(lost.reserve())
            while not world.shards.reads:  # noqa: ASYNC110 - what changes it is behind a socket
                await asyncio.sleep(0.001)
            await lost.leave()
            with pytest.raises(DurabilityError, match="got the end of the connection"):
                await asked
        async with world.asking() as asker:
            world.shards.go.set()
            assert not await asker.is_over()


@pytest.mark.asyncio
async def test_while_the_keeper_is_away_nothing_is_granted(tmp_path: Path) -> None:
    world = world_of(tmp_path, 1)
    async with world.serving():
        async with world.asking() as asker:
            settle = await asker.granted()
            await asker.leave()
            with pytest.raises(DurabilityError, match="worker 0: expected it to answer"):
                await asker.reserve()
            settle(KEPT)  # to nobody
        async with world.asking() as again:
            again.quotas = SharedQuotas(world.quotas, ring=RING, crew=again.crew)
            world.shards.held = Held(used=NO_USAGE, is_exact=True)
            # Its numbers begin again: nothing of the connection before is settled by them.
            (await again.granted())(NOT_WRITTEN)
            (await again.granted())(KEPT)
            world.shards.held = Held(used=ONE, is_exact=True)
            assert await again.is_over()


@pytest.mark.asyncio
async def test_who_keeps_a_tenants_quotas_asks_nobody(tmp_path: Path) -> None:
    world = world_of(tmp_path, 1)
    quotas = SharedQuotas(world.quotas, ring=RING, crew=world.crew(0))
    assert quotas.concerns("acme")
    assert not quotas.concerns("globex")
    reserved = [
        await quotas.reserve("acme", ONE, received_ns=NOON, is_recovered=False) for _ in range(2)
    ]
    assert [isinstance(each, Answer) for each in reserved] == [False, True]
