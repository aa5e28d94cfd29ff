"""A shard that cannot be opened is fenced by itself, and taken up when it can be."""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import pytest
from tests.support.verified import verified

from fractal_lba.protocol.errors import ContractError, DurabilityError, LockedError
from fractal_lba.server.core.known import Place, RecordKey
from fractal_lba.server.core.listing import Query
from fractal_lba.server.pipeline.opening import ClosedShard, OwnShards
from fractal_lba.server.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from fractal_lba.server.ports import Decisions

KEY = RecordKey("acme", "1.x", "0" * 64)
BROKEN = DurabilityError("stream b/ledger: expected a disk, got none")


@dataclass
class Disk:
    """What opening each shard fails with."""

    failures: dict[str, Exception] = field(default_factory=dict)
    tries: list[str] = field(default_factory=list)

    async def opened(self, name: str) -> str:
        self.tries.append(name)
        if name in self.failures:
            raise self.failures[name]
        return f"store of {name}"


def shards_of(disk: Disk) -> OwnShards[str]:
    return OwnShards(
        ["a", "b"],
        opened=disk.opened,
        decided=lambda name, store: cast("Decisions", (name, store)),
        meter=Metrics(),
    )


@pytest.mark.asyncio
async def test_one_that_cannot_be_opened_is_tried_until_it_can_and_the_others_serve() -> None:
    disk = Disk({"b": BROKEN})
    shards = shards_of(disk)
    await shards.open(is_alone=True)
    assert shards.stores == {"a": "store of a"}
    closed = shards.decisions["b"]
    assert closed.fenced_by == f"b: expected to be opened, got {BROKEN}"
    assert closed.fences == (closed.fenced_by,)
    replaced: dict[str, object] = {}
    trying = asyncio.create_task(shards.run(replaced.__setitem__, interval_s=0.001))
    while disk.tries.count("b") < 4:  # noqa: ASYNC110 - it tries by itself
        await asyncio.sleep(0.001)
    assert shards.decisions["b"] is closed
    # Its own half-open files may be held a moment longer.
    disk.failures["b"] = LockedError("b/ledger: expected no other process, got this one")
    tries = len(disk.tries)
    while len(disk.tries) < tries + 2:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.001)
    del disk.failures["b"]
    await trying
    assert replaced == {"b": ("b", "store of b")}
    held: list[object] = list(shards.decisions.values())
    assert held == [("a", "store of a"), ("b", "store of b")]
    assert list(shards.stores) == ["a", "b"]
    assert disk.tries.count("a") == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [LockedError("held"), ContractError("a later release's")])
async def test_what_is_not_the_disks_failure_ends_the_start(error: Exception) -> None:
    with pytest.raises(type(error)):
        await shards_of(Disk({"b": error})).open(is_alone=False)


@pytest.mark.asyncio
async def test_without_one_that_can_be_opened_only_other_processes_are_reason_to_serve() -> None:
    disk = Disk({"a": OSError("no such device"), "b": BROKEN})
    with pytest.raises(OSError, match="no such device"):
        await shards_of(disk).open(is_alone=True)
    shards = shards_of(disk)
    await shards.open(is_alone=False)
    assert not shards.stores
    assert set(shards.decisions) == {"a", "b"}


@pytest.mark.asyncio
async def test_nothing_is_told_of_a_closed_shard() -> None:
    shard = ClosedShard("b", "got none")
    assert shard.losses == ()
    record = verified()
    for end in await shard.decide([record, record]):
        assert isinstance(end, DurabilityError)
        assert str(end) == shard.fenced_by
    place = Place(seq=1, segment=1, offset=1)
    for asked in (
        shard.known(KEY),
        shard.entry(KEY, place),
        shard.list_records("acme", Query(), {}, records_max=1),
        shard.append_resolution(KEY, note="n", who="w"),
        shard.usage("acme", 1),
    ):
        with pytest.raises(DurabilityError, match=r"^b: expected to be opened, got"):
            await asked
