"""Days of network trouble: the real agent, virtual time, a network from a seed for each server.

``python -m tests.support.troubled_days 200`` lives through the days of two hundred seeds; a seed
that is printed with a failure replays it.
"""

import asyncio
import math
import random
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.agent_world import RECIPE, DirectLanes, VirtualClock
from tests.support.memory_disk import MemoryDisk
from tests.support.outboxes import record
from tests.support.port_server import PortServer
from tests.support.troubled_network import DAY_S, Network, Trouble, episodes_of
from tests.support.virtual_time import run_virtual

from fractal_lba.agent.frames import WindowMeta
from fractal_lba.agent.load import WINDOWS_MAX
from fractal_lba.agent.session import Shipping, World, session
from fractal_lba.agent.stop import Stop
from fractal_lba.agent.tally import Tally
from fractal_lba.client import RetryPolicy

STREAMS = ("a", "b", "c")
EVERY_S = 180.0
"""Between two windows of a stream, on the average."""


@dataclass
class Day:
    """What a day came to."""

    observed: list[tuple[float, str, int]]
    networks: list[Network[PortServer]]
    tally: Tally

    @property
    def requests(self) -> int:
        return sum(network.requests for network in self.networks)

    @property
    def carried(self) -> int:
        return sum(network.carried for network in self.networks)

    def minimum(self) -> int:
        """Return the requests of a sender that knows the future.

        It sends each window when it comes, where some way is open then, and all that came while
        none was in as few requests as batches allow, when one opens. Open is every way but in a
        partition and while answers are lost: it knows which requests are going to pass elsewhere.
        """
        open_at, waiting, requests = True, 0, 0
        for at_s, _, _ in self.observed:
            is_open = any(
                network.trouble(at_s) not in {Trouble.PARTITION, Trouble.DEAF}
                for network in self.networks
            )
            if is_open:
                requests += math.ceil((waiting + 1) / WINDOWS_MAX)
                waiting = 0
            else:
                waiting += 1
            open_at = is_open
        return requests + (0 if open_at else math.ceil(waiting / WINDOWS_MAX))


def lived(seed: int, *, servers: int, day_s: float = DAY_S) -> Day:
    """Observe for a day, and ship until everything is answered."""
    rng = random.Random(seed)  # noqa: S311 - a seed, so that a failure can be replayed
    networks = [
        Network(PortServer(), episodes_of(rng, day_s=day_s), random.Random(rng.random()))  # noqa: S311
        for _ in range(servers)
    ]
    observed: list[tuple[float, str, int]] = []
    tally = Tally(say=lambda _text: None)

    async def main() -> None:
        data = Path("/m")
        given = World(
            clock=VirtualClock(),
            lanes=DirectLanes(),
            disk=MemoryDisk(data, rng),
            servers={str(number): network for number, network in enumerate(networks)},
            rng=random.Random(seed),  # noqa: S311
        )
        shipping = Shipping(
            data=data / "d", recipe=RECIPE, in_flight=16, grace_s=1e9, policy=RetryPolicy()
        )
        async with session(shipping, given, Stop(), tally) as keeper:
            epochs = dict.fromkeys(STREAMS, 0)
            loop = asyncio.get_running_loop()
            while True:
                await asyncio.sleep(rng.expovariate(len(STREAMS) / EVERY_S))
                if loop.time() >= day_s:
                    break
                shard_id = rng.choice(STREAMS)
                epoch = epochs[shard_id]
                epochs[shard_id] = epoch + 1
                meta = WindowMeta(
                    source="live:", shard_id=shard_id, next_epoch=epoch + 1, position=None
                )
                await keeper.outbox.append(meta, record(epoch, shard_id))
                tally.windows += 1
                tally.pending += 1
                observed.append((loop.time(), shard_id, epoch))
        for network in networks:
            await network.settle()

    run_virtual(main())
    return Day(observed, networks, tally)


def check(day: Day, seed: int) -> None:
    windows = {record(epoch, shard_id).pcs_id for _, shard_id, epoch in day.observed}
    assert (day.tally.accepted, day.tally.pending) == (len(windows), 0), f"seed {seed}"
    assert day.tally.dead_letters == 0, f"seed {seed}"
    decided = [set(network.server.decided) for network in day.networks]
    assert set.union(*decided) == windows, f"seed {seed}"
    assert [network.server.conflicts for network in day.networks] == [0] * len(day.networks)
    minimum = day.minimum()
    print(  # noqa: T201 - what the bound is about
        f"seed {seed}: {len(windows)} windows, {day.requests} requests, {minimum} at the least"
        f" ({day.requests / minimum:.2f}), {day.carried} windows carried"
        f" ({day.carried / len(windows):.2f}),"
        f" {sum(network.doubled for network in day.networks)} doubled,"
        f" {sum(network.late for network in day.networks)} late,"
        f" {sum(network.cut for network in day.networks)} cut"
    )
    assert day.requests <= 1.5 * minimum, f"seed {seed}"
    assert day.carried <= 1.5 * len(windows), f"seed {seed}"


def main() -> int:
    """Live through as many days as the command line says, every third one with two servers."""
    for seed in range(int(sys.argv[1])):
        check(lived(seed, servers=2 if seed % 3 == 2 else 1), seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
