"""A shard of another worker: asked over a real socket, whatever is behind it."""

import asyncio
import stat
from contextlib import suppress
from dataclasses import replace as replaced
from pathlib import Path

import pytest
from tests.support import legacy
from tests.support.peer_shard import (
    BOUNDS,
    KEY,
    KNOWN,
    PLACE,
    SHARD,
    Decided,
    asked_by,
    decide,
    hello,
    running,
    server_of,
    until,
)
from tests.support.verified import authenticated, verified

from fractal_lba.protocol.authenticate import authenticate
from fractal_lba.protocol.errors import (
    ContractError,
    CorruptionError,
    DurabilityError,
    FencedError,
    FullError,
    Refusal,
    RefusalCode,
    UnavailableError,
)
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.protocol.versions import IN_FORCE
from fractal_lba.server.core.answer import Answer
from fractal_lba.server.core.judged import judged
from fractal_lba.server.core.known import NotResolved
from fractal_lba.server.core.listing import Page, Query, Spot
from fractal_lba.server.core.run import Verified
from fractal_lba.server.core.usage import Held, Usage
from fractal_lba.server.peers import folder, wire
from fractal_lba.server.peers.client import PeerBounds
from fractal_lba.server.ports import Listed, Loss


@pytest.mark.asyncio
async def test_a_record_arrives_as_it_was_verified_and_no_key_with_it(tmp_path: Path) -> None:
    decided = Decided(lambda _: Answer(status=202, body=b"{1}", is_replayed=True, received_ns=9))
    decided.go.set()
    ours = verified(is_recovered=True)
    async with asked_by(tmp_path, decided) as (_, shard, _):
        (answer,) = await shard.decide([ours])
    assert answer == Answer(status=202, body=b"{1}", is_replayed=True, received_ns=9)
    assert decided.asked == [ours]


@pytest.mark.asyncio
async def test_what_crosses_holds_no_secret() -> None:
    secret = authenticated().key.secret
    assert secret is not None
    assert secret not in wire.encoded(wire.Numbered(1, SHARD, wire.Decide([verified()])))


@pytest.mark.asyncio
async def test_a_record_of_version_0_1_arrives_as_it_was_verified(tmp_path: Path) -> None:
    ring = Keyring(keys={legacy.OLD.kid: legacy.OLD.key}, tokens={})
    signed = legacy.signed()
    spoiled = {**signed, "regime": "sticky" if signed["regime"] != "sticky" else "mixed"}
    run = [
        judged(
            authenticate(legacy.body(each), ring, legacy_tenant=legacy.OLD.tenant),
            IN_FORCE,
            received_ns=7,
            is_recovered=False,
        )
        for each in (signed, spoiled)
    ]
    assert [each.spoiled is None for each in run] == [True, False]
    decided = Decided()
    decided.go.set()
    async with asked_by(tmp_path, decided) as (_, shard, _):
        await shard.decide(run)
    assert decided.asked == run


