"""What is charged for one ledger is settled by how its append ended, and never forgotten before."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest

from fractal_lba.protocol.errors import DurabilityError, FractalError, UnavailableError
from fractal_lba.server.charging import ChargeEnd, Settle
from fractal_lba.server.core.answer import Answer
from fractal_lba.server.core.entry import Conflict, Decision
from fractal_lba.server.core.known import Known, Place, RecordKey
from fractal_lba.server.core.listing import Summary
from fractal_lba.server.core.run import NewEntry
from fractal_lba.server.core.usage import NO_USAGE, Held, Usage
from fractal_lba.server.pipeline.charge import Charged

if TYPE_CHECKING:
    from fractal_lba.server.charging import Quotas
    from fractal_lba.server.ports import Shard

KEY = RecordKey("acme", "1.x", "ab")
DECISION = Decision(
    tenant="acme",
    family="1.x",
    pcs_id="ab",
    record_digest="",
    content_digest="",
    kid="k",
    params_version="1",
    region="here",
    status=200,
    answer=b"",
    record=b"1234567",
)
NEW = NewEntry(KEY, DECISION, 5)
KNOWN = Known(
    content_digest="",
    received_ns=5,
    place=Place(seq=1, segment=1, offset=0),
    status=200,
    summary=Summary(version="1.0", shard_id="s", epoch=1, regime="mixed"),
)
ONE = Usage(records=1, bytes=7)
OVER = Answer(status=429, body=b"")


@dataclass
class World:
    """A ledger and the quotas over it, which note what they are told."""

    failure: FractalError | None = None
    over: Answer | None = None
    is_concerned: bool = True
    fenced_by: str | None = None
    held: Usage = NO_USAGE
    waits: bool = False
    room: int | None = None
    ends: list[ChargeEnd] = field(default_factory=list)
    seen: list[Held] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    is_asked: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.charged = Charged(cast("Shard", self), quotas=cast("Quotas", self))

    async def append(self, entries: Sequence[NewEntry]) -> list[Known | Exception]:
        self.seen.append(self.charged.usage("acme", 0))
        self.is_asked.set()
        self.written += [each.key.pcs_id for each in entries]
        if self.waits:
            await asyncio.Event().wait()
        if self.failure is not None:
            return [self.failure] * len(entries)
        self.held += Usage(records=len(entries), bytes=7 * len(entries))
        return [KNOWN] * len(entries)

    def usage(self, tenant: str, day: int) -> Usage:
        return self.held if (tenant, day) == ("acme", 0) else NO_USAGE

    def concerns(self, _tenant: str) -> bool:
        return self.is_concerned

    async def reserve(
        self, tenant: str, charge: Usage, *, received_ns: int, is_recovered: bool
    ) -> Answer | Settle:
        assert (tenant, charge, received_ns, is_recovered) == ("acme", ONE, 5, False)
        if self.room is not None:
            self.room -= 1
        is_over = self.room is not None and self.room < 0
        return OVER if is_over else self.over or self.ends.append


def run(world: World) -> Answer | Exception | None:
    (end,) = asyncio.run(world.charged.append([NEW]))
    return end


def test_what_is_kept_is_counted_once_and_what_is_under_way_beside_it() -> None:
    world = World()
    assert run(world) is None
    assert world.seen == [Held(used=ONE, is_exact=False)]
    assert world.ends == [ChargeEnd.KEPT]
    assert world.charged.usage("acme", 0).used == ONE


def test_what_is_over_a_quota_is_not_written() -> None:
    world = World(over=OVER)
    assert run(world) is OVER
    assert (world.written, world.ends) == ([], [])


def test_a_tenant_without_quotas_is_neither_reserved_nor_settled() -> None:
    world = World(is_concerned=False, over=OVER)
    assert run(world) is None
    assert (world.seen, world.ends) == ([Held(used=NO_USAGE, is_exact=True)], [])


def test_what_found_no_place_in_the_queue_is_given_back() -> None:
    world = World(failure=UnavailableError("ledger: expected room, got none"))
    assert isinstance(run(world), UnavailableError)
    assert world.ends == [ChargeEnd.NOT_WRITTEN]
    assert world.charged.usage("acme", 0).used == NO_USAGE


@pytest.mark.parametrize("failure", [DurabilityError("ledger: expected a sync, got none")])
def test_what_may_be_on_disk_counts_until_the_shard_is_mended(failure: FractalError) -> None:
    world = World(failure=failure, fenced_by="ledger: expected a sync, got none")
    assert isinstance(run(world), DurabilityError)
    assert world.ends == [ChargeEnd.IN_DOUBT]
    assert world.charged.usage("acme", 0).used == ONE
    assert world.charged.usage("acme", 1).used == NO_USAGE
    world.fenced_by = None  # the replay found it, or not: the index says so alone
    assert world.charged.usage("acme", 0).used == NO_USAGE


def test_what_is_cancelled_is_in_doubt() -> None:
    world = World(fenced_by="x", waits=True)

    async def cancelled() -> None:
        task = asyncio.create_task(world.charged.append([NEW]))
        await world.is_asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert world.ends == [ChargeEnd.IN_DOUBT]
    assert world.charged.usage("acme", 0).used == ONE


def test_of_a_run_what_is_over_is_answered_and_the_rest_is_written() -> None:
    world = World(room=2)
    decisions = [NewEntry(KEY._replace(pcs_id=pcs_id), DECISION, 5) for pcs_id in ("a", "b", "c")]
    evidence = Conflict(
        tenant="acme",
        family="1.x",
        pcs_id="d",
        record_digest="",
        content_digest="",
        kid="k",
        record=b"",
    )
    free = NewEntry(KEY._replace(pcs_id="d"), evidence, 5)
    ends = asyncio.run(world.charged.append([*decisions, free]))
    assert ends == [None, None, OVER, None]
    assert world.written == ["a", "b", "d"]
    assert world.ends == [ChargeEnd.KEPT] * 2
