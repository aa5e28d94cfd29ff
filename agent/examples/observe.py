"""Windows from two tasks of an asyncio program; what became of them is told to callbacks."""

import asyncio
import sys

import numpy as np

from fractal_lba.agent import Agent, Outcome


def accepted(outcome: Outcome) -> None:
    """Take the good news."""
    print(f"accepted {outcome.shard_id} {outcome.epoch}")


def dead(outcome: Outcome) -> None:
    """Take the bad news; the record and the whole answer are in DIR/dead-letters.ndjson."""
    print(f"not accepted {outcome.shard_id} {outcome.epoch}: {outcome.status} {outcome.code}")


async def watch(agent: Agent, name: str, seed: int) -> None:
    """Observe three windows of one stream."""
    numbers = np.random.default_rng(seed)
    for _ in range(3):
        # On disk when it returns, whatever the network does.
        await agent.observe(numbers.normal(size=(64, 3)), shard_id=name)


async def main(data: str, url: str, keyring: str) -> None:
    """Observe, and wait a while for the answers."""
    async with Agent(
        data=data,
        url=url,
        keyring=keyring,
        shard_id="example",
        meta={"task": "example"},
        on_accepted=accepted,
        on_dead=dead,
    ) as agent:
        async with asyncio.TaskGroup() as group:
            group.create_task(watch(agent, "example-left", 1))
            group.create_task(watch(agent, "example-right", 2))
        left = await agent.flush(deadline_s=30.0)
        print(f"pending {left.windows} {left.last_failure}".rstrip())


if __name__ == "__main__":
    if len(sys.argv) != 4:  # noqa: PLR2004 - the program and what main takes
        sys.exit(f"usage: {sys.argv[0]} FOLDER URL KEYRING")
    asyncio.run(main(*sys.argv[1:]))
