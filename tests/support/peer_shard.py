"""A shard of another worker behind a real socket, that says what it is told to say."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from fractal_lba.server.core.answer import Answer
from fractal_lba.server.core.entry import Entry, Resolution
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
    runs: list[int] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    fences: tuple[str, ...] = ()
    losses: tuple[Loss, ...] = ()

    @property
    def fenced_by(self) -> str | None:
        return next(iter(self.fences), None)

    async def decide(self, run: Sequence[Verified]) -> list[End]:
        self.asked += run
        self.runs.append(len(run))
        await self.go.wait()
        return [self._end(each) for each in run]

    def _end(self, record: Verified) -> End:
        try:
            return self.answer(record)
        except Exception as error:  # noqa: BLE001 - as the one that decides gives it
            return error

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


def server_of(decided: Decided, *, requests_max: int = 1_000) -> PeerServer:
    quotas = Quotas(decided, policies=Policies(), monotonic=lambda: 0)
    return PeerServer({SHARD: decided}, hello=hello(0), quotas=quotas, requests_max=requests_max)


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
    requests_max: int = 1_000,
) -> AsyncIterator[tuple[Peer, RemoteShard, asyncio.Task[None]]]:
    """Give a worker's view of a shard of another one; the last is that one's life."""
    folder.clear(tmp_path)
    server = server_of(decided, requests_max=requests_max)
    peer = Peer(folder.socket_path(tmp_path, 0), 0, hello=ours or hello(1), bounds=bounds)
    serving = asyncio.create_task(server.run(folder.listen(tmp_path, 0)))
    calling = asyncio.create_task(peer.run())
    async with running(calling, serving):
        if ours is None:
            await peer.opened()
        yield peer, RemoteShard(SHARD, peer), serving
