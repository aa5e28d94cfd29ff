"""An outbox over a disk that loses power while it is compacted, again and again.

Segments are small and most windows are answered at once, so every life gives old segments up, and
windows come while it does.
"""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from tests.support.failing_disk import FailingDisk
from tests.support.memory_disk import MemoryDisk
from tests.support.outboxes import accept, make_small, observe, opened, position_after, record
from tests.support.power_runs import Invariant, Kind, hold
from tests.support.virtual_time import run_virtual

from fractal_lba.agent.outbox import Outbox

_ROUNDS: Final = 6
_BURST_MAX: Final = 6
_WAITING: Final = 0.15
"""How many windows get no answer in their life."""
_SHARDS: Final = ("once", "seldom", "often", "often", "often")


_SOON_S: Final = 1.0


async def _observe_in_the_end(outbox: Outbox, shard_id: str) -> int:
    """Observe; where the disk had no room for it, let the outbox look for some as an agent does."""
    observing = asyncio.create_task(observe(outbox, shard_id))
    await asyncio.wait([observing], timeout=_SOON_S)
    if not observing.done():
        tending = asyncio.create_task(outbox.tend())
        await asyncio.wait([observing])
        tending.cancel()
        await asyncio.wait([tending])
    return await observing


class OutboxScenario:
    """One data folder, used by one process after the other.

    Attributes:
        taken: number → stream and epoch of each window whose append returned or that a recovery
            gave.
        answered: The numbers of those that were answered, whether that is on disk or not.
    """

    def __init__(self, memory: MemoryDisk, chance: random.Random) -> None:
        self.taken: dict[int, tuple[str, int]] = {}
        self.answered: set[int] = set()
        self._memory = memory
        self._chance = chance
        self._data = memory.root / "data"

    def live(self, disk: FailingDisk) -> None:
        run_virtual(self._live(disk))

    def check(self, disk: FailingDisk, *, is_last: bool) -> None:  # noqa: ARG002 - all is seen at once
        run_virtual(self._check(disk))

    async def _live(self, disk: FailingDisk) -> None:
        async with opened(self._data, disk=disk) as outbox:
            await self._take(outbox)
            for _ in range(_ROUNDS):
                await self._observe(outbox)
                while outbox.is_compaction_due:
                    before = outbox.contents.compactions
                    async with asyncio.TaskGroup() as group:
                        group.create_task(outbox.compact())
                        if self._chance.random() < 0.3:
                            group.create_task(self._observe(outbox))
                    self._memory.happened["compaction"] += outbox.contents.compactions - before

    async def _check(self, disk: FailingDisk) -> None:
        async with opened(self._data, disk=disk) as outbox:
            await self._take(outbox)
            await self._observe(outbox)

    async def _observe(self, outbox: Outbox) -> None:
        """Let windows come, of which most are answered, some of an earlier life, too."""
        for _ in range(self._chance.randint(1, _BURST_MAX)):
            shard_id = self._chance.choice(_SHARDS)
            if shard_id == "once" and outbox.contents.next_epoch(shard_id, is_live=False):
                shard_id = "often"
            epoch = outbox.contents.next_epoch(shard_id, is_live=False)
            seq = await _observe_in_the_end(outbox, shard_id)
            hold(seq not in self.taken, Invariant.NO_NUMBER_TWICE, seq)
            self.taken[seq] = (shard_id, epoch)
            if self._chance.random() > _WAITING:
                await self._answer(outbox, seq)
        if self._chance.random() < 0.2 and (waiting := list(outbox.contents.pending)):
            await self._answer(outbox, self._chance.choice(waiting))

    async def _answer(self, outbox: Outbox, seq: int) -> None:
        self.answered.add(seq)
        await accept(outbox, seq)

    async def _take(self, outbox: Outbox) -> None:
        """Hold what a recovery gave to what is known; from here on it is taken, too."""
        contents = outbox.contents
        hold((contents.lost, contents.damage) == (0, []), Invariant.NOBODY_NEEDED, contents.damage)
        waiting = {}
        for seq in contents.pending:
            kept = await outbox.read(seq)
            is_same = kept.members == record(kept.epoch, kept.shard_id).members
            hold(is_same, Invariant.NOTHING_ELSE, seq)
            waiting[seq] = (kept.shard_id, kept.epoch)
        changed = {seq for seq, each in waiting.items() if self.taken.get(seq, each) != each}
        hold(not changed, Invariant.NO_NUMBER_TWICE, changed)
        missing = self.taken.keys() - self.answered - waiting.keys()
        hold(not missing, Invariant.NOTHING_LOST, missing)
        hold(len(set(waiting.values())) == len(waiting), Invariant.NOTHING_TWICE, waiting)
        self.taken |= waiting
        self._hold_streams(outbox)

    def _hold_streams(self, outbox: Outbox) -> None:
        """Each stream goes on behind its last window, and every window is counted once."""
        contents = outbox.contents
        ends = dict.fromkeys(_SHARDS, 0)
        for shard_id, epoch in self.taken.values():
            ends[shard_id] = max(ends[shard_id], epoch + 1)
        for shard_id, end in ends.items():
            found = contents.next_epoch(shard_id, is_live=False)
            hold(
                found == end, Invariant.NOTHING_LOST, f"{shard_id} goes on with {found}, not {end}"
            )
            place = contents.position("x", shard_id)
            expected = position_after(end - 1) if end else None
            hold(place == expected, Invariant.NOTHING_LOST, f"{shard_id} goes on at {place}")
        counted = (contents.windows, sum(contents.fates.values()) + len(contents.pending))
        total = sum(ends.values())
        hold(counted == (total, total), Invariant.NOTHING_TWICE, f"{counted}, not {total} each")


@contextmanager
def _scenario(memory: MemoryDisk, chance: random.Random) -> Iterator[OutboxScenario]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        make_small(monkeypatch)
        yield OutboxScenario(memory, chance)


OUTBOX: Final = Kind(name="outbox", make=_scenario, calls=200, changes=120)
