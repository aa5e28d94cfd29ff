"""An outbox is a dictionary of what waits: held to one through answers, crashes and compactions."""

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.support.agent_world import DirectLanes, VirtualClock
from tests.support.failing_disk import FailingDisk
from tests.support.memory import memory_folder
from tests.support.outboxes import contents_of, make_small, observe, position_after, record
from tests.support.virtual_time import VirtualLoop

from fractal_lba.agent.contents import Contents
from fractal_lba.agent.outbox import Outbox
from fractal_lba.wal import RealDisk

SHARDS = ("a", "b", "c")
STATUSES = (200, 202, 409)


class OutboxMachine(RuleBasedStateMachine):
    """Model: what waits, by its number; the streams' next epochs; how many ended with what.

    An answer that was noted and not written yet may be forgotten by a crash, the oldest ones last:
    its window waits again then. ``noted`` holds those, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        make_small(self.patch)
        self.loop = asyncio.Runner(loop_factory=VirtualLoop)
        self.data = Path(tempfile.mkdtemp(prefix="outbox-", dir=memory_folder()))
        self.disk = FailingDisk(RealDisk())
        self.waiting: dict[int, tuple[str, int]] = {}
        self.noted: dict[int, tuple[tuple[str, int], int]] = {}
        self.epochs = dict.fromkeys(SHARDS, 0)
        self.ended = dict.fromkeys(STATUSES, 0)
        self.last_seq = 0
        self.open()

    def teardown(self) -> None:  # type: ignore[explicit-override]  # override is of Python 3.12
        self.crash()
        self.loop.close()
        shutil.rmtree(self.data)
        self.patch.undo()

    def open(self) -> None:
        async def main() -> Outbox:
            return await Outbox.open(
                self.disk, self.data, clock=VirtualClock(), lanes=DirectLanes()
            )

        self.outbox = self.loop.run(main())
        # The first so many of the noted answers were written.
        for seq, (window, status) in self.noted.items():
            if seq in self.outbox.contents.pending:
                self.waiting[seq] = window
                self.ended[status] -= 1
        self.noted.clear()

    def crash(self) -> None:
        """End the process: nothing is closed, nothing is written any more."""
        self.disk.abandon()
        for task in asyncio.all_tasks(self.loop.get_loop()):
            task.cancel()

        async def settle() -> None:
            await asyncio.sleep(0)

        with contextlib.suppress(asyncio.CancelledError):
            self.loop.run(settle())

    @rule(shards=st.lists(st.sampled_from(SHARDS), min_size=1, max_size=8))
    def observe(self, shards: list[str]) -> None:
        async def main() -> list[int]:
            return await asyncio.gather(*(observe(self.outbox, shard) for shard in shards))

        seqs = self.loop.run(main())
        assert seqs[0] > self.last_seq
        assert seqs == sorted(set(seqs))
        self.last_seq = seqs[-1]
        for seq, shard in zip(seqs, shards, strict=True):
            self.waiting[seq] = (shard, self.epochs[shard])
            self.epochs[shard] += 1
        self.noted.clear()  # they rode with the first of these

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), count=st.integers(1, 12), is_from_front=st.booleans())
    def answer(self, data: st.DataObject, count: int, is_from_front: bool) -> None:  # noqa: FBT001
        order = list(self.waiting) if is_from_front else list(reversed(self.waiting))
        for seq in order[:count]:
            status = data.draw(st.sampled_from(STATUSES))
            self.loop.run(self.outbox.acknowledge(seq, status=status, replayed=False))
            self.noted[seq] = (self.waiting.pop(seq), status)
            self.ended[status] += 1

    @rule()
    def compact(self) -> None:
        before = self.outbox.contents.compactions
        self.loop.run(self.outbox.compact())
        if self.outbox.contents.compactions > before:
            self.noted.clear()  # written before the totals that count them

    @rule()
    def compact_as_long_as_it_is_due(self) -> None:
        while self.outbox.is_compaction_due:
            self.compact()
        segments = self.outbox.contents.segments
        assert segments.dead() < max(6_000, self.outbox.contents.pending.size)

    @rule()
    def close_and_open(self) -> None:
        self.loop.run(self.outbox.close())
        self.noted.clear()
        self.open()

    @rule()
    def crash_and_open(self) -> None:
        self.crash()
        self.open()

    @invariant()
    def the_outbox_is_the_model(self) -> None:
        self.check(self.outbox.contents)
        assert self.last_seq < 1 << 53

    @rule()
    def what_waits_can_be_read(self) -> None:
        for seq, (shard, epoch) in self.waiting.items():
            assert self.loop.run(self.outbox.read(seq)).members == record(epoch, shard).members

    @rule()
    def who_reads_beside_it_sees_the_same(self) -> None:
        if not self.noted:
            self.check(contents_of(self.data))

    def check(self, contents: Contents) -> None:
        assert list(contents.pending) == sorted(self.waiting)
        assert list(contents.fates.values()) == list(self.ended.values())
        assert contents.windows == sum(self.epochs.values())
        assert (contents.lost, contents.damage) == (0, [])
        for shard, epoch in self.epochs.items():
            assert contents.next_epoch(shard, is_live=True) == epoch
            expected = position_after(epoch - 1) if epoch else None
            assert contents.position("x", shard) == expected


TestOutbox = OutboxMachine.TestCase
TestOutbox.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
