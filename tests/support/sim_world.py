"""A world from a seed: agents, strangers, a network and a server, and a day of everything.

Time, chance, network, disks and threads are the seed's, so one seed is one order of events. While
the day lasts, processes are killed and restarted at any await and any call of their disks, machines
lose their power, disks fail, the network does what ``troubled_network`` says, clocks jump, keys are
rotated and servers drained. Then everything that fails stops, and what was begun has to end well.
"""

import asyncio
import contextlib
import logging
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from operator import itemgetter
from typing import Final

import pytest
from tests.support.agent_world import KEY
from tests.support.failing_disk import Effect
from tests.support.inline_threads import quiet
from tests.support.load import conflict_of, forged_of, record_of
from tests.support.power_runs import At, InvariantError, Strike
from tests.support.signed import ACME, Signer, body
from tests.support.sim_agent import AgentMachine
from tests.support.sim_fate import DAY_S, WORKERS, Fate
from tests.support.sim_law import Law
from tests.support.sim_lived import ERRORS, Lived
from tests.support.sim_process import run_processes
from tests.support.sim_run import JUDGED_BY
from tests.support.sim_server import START_NS, ServerMachine
from tests.support.troubled_network import Network, episodes_of

from fractal_lba.agent import observer
from fractal_lba.client import UnavailableError
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.protocol.timestamps import format_timestamp
from fractal_lba.server.core import forgetting
from fractal_lba.server.core.tenant_policy import Policies, TenantPolicy
from fractal_lba.server.peers import serve

