"""Expiry looks now and then, in bounded steps, and waits while anything is open or fenced."""

import asyncio
import itertools
from dataclasses import dataclass, field

from tests.support.virtual_time import run_virtual

from fractal_lba.protocol.errors import FencedError
from fractal_lba.server.jobs.expire import Expirer, Forgetful
from fractal_lba.server.telemetry.metrics import Metrics

STEP_S = 0.5


@dataclass
class Due:
    """A shard of which so many records are due; it is busy for half a second with each step."""

    left: int
    is_fenced: bool = False
    steps: list[tuple[float, int]] = field(default_factory=list)
    looks: int = 0

    async def forget(self, *, now_ns: int, at_s: float, records_max: int) -> tuple[int, float]:
        if self.is_fenced:
            raise FencedError("shard: expected a whole shard, got a fenced one")
        assert now_ns == 7
        count = min(self.left, records_max)
        self.left -= count
        self.steps.append((at_s, count))
        await asyncio.sleep(STEP_S)
        return count, 3_600.0

    async def let_go(self) -> int:
        self.looks += 1
        return 100


def expirer(metrics: Metrics, *shards: Forgetful, may_forget_from_s: float = 0.0) -> Expirer:
    loop = asyncio.get_running_loop()
    return Expirer(
        {f"shard-{number}": shard for number, shard in enumerate(shards)},
        may_forget=lambda: loop.time() >= may_forget_from_s,
        clock=lambda: 7,
        interval_s=100.0,
        records_max=10,
        meter=metrics,
        monotonic=loop.time,
    )


def samples(metrics: Metrics) -> dict[str, float]:
    lines = metrics.exposition().decode().splitlines()
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")
    }


def test_a_look_forgets_all_that_is_due_in_steps_with_others_turn_between() -> None:
    metrics, shard = Metrics(), Due(25)

    async def main() -> int:
        return await expirer(metrics, shard).look()

    assert run_virtual(main()) == 25
    assert [count for _, count in shard.steps] == [10, 10, 5]
    times = [at_s for at_s, _ in shard.steps]
    assert [later - at for at, later in itertools.pairwise(times)] == [2 * STEP_S] * 2
    found = samples(metrics)
    assert found["flk_forgotten_total"] == 25
    assert found["flk_forgetting_behind_seconds"] == 3_600
    assert found["flk_ledger_removed_bytes_total"] == 100


def test_nothing_is_forgotten_while_something_is_open_or_fenced() -> None:
    shard = Due(25)

    async def main() -> None:
        task = asyncio.create_task(expirer(Metrics(), shard, may_forget_from_s=250.0).run())
        await asyncio.sleep(299)
        assert (shard.steps, shard.looks) == ([], 0)
        await asyncio.sleep(20)
        assert shard.left == 0
        task.cancel()

    run_virtual(main())


def test_a_shard_that_cannot_forget_keeps_no_other_from_it() -> None:
    fenced, whole = Due(1, is_fenced=True), Due(1)

    async def main() -> int:
        return await expirer(Metrics(), fenced, whole).look()

    assert run_virtual(main()) == 1
    assert (fenced.left, fenced.looks, whole.left) == (1, 0, 0)
