"""A run for a shard of another worker: one request, one answer, an end for each record."""

import asyncio
from dataclasses import replace as replaced
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.support.peer_shard import (
    BOUNDS,
    Decided,
    asked_by,
    until,
)
from tests.support.verified import verified

from fractal_lba.protocol.errors import (
    DurabilityError,
    Refusal,
    RefusalCode,
    UnavailableError,
)
from fractal_lba.server.core.answer import Answer
from fractal_lba.server.core.run import Verified


@pytest.mark.asyncio
async def test_a_run_is_one_request_and_each_of_its_records_has_its_own_end(tmp_path: Path) -> None:
    def end(record: Verified) -> Answer:
        match record.received_ns:
            case 1:
                raise Refusal(RefusalCode.BEYOND_HORIZON, "beyond_horizon", "m")
            case 2:
                raise ValueError("a payload")
            case _:
                return Answer(status=200, body=b"%d" % record.received_ns)

    decided = Decided(end)
    decided.go.set()
    async with asked_by(tmp_path, decided) as (_, shard, _):
        ends = await shard.decide([verified(epoch, received_ns=epoch) for epoch in range(4)])
    assert decided.runs == [4]
    assert [each.body for each in ends if isinstance(each, Answer)] == [b"0", b"3"]
    assert isinstance(ends[1], Refusal)
    assert isinstance(ends[2], RuntimeError)
    assert "payload" not in str(ends[2])


@pytest.mark.asyncio
async def test_a_run_longer_than_a_message_is_cut_and_decided_in_its_order(tmp_path: Path) -> None:
    decided = Decided(lambda record: Answer(status=200, body=b"%d" % record.received_ns))
    decided.go.set()
    record = replace(verified(), record=bytes(60_000))
    run = [replace(record, received_ns=number) for number in range(40)]
    async with asked_by(tmp_path, decided) as (_, shard, _):
        ends = await shard.decide(run)
    assert decided.runs == [17, 17, 6]
    assert [each.received_ns for each in decided.asked] == list(range(40))
    assert [each.body for each in ends if isinstance(each, Answer)] == [
        b"%d" % n for n in range(40)
    ]


@pytest.mark.asyncio
async def test_a_run_that_cannot_be_asked_for_is_told_so_for_each_record(tmp_path: Path) -> None:
    decided = Decided()
    async with asked_by(tmp_path, decided) as (_, shard, serving):
        asking = asyncio.ensure_future(shard.decide([verified(epoch) for epoch in range(3)]))
        await until(lambda: bool(decided.asked))
        serving.cancel()
        ends = await asking
    assert [type(each) for each in ends] == [DurabilityError] * 3


@pytest.mark.asyncio
async def test_bounds_count_records_on_either_side(tmp_path: Path) -> None:
    decided = Decided()
    bounds = replaced(BOUNDS, requests_max=5)
    async with asked_by(tmp_path, decided, bounds=bounds, requests_max=4) as (_, shard, _):
        first = asyncio.ensure_future(shard.decide([verified(epoch) for epoch in range(3)]))
        await until(lambda: bool(decided.asked))
        here = await shard.decide([verified(epoch) for epoch in range(4, 7)])
        there = await shard.decide([verified(epoch) for epoch in range(4, 6)])
        for ends, why in ((here, "expected at most 5 requests"), (there, "expected at most 4 req")):
            for end in ends:
                assert isinstance(end, UnavailableError)
                assert why in str(end)
        decided.go.set()
        assert all(isinstance(each, Answer) for each in await first)
        # What was answered makes room.
        assert all(isinstance(each, Answer) for each in await shard.decide([verified()] * 4))
    assert decided.runs == [3, 4]
