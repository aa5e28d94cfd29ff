"""Compaction on a disk that fails, or under a process that dies, at every single call.

Whatever fails, the outbox is as before or as after: what was answered stays answered, what waits
keeps its number and its bytes, streams go on where they were, and the counts are the same.
"""

import errno
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.failing_disk import Call, Crash, Effect, FailingDisk
from tests.support.outboxes import (
    accept,
    contents_of,
    make_small,
    observe,
    opened,
    position_after,
    record,
)
from tests.support.virtual_time import run_virtual

from fractal_lba.agent.contents import Contents
from fractal_lba.agent.opening import FOLDER
from fractal_lba.agent.outbox import Outbox
from fractal_lba.agent.verdict import Fate
from fractal_lba.protocol import DurabilityError
from fractal_lba.wal import RealDisk

# Streams of which one never goes on, one goes on now and then, and one always.
SHARDS = ("once", "seldom", "often")
PASSES_MAX = 40
WINDOWS = 45
# What waits among them: the oldest, and some from the middle.
WAITING = (1, 2, 17, 33)


@dataclass(frozen=True)
class Held:
    """What an outbox says of itself, as far as no compaction may change it."""

    pending: dict[int, tuple[str, int]]
    epochs: dict[str, int]
    positions: dict[str, object]
    fates: dict[Fate, int]
    windows: int
    repeats: int

    @classmethod
    def of(cls, contents: Contents, pending: dict[int, tuple[str, int]]) -> "Held":
        return cls(
            pending=pending,
            epochs={shard: contents.next_epoch(shard, is_live=False) for shard in SHARDS},
            positions={shard: contents.position("x", shard) for shard in SHARDS},
            fates=dict(contents.fates),
            windows=contents.windows,
            repeats=contents.repeats,
        )


async def held(outbox: Outbox) -> Held:
    """Return what an open outbox says of itself, each record read from disk."""
    pending = {}
    for seq in outbox.contents.pending:
        kept = await outbox.read(seq)
        assert kept.members == record(kept.epoch, kept.shard_id).members
        pending[seq] = (kept.shard_id, kept.epoch)
    return Held.of(outbox.contents, pending)


def shard_of(number: int) -> str:
    if number == 0:
        return "once"
    return "seldom" if number % 11 == 1 else "often"


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    make_small(patch)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Held, int]:
    """Return a folder of several segments, what it holds, and its last number."""
    data = tmp_path_factory.mktemp("filled") / "data"

    async def main() -> tuple[Held, int]:
        async with opened(data, disk=FailingDisk(RealDisk())) as outbox:
            seq = 0
            for number in range(WINDOWS):
                seq = await observe(outbox, shard_of(number))
                if number not in WAITING:
                    await outbox.acknowledge(
                        seq, status=(200, 202, 409)[number % 3], replayed=number % 2 == 0
                    )
            return await held(outbox), seq

    before, seq = run_virtual(main())
    assert len(list((data / FOLDER).glob("*.seg"))) > 4
    assert len(before.pending) == len(WAITING)
    return data, before, seq


def compacted(data: Path, disk: FailingDisk) -> int | None:
    """Compact until nothing is left to give up; return the calls made before, None if it died."""

    async def main() -> int:
        async with opened(data, disk=disk) as outbox:
            before = len(disk.calls)
            for _ in range(PASSES_MAX):  # on a disk that stays full none ends
                if outbox.is_compaction_due:
                    await outbox.compact()
            return before

    try:
        return run_virtual(main())
    except (DurabilityError, Crash):
        return None
    finally:
        disk.abandon()


def check(data: Path, before: Held, last_seq: int) -> None:
    async def main() -> None:
        async with opened(data, disk=FailingDisk(RealDisk())) as outbox:
            assert await held(outbox) == before
            assert (outbox.contents.lost, outbox.contents.damage) == (0, [])
            assert await observe(outbox, "once") > last_seq
            assert outbox.contents.position("x", "once") == position_after(1)
            # It can go on, and compact what is left.
            while outbox.is_compaction_due:
                await outbox.compact()
            seqs = [*outbox.contents.pending]
            assert seqs[:-1] == [*before.pending]
            for seq in seqs:
                await accept(outbox, seq)

    run_virtual(main())
    contents = contents_of(data)
    assert not len(contents.pending)
    assert sum(contents.fates.values()) == contents.windows == WINDOWS + 1


def test_a_compaction_changes_nothing_but_the_space(
    filled: tuple[Path, Held, int], tmp_path: Path
) -> None:
    data, before, last_seq = filled
    shutil.copytree(data, tmp_path / "data")
    size = contents_of(data).segments.size
    assert compacted(tmp_path / "data", FailingDisk(RealDisk())) is not None
    after = contents_of(tmp_path / "data")
    assert after.segments.size < size / 4
    assert after.compactions >= 1
    check(tmp_path / "data", before, last_seq)


FAULTS = [(error, effect) for error in (errno.EIO, errno.ENOSPC, None) for effect in Effect]


@pytest.mark.parametrize(
    ("error", "effect"),
    FAULTS,
    ids=[f"{errno.errorcode[error] if error else 'crash'}-{effect}" for error, effect in FAULTS],
)
def test_a_fault_at_any_call_of_a_compaction_leaves_the_old_or_the_new(
    filled: tuple[Path, Held, int], ram_path: Path, error: int | None, effect: Effect
) -> None:
    data, before, last_seq = filled
    shutil.copytree(data, ram_path / "whole")
    whole = FailingDisk(RealDisk())
    first = compacted(ram_path / "whole", whole)
    assert first is not None
    assert any(call.name == "unlink" for call in whole.calls[first:])
    for call in range(first + 1, len(whole.calls) + 1):
        copy = ram_path / str(call)
        shutil.copytree(data, copy)
        disk = FailingDisk(
            RealDisk(), fail_at=call, error=error, effect=effect, is_sticky=error == errno.ENOSPC
        )
        compacted(copy, disk)
        assert disk.has_failed, "the fault was never reached"
        try:
            check(copy, before, last_seq)
        except AssertionError as failure:
            struck: Call = disk.calls[call - 1]
            raise AssertionError(f"call {call}, {struck}: {failure}") from failure
        shutil.rmtree(copy)
    print(f"{len(whole.calls) - first} disk calls, each failed once")  # noqa: T201 - how far it went
