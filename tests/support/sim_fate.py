"""What befalls machines and processes in the day of a simulated world, one thing at a time."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Final

from tests.support.sim_agent import AgentMachine
from tests.support.sim_run import JUDGED_BY
from tests.support.sim_server import ServerMachine

from fractal_lba.protocol import Key

DAY_S: Final = 16.0
WORKERS: Final = (1, 1, 2, 2, 3)


class Fate:
    """Lets things happen.

    Args:
        chance: Decides what, and to whom.
        server: The server's machine.
        agents: Each on a machine of its own.
        next_key: What agents sign with once keys are rotated.
        count: Takes the kind of each thing that came to something.
    """

    def __init__(
        self,
        chance: random.Random,
        server: ServerMachine,
        agents: Sequence[AgentMachine],
        *,
        next_key: Key,
        count: Callable[[str], None],
    ) -> None:
        self._chance = chance
        self._server = server
        self._agents = agents
        self._next_key = next_key
        self._count = count

    def befall(self) -> None:
        """Let something happen to somebody."""
        agent = self._chance.choice(self._agents)
        self._chance.choice(
            (
                self._server.kill,
                self._server.cut_power,
                self._server.cut_power,
                self._drain,
                self._restart,
                self._start_another,
                *(self._of_a_worker if self._server.workers > 1 else ()),
                self._resize,
                agent.kill,
                agent.cut_power,
                agent.lose_disk,
                self._turn_the_servers_clock,
                lambda: self._turn_the_clock_of(agent),
                self._rotate_keys,
                self._change_parameters,
            )
        )()

    def _drain(self) -> None:
        self._count("server drained")
        self._server.drain()

    def _restart(self) -> None:
        self._count("server restarted while it drains")
        self._server.drain()
        self._server.start()

    def _start_another(self) -> None:
        self._count("server started beside another")
        self._server.start()

    @property
    def _of_a_worker(self) -> tuple[Callable[[], None], ...]:
        return (
            self._kill_a_worker,
            self._kill_a_worker,
            self._kill_the_supervisor,
            self._stop_a_worker,
            self._stop_a_worker,
            self._replace_the_workers,
            self._lose_a_connection,
            self._lose_a_connection,
            self._trouble_the_sockets,
        )

    def _resize(self) -> None:
        """Go on with another number of workers."""
        self._server.workers = self._chance.choice(WORKERS)
        self._count("number of workers changed")
        if self._chance.random() < 0.5:
            self._server.drain()
        else:
            self._server.kill()

    def _kill_a_worker(self) -> None:
        self._server.kill_worker()

    def _kill_the_supervisor(self) -> None:
        if self._server.kill_supervisor():
            self._server.start()

    def _stop_a_worker(self) -> None:
        if self._server.stop_worker():
            self._count("worker stopped")

    def _replace_the_workers(self) -> None:
        self._count("workers replaced")
        self._server.replace()

    def _lose_a_connection(self) -> None:
        self._server.sockets.to_lose += 1

    def _trouble_the_sockets(self) -> None:
        """Let what one worker says to another take longer than anybody waits, for a while."""
        self._count("peers: slow")
        sockets = self._server.sockets
        sockets.is_slow = True

        def end() -> None:
            sockets.is_slow = False

        asyncio.get_running_loop().call_later(self._chance.uniform(0.5, 4.0), end)

    def _turn_the_servers_clock(self) -> None:
        self._count("server's clock jumped")
        self._server.offset_ns += int(self._chance.uniform(-DAY_S, DAY_S) * 1e9)

    def pass_a_day(self) -> None:
        """Let more than a day go by: mostly while the server is down and a body is left open."""
        days = self._chance.uniform(1.1, 1.3)
        back_s = self._chance.uniform(0.5, 6.0) if self._chance.random() < 0.4 else None
        if self._chance.random() < 0.3:
            self._pass("a day passed", days, back_s)
            return

        def end() -> None:
            self._server.kill()
            self._pass("a day passed over an open body", days, back_s)

        self._server.at_next_record(end)

    def _pass(self, what: str, days: float, back_s: float | None) -> None:
        self._count(what)
        self._server.pass_days(days)

        def put_right() -> None:
            self._count("the day had not passed")
            self._server.pass_days(-days)

        if back_s is not None:
            asyncio.get_running_loop().call_later(back_s, put_right)

    def _turn_the_clock_of(self, agent: AgentMachine) -> None:
        self._count("agent's clock jumped")
        agent.clock.offset_ns += int(self._chance.uniform(-1e5, 1e5) * 1e9)

    def _rotate_keys(self) -> None:
        self._count("key rotated")
        self._server.unknown_kids = set()
        for agent in self._agents:
            agent.key = self._next_key

    def _change_parameters(self) -> None:
        self._count("parameters changed")
        self._server.params = self._chance.choice(JUDGED_BY)
        self._server.kill()