@pytest.mark.asyncio
async def test_everything_that_is_read_comes_back_as_it_was(tmp_path: Path) -> None:
    async with asked_by(tmp_path, Decided()) as (_, shard, _):
        other = KEY._replace(pcs_id="1" * 64)
        assert await shard.known(KEY) == KNOWN
        assert await shard.known(other) is None
        entry = await shard.entry(KEY, PLACE)
        assert entry == await Decided().entry(KEY, PLACE)
        after = {SHARD: Spot(1, 2), "shard-9": Spot(8, 8)}
        page = await shard.list_records("acme", Query(regime="mixed"), after, records_max=7)
        assert page == Page(
            items=(Listed(shard=SHARD, spot=Spot(3, 4), key=KEY, known=KNOWN),),
            next={SHARD: Spot(3, 4)},
        )
        assert await shard.append_resolution(KEY, note="note", who="somebody") == KNOWN
        resolved = await shard.append_resolution(other, note="note", who="somebody")
        assert resolved is NotResolved.NOT_ESCALATED
        assert await shard.usage("acme", 4) == Held(used=Usage(records=4, bytes=8), is_exact=False)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "error",
    [
        Refusal(RefusalCode.BEYOND_HORIZON, "beyond_horizon", "m", member="created_at"),
        UnavailableError("full", retry_after_s=2.0),
        CorruptionError("c"),
        FencedError("f"),
        FullError("u"),
        DurabilityError("d"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_is_raised_there_is_raised_here(tmp_path: Path, error: Exception) -> None:
    def refuse(_: Verified) -> Answer:
        raise error

    decided = Decided(refuse)
    decided.go.set()
    async with asked_by(tmp_path, decided) as (_, shard, _):
        with pytest.raises(type(error)) as raised:
            await decide(shard, verified())
    assert type(raised.value) is type(error)
    assert str(raised.value) == str(error)
    assert vars(raised.value) == vars(error)


@pytest.mark.asyncio
async def test_a_bug_there_is_a_bug_here_and_says_nothing_of_what_it_met(tmp_path: Path) -> None:
    def fail(_: Verified) -> Answer:
        raise ValueError("a payload")

    decided = Decided(fail)
    decided.go.set()
    async with asked_by(tmp_path, decided) as (_, shard, _):
        with pytest.raises(RuntimeError, match="worker 0: expected an answer, got a failure"):
            await decide(shard, verified())


@pytest.mark.asyncio
async def test_records_are_begun_in_the_order_in_which_they_were_given(tmp_path: Path) -> None:
    decided = Decided()
    async with asked_by(tmp_path, decided) as (_, shard, _):
        records = [verified(epoch, received_ns=epoch) for epoch in range(50)]
        asking = [asyncio.ensure_future(decide(shard, each)) for each in records]
        await until(lambda: len(decided.asked) == len(records))
        decided.go.set()
        await asyncio.gather(*asking)
    assert [each.received_ns for each in decided.asked] == list(range(50))


@pytest.mark.asyncio
async def test_a_connection_that_ends_leaves_no_caller_waiting_and_nothing_taken_for_decided(
    tmp_path: Path,
) -> None:
    decided = Decided()
    async with asked_by(tmp_path, decided) as (peer, shard, serving):
        asking = asyncio.ensure_future(decide(shard, verified()))
        await until(lambda: bool(decided.asked))
        serving.cancel()
        with pytest.raises(DurabilityError, match="got the end of the connection"):
            await asking
        assert peer.down == "worker 0: expected it to answer, got no connection to it"
        assert list(shard.fences) == [f"{SHARD}: {peer.down}"]
        for _ in range(3):
            with pytest.raises(DurabilityError, match="got no connection to it"):
                await decide(shard, verified())
        # Its successor is found by itself.
        decided.go.set()
        listener = folder.listen(tmp_path, 0)
        async with running(asyncio.create_task(server_of(decided).run(listener))):
            await peer.opened()
            assert list(shard.fences) == []
            assert (await decide(shard, verified())).status == 200


@pytest.mark.asyncio
async def test_an_answer_that_takes_too_long_is_waited_for_no_longer(tmp_path: Path) -> None:
    decided = Decided()
    bounds = replaced(BOUNDS, timeout_s=0.05)
    async with asked_by(tmp_path, decided, bounds=bounds) as (peer, shard, _):
        with pytest.raises(DurabilityError, match=r"expected an answer within 0\.05 s, got none"):
            await decide(shard, verified())
        # The late answer is nobody's, and the connection serves on.
        decided.go.set()
        assert (await decide(shard, verified(2))).status == 200
        assert peer.down is None


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "bounds", [replaced(BOUNDS, requests_max=3), replaced(BOUNDS, bytes_max=4_000)]
)
async def test_over_its_bounds_nothing_more_is_asked(tmp_path: Path, bounds: PeerBounds) -> None:
    decided = Decided()
    async with asked_by(tmp_path, decided, bounds=bounds) as (_, shard, _):
        asking = [asyncio.ensure_future(decide(shard, verified(epoch))) for epoch in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(UnavailableError, match="expected at most"):
            await decide(shard, verified(9))
        if bounds.requests_max == len(asking):
            with pytest.raises(DurabilityError, match="expected at most"):
                await shard.known(KEY)  # whoever reads has one way to be told
        decided.go.set()
        await asyncio.gather(*asking)
        assert len(decided.asked) == 3
        # What was answered makes room.
        assert (await decide(shard, verified(9))).status == 200


@pytest.mark.asyncio
async def test_a_fence_and_a_loss_are_told_and_taken_back(tmp_path: Path) -> None:
    decided = Decided(fences=("shard-0/ledger: expected a disk, got EIO",))
    async with asked_by(tmp_path, decided) as (_, shard, _):
        assert shard.fenced_by == "shard-0/ledger: expected a disk, got EIO"
        decided.fences, decided.losses = (), (Loss(SHARD, 3, 5),)
        await until(lambda: shard.fenced_by is None)
        assert (shard.fences, shard.losses) == ((), (Loss(SHARD, 3, 5),))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"format": 1}, "expected messages of format 1, got 2"),
        ({"data_id": "e" * 32}, "expected that worker of this data folder, got another"),
        ({"workers": 3}, "expected that worker of this data folder, got another"),
    ],
)
async def test_a_worker_of_another_kind_is_not_spoken_with(
    tmp_path: Path, changes: dict[str, object], why: str
) -> None:
    known = {name: getattr(hello(1), name) for name in wire.Hello.__struct_fields__}
    ours = wire.Hello(**{**known, **changes})
    decided = Decided()
    async with asked_by(tmp_path, decided, ours=ours) as (peer, shard, _):
        await until(lambda: why in (peer.down or ""))
        with pytest.raises(DurabilityError, match=why):
            await decide(shard, verified())
    assert not decided.asked


@pytest.mark.asyncio
async def test_bytes_that_are_no_message_end_the_connection_alone(tmp_path: Path) -> None:
    decided = Decided()
    decided.go.set()
    async with asked_by(tmp_path, decided) as (_, shard, _):
        for junk in (b"\xff" * 64, b"\x02\x00\x00\x00\xc1\xc1", b"GET / HTTP/1.1\r\n\r\n"):
            reader, writer = await asyncio.open_unix_connection(folder.socket_path(tmp_path, 0))
            writer.write(junk)
            with suppress(ConnectionError):
                await reader.read()
            writer.close()
        assert (await decide(shard, verified())).status == 200


def test_nobody_else_may_connect_and_a_path_that_cannot_be_named_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stat.S_IMODE(folder.clear(tmp_path).stat().st_mode) == 0o700
    with folder.listen(tmp_path, 0):
        assert stat.S_IMODE(folder.socket_path(tmp_path, 0).stat().st_mode) == 0o600
    folder.listen(tmp_path, 0).close()  # what a dead one left is replaced
    folder.check(Path("/" + "d" * 100), 2)
    monkeypatch.setattr(folder, "_OPENED", tmp_path / "absent")  # as where there is no /proc
    folder.check(Path("/" + "d" * 60), 64)
    with pytest.raises(ContractError, match="data: expected a path of at most"):
        folder.check(Path("/" + "d" * 100), 2)
