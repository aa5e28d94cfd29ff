"""A shard of another worker: asked over a real socket, whatever is behind it."""

import asyncio
import stat
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.support import legacy
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
from fractal_lba.server.core.entry import Entry, Resolution
from fractal_lba.server.core.judged import judged
from fractal_lba.server.core.known import Known, NotResolved, Place, RecordKey
from fractal_lba.server.core.listing import Bookmark, Page, Query, Spot, Summary
from fractal_lba.server.core.run import End, Verified
from fractal_lba.server.core.tenant_policy import Policies
from fractal_lba.server.core.usage import Held, Usage
from fractal_lba.server.peers import folder, wire
from fractal_lba.server.peers.client import Peer, PeerBounds
from fractal_lba.server.peers.remote import RemoteShard
from fractal_lba.server.peers.serve import PeerServer
from fractal_lba.server.pipeline.quota import Quotas
from fractal_lba.server.ports import Listed, Loss

SHARD = "shard-0"
BOUNDS = PeerBounds(requests_max=1_000, bytes_max=10_000_000, timeout_s=30.0)
KEY = RecordKey("acme", "1.x", "0" * 64)
PLACE = Place(seq=3, segment=1, offset=232)
KNOWN = Known(
    content_digest="c" * 64,
    received_ns=5,
    place=PLACE,
    status=202,
    summary=Summary(version="1.0", shard_id="s", epoch=1, regime="mixed"),
)


@dataclass
class Decided:
    """The shard behind the socket: says what it is told to say, and remembers what it was asked."""

    answer: Callable[[Verified], Answer] = lambda _: Answer(status=200, body=b"{}")
    asked: list[Verified] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    fences: tuple[str, ...] = ()
    losses: tuple[Loss, ...] = ()

    @property
    def fenced_by(self) -> str | None:
        return next(iter(self.fences), None)

    async def decide(self, run: Sequence[Verified]) -> list[End]:
        self.asked += run
        await self.go.wait()
        return [self.answer(each) for each in run]

    async def known(self, key: RecordKey) -> Known | None:
        return KNOWN if key == KEY else None

    async def entry(self, key: RecordKey, place: Place) -> Entry:
        assert place == PLACE
        return Resolution(
            tenant=key.tenant, family=key.family, pcs_id=key.pcs_id, note="n", who="w"
        )

    async def list_records(
        self, tenant: str, query: Query, after: Bookmark, *, records_max: int
    ) -> Page[Listed, Bookmark]:
        assert (tenant, query, dict(after), records_max) == (
            "acme",
            Query(regime="mixed"),
            {SHARD: Spot(1, 2)},
            7,
        )
        row = Listed(shard=SHARD, spot=Spot(3, 4), key=KEY, known=KNOWN)
        return Page(items=(row,), next={SHARD: Spot(3, 4)})

    async def append_resolution(
        self, key: RecordKey, *, note: str, who: str
    ) -> Known | NotResolved:
        assert (note, who) == ("note", "somebody")
        return KNOWN if key == KEY else NotResolved.NOT_ESCALATED

    async def usage(self, tenant: str, day: int) -> Held:
        assert tenant == "acme"
        return Held(used=Usage(records=day, bytes=2 * day), is_exact=False)


async def decide(shard: RemoteShard, record: Verified) -> Answer:
    (end,) = await shard.decide([record])
    if isinstance(end, Exception):
        raise end
    return end


async def until(holds: Callable[[], bool]) -> None:
    """Return once something holds; the test's own timeout ends the wait for what never does."""
    while not holds():  # noqa: ASYNC110 - what changes it is behind a socket
        await asyncio.sleep(0.001)


def hello(worker: int) -> wire.Hello:
    return wire.Hello(
        format=wire.FORMAT,
        data_id="d" * 32,
        worker=worker,
        workers=2,
        shards=(SHARD,) if worker == 0 else (),
    )


def server_of(decided: Decided) -> PeerServer:
    quotas = Quotas(decided, policies=Policies(), monotonic=lambda: 0)
    return PeerServer({SHARD: decided}, hello=hello(0), quotas=quotas, requests_max=1_000)


@asynccontextmanager
async def running(*tasks: asyncio.Task[None]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@asynccontextmanager
async def asked_by(
    tmp_path: Path,
    decided: Decided,
    *,
    bounds: PeerBounds = BOUNDS,
    ours: wire.Hello | None = None,
) -> AsyncIterator[tuple[Peer, RemoteShard, asyncio.Task[None]]]:
    """Give a worker's view of a shard of another one; the last is that one's life."""
    folder.clear(tmp_path)
    server = server_of(decided)
    peer = Peer(folder.socket_path(tmp_path, 0), 0, hello=ours or hello(1), bounds=bounds)
    serving = asyncio.create_task(server.run(folder.listen(tmp_path, 0)))
    calling = asyncio.create_task(peer.run())
    async with running(calling, serving):
        if ours is None:
            await peer.opened()
        yield peer, RemoteShard(SHARD, peer), serving


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
    assert secret not in wire.encoded(wire.Numbered(1, SHARD, wire.Decide(verified())))


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
    bounds = replace(BOUNDS, timeout_s=0.05)
    async with asked_by(tmp_path, decided, bounds=bounds) as (peer, shard, _):
        with pytest.raises(DurabilityError, match=r"expected an answer within 0\.05 s, got none"):
            await decide(shard, verified())
        # The late answer is nobody's, and the connection serves on.
        decided.go.set()
        assert (await decide(shard, verified(2))).status == 200
        assert peer.down is None


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "bounds", [replace(BOUNDS, requests_max=3), replace(BOUNDS, bytes_max=4_000)]
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