SHARDS: Final = (2, 2, 2, 3)
FORGETFUL_SHARDS: Final = (1, 1, 1, 2)
AGENTS_MAX: Final = 2
WINDOWS_MAX: Final = 5
STRANGERS_MAX: Final = 10
FORGOTTEN_STRANGERS: Final = 10
"""More, where what they send is forgotten."""
DAYS_MAX: Final = 3
EPOCHS: Final = 8
RECORDS_PER_DAY: Final = (0, 0, 3, 6)
"""Of the strangers' tenant; 0 is no limit."""
EXPIRE_S: Final = (None, None, None, 0.01, 0.3)
"""How often is looked for what is kept no longer. Where it is at all, days pass, and the strangers'
records are kept for one."""
CALM_S_MAX: Final = 3_600.0
_LOOK_S: Final = 2.0
_PEERS_LOOK_S: Final = 0.5
_CATCH_UP: Final = 1_000_000
_CALLS: Final = 150
_TURNS: Final = 400
_SHORT: Final = Signer("acme", "acme-short", b"s" * 32)
_NEXT: Final = replace(KEY, kid="k-2", secret=b"2" * 32)
_AGAIN: Final = 0.7
_LATER: Final = tuple(
    format_timestamp(START_NS // 1_000_000 + int(days * 1.2 * 86_400_000)) for days in (1, 2, 3, 4)
)
"""When records of a window are made again, by how often a day has passed."""
_BODIES: Final[dict[str, Callable[[int], bytes]]] = {
    "new": cache(record_of),
    "conflict": cache(conflict_of),
    "forged": cache(forged_of),
    "short": cache(lambda epoch: body(epoch, signer=_SHORT)),
    "forged alone": cache(lambda epoch: forged_of(1_000 + epoch)),
}


class _World:
    """One seed's world."""

    def __init__(self, seed: int) -> None:
        self.lived = Lived()
        self._seed = seed
        self._chance = self.chance_of("schedule")
        self._is_calm = False
        keys = [KEY, _NEXT, ACME.key, replace(_SHORT.key, not_after_ms=self._end_of_short_ms())]
        ring = Keyring(keys={key.kid: key for key in keys}, tokens={})
        expire_s = self.chance_of("forgetting").choice(EXPIRE_S)
        self._server = ServerMachine(
            self.chance_of("server's disk"),
            self.chance_of("workers"),
            ring,
            shards=self._chance.choice(SHARDS if expire_s is None else FORGETFUL_SHARDS),
            policies=_policies(self._chance.choice(RECORDS_PER_DAY), expire_s),
            expire_s=expire_s,
            faults=self._faults,
            note=self._note,
        )
        self._server.workers = self._chance.choice(WORKERS)
        self._server.unknown_kids = {_NEXT.kid}
        episodes = episodes_of(self.chance_of("episodes"), day_s=DAY_S)
        self._network = Network(self._server, episodes, self.chance_of("network"))
        self._agents = [
            self._agent(number) for number in range(self._chance.randint(1, AGENTS_MAX))
        ]
        self._others: list[asyncio.Task[None]] = []
        self._strangers = self._chance.randint(4, STRANGERS_MAX)
        if self._server.is_forgetful:
            self._strangers += FORGOTTEN_STRANGERS

    async def live_in_time(self) -> None:
        """Live, and fail where that never ends."""
        try:
            async with asyncio.timeout(DAY_S + 2 * CALM_S_MAX):
                await self.live()
        except TimeoutError:
            self._hold(condition=False, seen="an hour and more behind the day")
        finally:
            # Nobody is left who would hear the end of what a worker waits for.
            self._server.kill()

    async def live(self) -> None:
        """Live through the day and what follows it."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(quiet)
        self._others = [
            loop.create_task(work)
            for work in (self._keep_up(), *(self._stranger() for _ in range(self._strangers)))
        ]
        fate = Fate(self._chance, self._server, self._agents, next_key=_NEXT, count=self._count)
        happening = [
            (self._chance.uniform(1.0, DAY_S), fate.befall)
            for _ in range(self._chance.randint(2, 8))
        ]
        if self._server.is_forgetful:
            days = self._chance.randint(1, DAYS_MAX)
            happening += [(self._chance.uniform(4.0, DAY_S), fate.pass_a_day) for _ in range(days)]
        for at_s, happen in sorted(happening, key=itemgetter(0)):
            await asyncio.sleep(max(0.0, at_s - loop.time()))
            happen()
            self._check()
        await asyncio.sleep(max(0.0, DAY_S - loop.time()))
        await self._calm()
        for each in self._others:
            each.cancel()
        await asyncio.wait(self._others)
        self._look()

    @property
    def broken(self) -> InvariantError | None:
        """What broke first, whoever caught it."""
        return self._server.truth.broken

    def _check(self) -> None:
        self._server.hold()
        self._look()

    def _look(self) -> None:
        if self.broken is not None:
            raise self.broken
        for each in self._others:
            if each.done() and not each.cancelled():
                each.result()

    def chance_of(self, what: str) -> random.Random:
        return random.Random(f"{what} {self._seed}")  # noqa: S311 - to be replayed

    def _end_of_short_ms(self) -> int:
        return (START_NS + int(self._chance.uniform(0.2, 0.8) * DAY_S * 1e9)) // 1_000_000

    def _agent(self, number: int) -> AgentMachine:
        windows = self._chance.randint(1, WINDOWS_MAX)
        return AgentMachine(
            number,
            chance=self.chance_of(f"agent {number}"),
            way=self._network,
            key=KEY,
            due_s=sorted(self._chance.uniform(0.0, DAY_S) for _ in range(windows)),
            truth=self._server.truth,
            note=self._note,
        )

    def _note(self, event: str) -> None:
        self.lived.trace.append(f"{asyncio.get_running_loop().time():.6f} {event}")

    async def _keep_up(self) -> None:
        """Start what is not there, as whoever watches over it does."""
        chance = self._chance
        while True:
            machines: list[ServerMachine | AgentMachine] = [self._server, *self._agents]
            for machine in machines:
                if machine.disk.is_read_only:
                    machine.cut_power()
                if machine.is_up or (isinstance(machine, AgentMachine) and self._is_over(machine)):
                    continue
                if isinstance(machine, ServerMachine):
                    machine.start()
                else:
                    machine.start(self._strikes(), ends_at_step=self._last_step())
            await asyncio.sleep(chance.uniform(0.1, 1.5))

    def _is_over(self, agent: AgentMachine) -> bool:
        return self._is_calm and agent.is_done

    def _strikes(self) -> list[Strike]:
        chance = self._chance
        if self._is_calm or chance.random() < 0.3:
            return []
        faults = chance.randint(0, 2)
        strikes = []
        for _ in range(faults):
            at = chance.choice((At.ANY, At.CHANGE, At.SYNC, At.SYNC))
            calls = chance.randint(1, _CALLS // (8 if at is At.SYNC else 2))
            # What a failed sync leaves of the pages is the worst that an error can do.
            effect = chance.choice((*Effect, Effect.PART))
            strikes.append(Strike(at, calls, chance.choice(ERRORS), effect))
        if chance.random() < 0.5:
            at = chance.choice((At.ANY, At.CHANGE, At.SYNC, At.NAMES))
            most = {At.ANY: _CALLS, At.CHANGE: _CALLS // 2, At.SYNC: _CALLS // 4, At.NAMES: 6}
            end = Strike(at, chance.randint(1, most[at]), None, chance.choice(list(Effect)))
            strikes.append(end)
        return strikes

    def _faults(self) -> tuple[list[Strike], int | None]:
        """Return what befalls a process of the server: one worker of several, about."""
        if self._chance.random() * self._server.workers > 1:
            return [], None
        return self._strikes(), self._last_step()

    def _last_step(self) -> int | None:
        if self._is_calm or self._chance.random() < 0.7:
            return None
        return self._chance.randint(1, _TURNS)

    def _count(self, what: str) -> None:
        self.lived.happened[what] += 1
        self._note(what)

    async def _stranger(self) -> None:
        """Send something that somebody made elsewhere: new, again, other, forged, too late."""
        chance = self._chance
        await asyncio.sleep(chance.uniform(0.0, DAY_S))
        kinds = [chance.choice(list(_BODIES)) for _ in range(chance.choice((1, 1, 1, 3)))]
        sent = [self._made(kind, chance.randint(1, EPOCHS)) for kind in kinds]
        for kind in kinds:
            self.lived.happened[f"sent: {kind}"] += 1
        # Two at once now and then, as from two that watch the same.
        senders = chance.choice((1, 1, 2))
        await asyncio.gather(*(self._send(sent) for _ in range(senders)))

    def _made(self, kind: str, epoch: int) -> bytes:
        days = self._server.days_passed
        if days and kind == "new" and self._chance.random() < _AGAIN:
            # Of the same window, and not of the same time: new, where the first is forgotten.
            self._count("sent: again, days later")
            return record_of(epoch, _LATER[min(days, len(_LATER)) - 1])
        return _BODIES[kind](epoch)

    async def _send(self, sent: list[bytes]) -> None:
        with contextlib.suppress(UnavailableError):
            if len(sent) == 1:
                await self._network.submit(sent[0])
            else:
                await self._network.batch(sent)

    async def _calm(self) -> None:
        """End every fault, and see to it that everything ends well."""
        self._note("faults stop")
        self._is_calm = True
        self._network.episodes = ()
        self._server.calm()
        # What still has faults before it is started again, without them.
        self._server.kill()
        for agent in self._agents:
            agent.is_ending = True
            agent.kill()
        loop = asyncio.get_running_loop()
        until_s = loop.time() + CALM_S_MAX
        while not all(agent.is_done for agent in self._agents):
            self._look()
            self._hold(loop.time() < until_s, [agent.shard_id for agent in self._agents])
            await asyncio.sleep(5.0)
        await self._network.settle()
        self._check()
        for agent in self._agents:
            self._hold(agent.unreadable == 0, agent.shard_id)
            wanted = len(agent.due_s)
            found = self._server.truth.windows_of(agent.shard_id)
            self._hold(found == list(range(wanted)), (agent.shard_id, found, wanted))
        await self._ask_again()

    async def _ask_again(self) -> None:
        """Drain the server, cut its power, judge by other parameters: every answer is the first."""
        server = self._server
        before = server.count
        server.drain()
        while server.is_up and server.count == before:
            self._look()
            await asyncio.sleep(0.1)
        server.cut_power()
        server.params = JUDGED_BY[self._seed % len(JUDGED_BY)]
        while not server.is_serving:
            self._look()
            await asyncio.sleep(0.1)
        for key in sorted(server.truth.first):
            found = server.truth.decision(key)
            if found is None:
                continue  # forgotten meanwhile
            answer = await server.submit(found.record)
            while answer.status == 503:  # another worker may not be reached yet
                self._look()
                await asyncio.sleep(0.5)
                answer = await server.submit(found.record)
            is_kept = server.truth.decision(key) is not None
            server.truth.hold(answer.replayed or not is_kept, Law.ONE_OUTCOME, (key, answer))
            self._look()
        until_s = asyncio.get_running_loop().time() + CALM_S_MAX
        while not server.is_settled:
            self._hold(asyncio.get_running_loop().time() < until_s, "a body is left open")
            await asyncio.sleep(0.1)
        self._check()

    def _hold(self, condition: object, seen: object) -> None:
        self._server.truth.hold(condition, Law.EMPTY_IN_THE_END, seen)

    def count(self) -> None:
        """Add what the disks and the network counted."""
        network, happened = self._network, self.lived.happened
        happened += self._server.happened
        for agent in self._agents:
            for disk in (*agent.lost, agent.disk):
                happened += disk.happened
        for trouble, count in network.met.items():
            happened[f"network: {trouble.value}"] += count
        happened["request doubled"] += network.doubled
        happened["request late"] += network.late
        happened["answer cut"] += network.cut
        self.lived.happened = happened
        self.lived.events = len(self.lived.trace)


def _policies(records_per_day: int, expire_s: float | None) -> Policies:
    """Return a limit for the strangers, and for the agents one that they do not meet."""
    if expire_s is not None:
        return Policies(named={ACME.tenant: TenantPolicy(horizon_days=1)})
    if not records_per_day:
        return Policies()
    limits = {ACME.tenant: records_per_day, KEY.tenant: 1_000}
    named = {tenant: TenantPolicy(records_per_day=limit) for tenant, limit in limits.items()}
    return Policies(named=named)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable()
    try:
        with warnings.catch_warnings(), pytest.MonkeyPatch.context() as monkeypatch:
            # Most looks find nothing, and a day of them is most of what a seed takes.
            monkeypatch.setattr(observer, "LOOK_INTERVAL_S", _LOOK_S)
            monkeypatch.setattr(serve, "_LOOK_S", _PEERS_LOOK_S)
            # What a day brings is forgotten within the seconds that a world lasts.
            monkeypatch.setattr(forgetting, "CATCH_UP", _CATCH_UP)
            # A process that ends has coroutines that were never begun.
            warnings.simplefilter("ignore", RuntimeWarning)
            yield
    finally:
        logging.disable(before)


def live(seed: int) -> tuple[Lived, Exception | BaseExceptionGroup | None]:
    """Live through the world of a seed; return what it came to, and what broke first if anything.

    Whatever broke is an ``InvariantError`` that names what must hold, or a bug of the world.
    """
    world = _World(seed)
    broken: Exception | BaseExceptionGroup | None = None
    with _silent():
        try:
            run_processes(world.live_in_time(), world.chance_of("threads"))
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - returned
            broken = error
    world.count()
    return world.lived, world.broken or broken


def replayed_by(seed: int) -> str:
    """Return the command that lives through a seed again."""
    return f"python -m tests.simulation --seed {seed}"
