"""What is forgotten is what the ledger says, whatever happens and whenever a process ends."""

import asyncio
import itertools
import shutil
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.failing_disk import Crash, Effect, FailingDisk
from tests.support.forgetting import (
    DAY_MS,
    SEGMENT_AGE_S,
    SEGMENT_BYTES,
    START_MS,
    Shard,
    a_decision,
)
from tests.support.memory import folder_in_memory
from tests.support.stored_folder import (
    MAP_BYTES,
    StoredFolder,
    conflicting,
    resolved,
)

from fractal_lba.server.core.entry import (
    META,
    Written,
    encode_entry,
)
from fractal_lba.server.core.forgetting import Forgotten
from fractal_lba.server.core.known import RecordKey
from fractal_lba.server.core.listing import ESCALATED_STATUS
from fractal_lba.server.storage.forget import Forgetter
from fractal_lba.server.storage.index import LmdbIndex
from fractal_lba.server.storage.replay import ShardFiles, open_shard, put_entry, put_mark
from fractal_lba.wal import Disk, Frame, NewFrame, RealDisk

if TYPE_CHECKING:
    from fractal_lba.server.storage.shard import ShardStore


OPS = st.lists(
    st.one_of(
        st.tuples(st.just("decide"), st.integers(1, 6), st.integers(1, 3), st.booleans()),
        st.tuples(st.just("resolve"), st.integers(1, 6)),
        st.tuples(st.just("conflict"), st.integers(1, 6)),
        st.tuples(st.just("forget"), st.integers(1, 3)),
        st.tuples(st.just("pass"), st.sampled_from([0.1, 1.0, 2.5])),
        st.tuples(st.just("jump"), st.sampled_from([-3, 5])),
        st.just(("let go",)),
        st.tuples(st.just("end"), st.sampled_from(["drain", "crash", "no index"])),
    ),
    min_size=6,
    max_size=25,
)


async def resolve(shard: Shard, epoch: int) -> None:
    if (entry := shard.decisions.get(epoch)) is not None and entry.status == ESCALATED_STATUS:
        await shard.append_to(epoch, resolved)


async def contradict(shard: Shard, epoch: int) -> None:
    entry = shard.decisions.get(epoch)
    known = None if entry is None else shard.known(entry)
    if known is not None and not known.conflicts:  # kept once for each content
        await shard.append_to(epoch, lambda _: conflicting(epoch))


async def jump(shard: Shard, days: int) -> None:
    shard.now_ms += days * DAY_MS


async def end(shard: Shard, how: str) -> None:
    """End the process: in good order, killed, or killed and without an index."""
    old = {path: path.read_bytes() for path in shard.folder.index.iterdir()}
    await shard.store.close()
    for path, data in old.items():
        if how == "crash":
            path.write_bytes(data)  # what the index had not committed is gone
    if how == "no index":
        shutil.rmtree(shard.folder.index)
    await shard.open()


DO: dict[str, Callable[..., Coroutine[Any, Any, object]]] = {
    "decide": lambda shard, epoch, days, is_escalated: shard.decide(
        epoch, days, is_escalated=is_escalated
    ),
    "resolve": resolve,
    "conflict": contradict,
    "forget": lambda shard, count: shard.forget(records_max=count),
    "pass": lambda shard, days: shard.pass_days(days),
    "jump": jump,
    "let go": lambda shard: shard.store.let_go(),
    "end": end,
}


@settings(max_examples=40, deadline=None)
@given(OPS)
def test_the_index_is_what_the_ledger_says_whatever_happens(ops: list[tuple[Any, ...]]) -> None:
    async def run(path: Path) -> None:
        async with Shard(StoredFolder(path / "data").create([])) as shard:
            for name, *how in ops:
                await DO[name](shard, *how)
                shard.read()
            shard.hold()

    with folder_in_memory() as path:
        asyncio.run(run(path))


def steps(files: ShardFiles, now_ms: int) -> Iterator[None]:
    """Decide, forget, decide again, let go: as one thread of a shard does, call by call."""

    def append(entry: Written) -> int:
        frame = NewFrame(received_ns=now_ms * 1_000_000, meta=META, payload=encode_entry(entry))
        [placed] = files.stream.append([frame])
        on_disk = Frame(placed.seq, frame.received_ns, frame.meta, frame.payload)
        if isinstance(entry, Forgotten):
            put_mark(files.index, entry, on_disk, placed.position)
        else:
            of = RecordKey(entry.tenant, entry.family, entry.pcs_id)
            put_entry(files.index, of, entry, on_disk, placed.position)
        return placed.seq

    forgetter = Forgetter(files.stream, files.index, append)
    for epoch in range(1, 7):
        append(a_decision(epoch, at_ms=START_MS, days=1))
        yield
    append(a_decision(7, at_ms=START_MS, days=90))
    for at_s, later_ms in ((0.0, 0), (3e5, 3 * DAY_MS), (3e5, 3 * DAY_MS)):
        forgetter.forget(now_ns=(START_MS + later_ms) * 1_000_000, at_s=at_s, records_max=4)
        yield
    for _ in range(2):
        forgetter.let_go()
        yield
    append(a_decision(1, at_ms=START_MS + 4 * DAY_MS, days=1))
    files.index.flush()
    yield


def test_a_process_that_ends_at_any_call_leaves_a_ledger_that_says_it_all(ram_path: Path) -> None:
    reached = 0
    for call in itertools.count(1):
        shard = Shard(StoredFolder(ram_path / str(call) / "data").create([]))
        disk = FailingDisk(RealDisk(), is_syncing=False)

        def opened(disk: Disk, shard: Shard = shard) -> ShardFiles:
            return open_shard(
                disk,
                shard.folder.shard,
                segment_bytes_max=SEGMENT_BYTES,
                segment_age_max_s=SEGMENT_AGE_S,
                map_bytes=MAP_BYTES,
                data_id=shard.folder.shards.data_id,
            )

        files = opened(disk)
        disk.fail_next(call, error=None, effect=(Effect.NONE, Effect.WHOLE)[call % 2])
        try:
            for _ in steps(files, START_MS):
                shard.read()
        except Crash:
            reached = call
        disk.abandon()
        assert isinstance(files.index, LmdbIndex)
        files.index.handles.env.close()
        if reached != call:
            break
        shard.read()
        # What ended is not in doubt for whoever comes next, and nothing is forgotten by opening.
        files = opened(FailingDisk(RealDisk()))
        shard.store = cast("ShardStore", SimpleNamespace(index=files.index))
        shard.hold()
        assert files.index.losses == ()
        files.index.close()
        files.stream.close()
        shutil.rmtree(ram_path / str(call))
    assert reached > 30, reached
