"""A world for the agent's own code: virtual time, no threads, and a server in memory."""

import asyncio
import csv
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from tests.support.scripted_server import decision
from tests.support.virtual_time import run_virtual

from fractal_lba.agent.ports import Lane, Server
from fractal_lba.agent.record import Recipe
from fractal_lba.agent.run import Plan, run_agent
from fractal_lba.agent.session import World
from fractal_lba.agent.sources.csv_rows import CsvRows
from fractal_lba.agent.sources.live import LiveSource
from fractal_lba.agent.sources.streams import FileStream, LiveStream
from fractal_lba.agent.status import Status, read_status
from fractal_lba.agent.stop import Stop
from fractal_lba.agent.tally import Tally
from fractal_lba.client import Answer, BatchAnswer, RetryPolicy, UnavailableError
from fractal_lba.protocol import Alg, Key, Profile
from fractal_lba.wal import Disk, RealDisk

_P = ParamSpec("_P")
_T = TypeVar("_T")

START_NS = 1_767_225_600_000_000_000
KEY = Key(
    kid="k-1",
    tenant="t",
    alg=Alg.HMAC_SHA256,
    public=None,
    secret=bytes(32),
    not_before_ms=None,
    not_after_ms=None,
    legacy=False,
)
RECIPE = Recipe(key=KEY, seed=42, scales=(2, 4), meta={})


class VirtualClock:
    """The running loop's time."""

    def now_ns(self) -> int:
        return START_NS + int(self.monotonic_s() * 1e9)

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class DirectLanes:
    """Does the work of each lane in order, after everything else that is ready had its turn."""

    def __init__(self) -> None:
        self._turns = {lane: asyncio.Lock() for lane in Lane}

    async def run(
        self, lane: Lane, work: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        async with self._turns[lane]:
            await self.turn(lane)
            return work(*args, **kwargs)

    async def turn(self, _lane: Lane) -> None:
        """Take the time the work takes."""
        await asyncio.sleep(0)


Answering = Callable[[dict[str, Any], int], Awaitable[Answer]]


class MemoryServer:
    """Remembers what it decided; what it answers to something new is a function.

    Attributes:
        sent: Every record that came, in order, with its delivery.
        batches: How many records came in each batch.
        decided: pcs_id → the first answer.
        before: Called with each body before anything else.
    """

    def __init__(
        self,
        *,
        status: Callable[[dict[str, Any]], int] = lambda _record: 200,
        before: Callable[[bytes], None] = lambda _body: None,
    ) -> None:
        self.sent: list[dict[str, Any]] = []
        self.batches: list[int] = []
        self.decided: dict[str, Answer] = {}
        self.status = status
        self.before = before
        self.is_down = False
        self.latency_s = 0.01

    def come_up(self) -> None:
        self.is_down = False

    async def submit(self, body: bytes) -> Answer:
        self.before(body)
        record = json.loads(body)
        self.sent.append(record)
        await asyncio.sleep(self.latency_s)
        if self.is_down:
            raise UnavailableError("expected an answer, got none")
        pcs_id = record["pcs_id"]
        first = self.decided.get(pcs_id)
        if first is not None:
            return Answer(status=first.status, body=first.body, code=first.code, replayed=True)
        answer = Answer(status=self.status(record), body=decision(pcs_id))
        if answer.is_final:
            self.decided[pcs_id] = answer
        return answer

    async def batch(self, bodies: Sequence[bytes]) -> BatchAnswer:
        """Answer each as ``submit`` does; nothing to any where one gets nothing."""
        self.batches.append(len(bodies))
        answers = await asyncio.gather(
            *(self.submit(body) for body in bodies), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return BatchAnswer(lines=tuple(each for each in answers if isinstance(each, Answer)))

    def windows(self) -> dict[tuple[str, int], set[str]]:
        """Return (shard_id, epoch) → the pcs_ids that came under it."""
        found: dict[tuple[str, int], set[str]] = {}
        for record in self.sent:
            found.setdefault((record["shard_id"], record["epoch"]), set()).add(record["pcs_id"])
        return found


def world(server: Server, disk: Disk | None = None, *, seed: int = 1) -> World:
    return World(
        clock=VirtualClock(),
        lanes=DirectLanes(),
        disk=RealDisk() if disk is None else disk,
        servers={"memory": server},
        rng=random.Random(seed),  # noqa: S311 - a seed, so that a failure can be replayed
    )


def plan(data: Path, *files: FileStream, **changes: Any) -> Plan:  # noqa: ANN401 - of Plan's own types
    settings: dict[str, Any] = {
        "data": data,
        "files": files,
        "live": None,
        "windows": {Profile.POINTS: 3, Profile.BYTES: 3},
        "recipe": RECIPE,
        "interval_s": 0.05,
        "duration_s": None,
        "in_flight": 2,
        "grace_s": 10.0,
        "policy": RetryPolicy(),
    }
    return Plan(**(settings | changes))


def csv_stream(path: Path, rows: int, *, shard_id: str = "s", first: int = 0) -> FileStream:
    """Write a table whose windows all differ, and return it as a stream."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b"])
        writer.writerows([at, (at * at) % 17] for at in range(first, first + rows))
    return FileStream(shard_id=shard_id, source=CsvRows(path, None))


async def run(plan: Plan, world: World, stop: Stop | None = None) -> Tally:
    """Run an agent to its end and return what it counted."""
    tally = Tally(say=lambda _text: None)
    await run_agent(plan, world, Stop() if stop is None else stop, tally)
    return tally


def live(
    rows: Callable[[int], str] | None = None, *, is_repairing: bool = False, only: str = ""
) -> LiveStream:
    """Return a live source whose user time grows by the number of the sample.

    Args:
        rows: What the files below ``/proc`` hold instead.
        is_repairing: See ``LiveSource``.
        only: The one file that holds what it should.
    """
    count = 0

    def read(name: str) -> str:
        nonlocal count
        if rows is not None and name != only:
            return rows(count)
        if name == "stat":
            count += 1
            return f"cpu  {count * count} 0 0 0 0 0 0\nintr {count}\nctxt {count}\n"
        return "MemAvailable: 5 kB\n" if name == "meminfo" else ""

    return LiveStream(shard_id="live:h", source=LiveSource(read, is_repairing=is_repairing))


def ids(data: Path) -> Status:
    """Return what a data folder holds, every window by its id."""
    return read_status(RealDisk(), data, has_ids=True)


def states(data: Path) -> list[str]:
    """Return the state of each window in the order of the outbox."""
    found = ids(data).ids
    assert found is not None
    return [window.state for window in found.values()]


def waiting(folder: Path, count: int, recipe: Recipe = RECIPE) -> Path:
    """Return a data folder in which so many windows of ``x.csv``, three rows each, wait."""
    folder.mkdir(exist_ok=True)
    down = MemoryServer()
    down.is_down = True
    data = folder / "data"

    async def main() -> None:
        stop = Stop()
        asyncio.get_running_loop().call_later(1_000.0, stop.interrupt)
        stream = csv_stream(folder / "x.csv", 3 * count)
        await run(plan(data, stream, grace_s=0.0, recipe=recipe), world(down), stop)

    run_virtual(main())
    assert states(data) == ["pending"] * count
    return data
