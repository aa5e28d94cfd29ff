"""Kill a real agent and a real server together, again and again: ``python -m tests.support.kills``.

Between the two stands a relay that knows what is in flight and what was acknowledged. A kill counts
only if the server had a request that it never answered and a hundred windows were acknowledged
since the last one. In the end every window is decided once, under its epoch, with its first answer.
"""

import argparse
import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiohttp import ClientError, ClientSession, web
from tests.support.agent_process import AgentRig
from tests.support.faulty_server import check_here
from tests.support.forked import Call, Forked, run_command
from tests.support.memory import folder_in_memory
from tests.support.server_process import WIDE_LANE, Folder, ServerProcess

from fractal_lba.server.core.entry import Decision, decode_entry
from fractal_lba.wal import Damage, RealDisk, scan_folder

NIGHTLY: Final = 1_000
LOOK_EACH: Final = 10
"""Kills after which everything is looked at: what that takes grows with what there is."""
KILLS_EACH: Final = 50
"""In one folder: what a start reads grows with each."""
ACKNOWLEDGED_MIN: Final = 100
SMALL: Final = ("--segment-bytes-max", "400000", "--index-flush-records", "60")
"""Segments and index commits small enough for kills to meet rotations and commits."""
_STREAM: Final = "s"
_ROWS: Final = 3
_WINDOWS: Final = 150
"""By which the source grows for each kill: the hundred, and what is in flight behind them."""
_TIMEOUT_S: Final = 120.0
_OPEN: Final = frozenset({429, 503})
_ACCEPTED: Final = frozenset({200, 202})


@dataclass
class Relay:
    """Carries requests, and kills when its time has come.

    Attributes:
        url: Where the agent sends.
        session: Sends to the server.
        answers: pcs_id → the first answer that was given to the agent.
        wrong: What contradicts it.
        repeats: How many answers were repeats.
        since: Windows acknowledged since ``arm``.
    """

    chance: random.Random
    session: ClientSession
    url: str = ""
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    repeats: int = 0
    since: int = 0
    _goal: int = 0
    _target: asyncio.Future[tuple[str, int]] = field(default_factory=asyncio.Future)
    _kill: Callable[[], None] | None = None
    _waiting: set[asyncio.Task[tuple[int, str, bytes]]] = field(default_factory=set)
    _in_flight: asyncio.Future[int] | None = None

    def begin(self) -> None:
        """Take requests, and hold them until there is a server."""
        self._goal = ACKNOWLEDGED_MIN + self.chance.randrange(8)
        self.since = 0
        self._target = asyncio.get_running_loop().create_future()

    def serve(self, address: tuple[str, int]) -> None:
        """Send what came, and what comes, to a server."""
        self._target.set_result(address)

    def arm(self, kill: Callable[[], None]) -> asyncio.Future[int]:
        """Kill once enough was acknowledged; the future gives how many requests were open then."""
        self._kill = kill
        self._in_flight = asyncio.get_running_loop().create_future()
        return self._in_flight

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        going = asyncio.create_task(self._forward(request, body))
        self._waiting.add(going)
        try:
            if self.since >= self._goal:
                # Whatever the two do meanwhile is cut anywhere.
                await asyncio.sleep(self.chance.uniform(0, 0.005))
                self._end()
            status, kind, answer = await going
        except (ClientError, OSError):
            if request.transport is not None:  # or the agent is gone, too
                request.transport.abort()
            return web.Response()
        finally:
            self._waiting.discard(going)
        self._note(kind, status, answer)
        if self.since >= self._goal and self._waiting:
            self._end()
        return web.Response(status=status, body=answer, content_type=kind)

    def _end(self) -> None:
        kill, self._kill = self._kill, None
        if kill is not None and self._in_flight is not None:
            before = [each for each in self._waiting if not each.done()]
            kill()
            self._in_flight.set_result(len(before))

    async def _forward(self, request: web.Request, body: bytes) -> tuple[int, str, bytes]:
        host, port = await asyncio.shield(self._target)
        url = f"http://{host}:{port}{request.raw_path}"
        names = ("Content-Type", "Content-Encoding", "Accept-Encoding")
        headers = {name: request.headers[name] for name in names if name in request.headers}
        async with self.session.post(url, data=body, headers=headers) as got:
            return got.status, got.content_type, await got.read()

    def _note(self, kind: str, status: int, answer: bytes) -> None:
        """Hold what the agent is about to get to what it got before."""
        if kind == "application/x-ndjson":
            lines = [json.loads(line) for line in answer.splitlines()]
        else:
            lines = [{"status": status, "body": json.loads(answer)}]
        for line in lines:
            if line["status"] in _OPEN:
                continue
            if line["status"] not in _ACCEPTED:
                self.wrong.append(str(line))
                continue
            pcs_id = line["body"]["pcs_id"]
            said = (line["status"], json.dumps(line["body"]))
            is_repeat = pcs_id in self.answers
            self.since += not is_repeat
            self.repeats += is_repeat
            if self.answers.setdefault(pcs_id, said) != said:
                self.wrong.append(f"{pcs_id}: {said} after {self.answers[pcs_id]}")


@asynccontextmanager
async def _relaying(chance: random.Random) -> AsyncIterator[Relay]:
    session = ClientSession()
    relay = Relay(chance, session)
    app = web.Application(client_max_size=1 << 26)
    app.router.add_post("/{path:.*}", relay.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    relay.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield relay
    finally:
        await runner.cleanup()
        await session.close()


@dataclass(frozen=True, kw_only=True)
class Bugs:
    """What is put into the code of the two, to see it found: nothing by default."""

    server: Callable[[], None] | None = None
    agent: Callable[[], None] | None = None


class World:
    """The folders of both, and the processes in them."""

    def __init__(self, path: Path, bugs: Bugs) -> None:
        self._bugs = bugs
        self.server = Folder(path / "server")
        (path / "agent").mkdir()
        self.rig = AgentRig(path / "agent")
        self.source = path / "agent" / "grows.csv"
        self.source.write_text("a,b\n", encoding="utf-8")
        self.windows = 0

    def grow(self) -> None:
        with self.source.open("a", encoding="utf-8") as file:
            first = self.windows * _ROWS
            for row in range(first, first + _WINDOWS * _ROWS):
                file.write(f"{row},{(row * row) % 101}\n")
        self.windows += _WINDOWS

    def start_server(self) -> ServerProcess:
        return ServerProcess(self.server, *SMALL, *WIDE_LANE, plant=self._bugs.server)

    def agent(self, url: str) -> list[str | Path]:
        return [
            *("fractal-agent", "run", self.source, "--shard-id", _STREAM, "--window", str(_ROWS)),
            *("--scales", "2,4", "--data", self.rig.data, "--keyring", self.rig.keyring),
            *("--url", url, "--in-flight", "4", "--json"),
        ]

    def start_agent(self, url: str) -> Forked:
        log = self.rig.folder / "agent.log"
        return Forked(Call(self.agent(url), stdout=log, stderr=log, plant=self._bugs.agent))

    def decided(self) -> dict[str, tuple[int, int]]:
        """Return pcs_id → epoch and status of each decision; each id stands once."""
        found: dict[str, tuple[int, int]] = {}
        name = "shard-0/ledger"
        for item in scan_folder(RealDisk(), self.server.data / name, name):
            if isinstance(item, Damage):
                assert not item.is_loss, item
                continue
            entry = decode_entry(item[1].meta, item[1].payload)
            assert isinstance(entry, Decision), entry
            assert entry.pcs_id not in found, entry.pcs_id
            found[entry.pcs_id] = (json.loads(entry.record)["epoch"], entry.status)
        return found


async def kill_both(  # noqa: PLR0913 - each is named at the call
    path: Path,
    *,
    kills: int,
    seed: int,
    say: Callable[[str], None],
    bugs: Bugs = Bugs(),
    look_each: int = LOOK_EACH,
) -> None:
    """Kill both so often that so many kills count, then hold everything to what was acknowledged.

    Raises:
        AssertionError: Something was lost, came twice, changed, or needs a person.
    """
    chance = random.Random(seed)  # noqa: S311 - which moments, not a secret
    world = World(path, bugs)
    counted = attempts = 0
    async with _relaying(chance) as relay:
        while counted < kills:
            attempts += 1
            assert attempts <= 2 * kills, f"{attempts} kills, of which {counted} count"
            world.grow()
            in_flight = await _kill_once(world, relay, chance)
            assert not relay.wrong, relay.wrong
            counted += in_flight > 0
            say(
                f"seed {seed}, kill {counted:2} of both: in flight {in_flight},"
                f" acknowledged {relay.since}, in all {len(relay.answers)}"
            )
            if attempts % look_each == 0:
                report = check_here(world.server)
                assert report.is_sound, report
                lost = relay.answers.keys() - world.decided().keys()
                assert not lost, f"{len(lost)} windows that were acknowledged are gone"
        await _finish(world, relay)
    say(
        f"seed {seed}: {counted} kills of agent and server together; {world.windows} windows, each"
        f" decided once, {relay.repeats} answered again"
    )


async def _kill_once(world: World, relay: Relay, chance: random.Random) -> int:
    """Return how many requests the server had and never answered."""
    relay.begin()
    # Before the server, so that what waits goes out in batches.
    agent = world.start_agent(relay.url)
    ended = asyncio.create_task(asyncio.to_thread(agent.wait, _TIMEOUT_S))
    server = await asyncio.to_thread(world.start_server)
    victims = [server.process.kill, agent.kill]
    chance.shuffle(victims)

    def kill() -> None:
        for victim in victims:
            victim()

    killed = relay.arm(kill)
    relay.serve(server.address)
    try:
        await asyncio.wait({killed, ended}, return_when=asyncio.FIRST_COMPLETED)
        return killed.result() if killed.done() else 0
    finally:
        kill()
        server.kill()
        await ended


async def _finish(world: World, relay: Relay) -> None:
    """Let both come to their end, and look at everything."""
    with world.start_server() as server:
        relay.begin()
        relay.serve(server.address)
        done = await asyncio.to_thread(run_command, *map(str, world.agent(relay.url)))
        assert done.returncode == 0, done.stderr.decode()
        assert json.loads(done.stdout)["pending"] == 0
        assert server.stop() == 0
    assert not relay.wrong, relay.wrong
    decided = world.decided()
    epochs = sorted(epoch for epoch, _ in decided.values())
    missing = set(range(world.windows)) - set(epochs)
    assert not missing, f"of {world.windows} windows {len(missing)} were never decided"
    assert epochs == list(range(world.windows)), epochs
    assert {pcs_id: said[0] for pcs_id, said in relay.answers.items()} == {
        pcs_id: status for pcs_id, (_, status) in decided.items()
    }
    report = check_here(world.server)
    assert (report.problems, report.stored_twice, report.undecided_inbox) == ([], 0, 0)
    asked = run_command("fractal-agent", "status", "--json", "--data", world.rig.data)
    status = json.loads(asked.stdout)
    assert (asked.returncode, status["pending"], status["dead"]) == (0, 0, 0), status
    assert not status["damage"]


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.kills",
        description="Kill a real agent and a real server together; exit 1 where something is lost.",
    )
    parser.add_argument("--kills", type=int, default=NIGHTLY)
    parser.add_argument("--seed", type=int, default=1, help=f"of the first {KILLS_EACH}")
    given = parser.parse_args()
    ends: Counter[str] = Counter()
    for number in range(0, given.kills, KILLS_EACH):
        kills = min(KILLS_EACH, given.kills - number)
        seed = given.seed + number // KILLS_EACH
        with folder_in_memory() as folder:
            try:
                asyncio.run(kill_both(folder, kills=kills, seed=seed, say=_say))
            except AssertionError as error:
                _say(f"seed {seed}: {error}")
                ends["failed"] += 1
    return 1 if ends["failed"] else 0


def _say(line: str) -> None:
    with suppress(BrokenPipeError):
        print(line, flush=True)  # noqa: T201 - a command's output


if __name__ == "__main__":
    sys.exit(main())
