import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest
from tests.support.group_commits import BOUNDS, Disk

from fractal_lba.protocol.errors import DurabilityError, UnavailableError
from fractal_lba.wal.group_commit import GroupCommit

pytestmark = pytest.mark.asyncio

T = TypeVar("T")


async def test_what_arrives_during_a_commit_forms_the_next_batch() -> None:
    disk = Disk()
    commits = GroupCommit("disk", disk.commit, bounds=BOUNDS)
    first = asyncio.create_task(commits.submit(1))
    await disk.has_started()
    others = [asyncio.create_task(commits.submit(item)) for item in range(2, 8)]
    await asyncio.sleep(0)
    for _ in range(3):
        disk.may_go.release()
    assert await asyncio.gather(first, *others) == [10, 20, 30, 40, 50, 60, 70]
    assert disk.batches == [[1], [2, 3, 4, 5], [6, 7]]
    assert len(disk.threads) == 1
    await commits.close()


async def test_a_batch_is_bounded_in_bytes_and_a_large_item_goes_alone() -> None:
    disk = Disk()
    commits = GroupCommit("disk", disk.commit, bounds=BOUNDS)
    first = asyncio.create_task(commits.submit(1, size=1))
    await disk.has_started()
    sizes = [60, 40, 1, 500, 1]
    others = [asyncio.create_task(commits.submit(n, size=size)) for n, size in enumerate(sizes)]
    await asyncio.sleep(0)
    for _ in range(5):
        disk.may_go.release()
    await asyncio.gather(first, *others)
    assert disk.batches == [[1], [0, 1], [2], [3], [4]]
    await commits.close()


async def test_whoever_has_much_waiting_takes_turns_with_the_others() -> None:
    disk = Disk()
    commits = GroupCommit("disk", disk.commit, bounds=BOUNDS)
    first = asyncio.create_task(commits.submit(1))
    await disk.has_started()
    waiting = [(11, "a"), (12, "a"), (13, "a"), (14, "a"), (21, "b"), (31, "c"), (22, "b")]
    others = [asyncio.create_task(commits.submit(item, turn=turn)) for item, turn in waiting]
    await asyncio.sleep(0)
    for _ in range(3):
        disk.may_go.release()
    await asyncio.gather(first, *others)
    assert disk.batches == [[1], [11, 21, 31, 12], [22, 13, 14]]
    await commits.close()


async def test_a_large_item_keeps_its_turn() -> None:
    disk = Disk()
    commits = GroupCommit("disk", disk.commit, bounds=BOUNDS)
    first = asyncio.create_task(commits.submit(1))
    await disk.has_started()
    waiting = [(11, "a", 60), (21, "b", 80), (12, "a", 10)]
    others = [
        asyncio.create_task(commits.submit(item, turn=turn, size=size))
        for item, turn, size in waiting
    ]
    await asyncio.sleep(0)
    for _ in range(4):
        disk.may_go.release()
    await asyncio.gather(first, *others)
    assert disk.batches == [[1], [11], [21, 12]]
    await commits.close()


@pytest.mark.parametrize("size", [0, 200])
async def test_a_full_queue_refuses_before_memory_grows(size: int) -> None:
    disk = Disk()
    commits = GroupCommit("disk", disk.commit, bounds=BOUNDS)
    first = asyncio.create_task(commits.submit(0))
    await disk.has_started()
    fitting = 8 if size == 0 else 5
    waiting = [asyncio.create_task(commits.submit(n, size=size)) for n in range(fitting)]
    await asyncio.sleep(0)
    refused = asyncio.create_task(commits.submit(99, size=size))
    await asyncio.sleep(0)
    # One that is taken would wait for leave: it gets it, so that this ends in either case.
    for _ in range(fitting + 2):
        disk.may_go.release()
    await asyncio.gather(first, *waiting)
    with pytest.raises(UnavailableError, match="disk"):
        await refused
    assert 99 not in [item for batch in disk.batches for item in batch]
    await commits.close()


async def test_a_batch_of_several_makes_room_for_all_its_bytes() -> None:
    disk = Disk()
    commits = GroupCommit("disk", disk.commit, bounds=BOUNDS)
    first = asyncio.create_task(commits.submit(0))
    await disk.has_started()
    small = [asyncio.create_task(commits.submit(n, size=25)) for n in range(1, 5)]
    await asyncio.sleep(0)
    for _ in range(2):
        disk.may_go.release()
    await asyncio.gather(first, *small)
    assert disk.batches == [[0], [1, 2, 3, 4]]
    disk.may_go.release()
    assert await commits.submit(5, size=BOUNDS.queue_bytes_max) == 50
    await commits.close()


async def test_a_failed_commit_reaches_every_submitter_of_its_batch_and_no_other() -> None:
    fail = [True]

    def work(batch: Sequence[int]) -> list[int | Exception]:
        if fail.pop() if fail else False:
            raise DurabilityError("disk: expected a write, got EIO")
        return list(batch)

    commits = GroupCommit("disk", work, bounds=BOUNDS)
    results = await asyncio.gather(commits.submit(1), commits.submit(2), return_exceptions=True)
    assert [type(result) for result in results] == [DurabilityError, DurabilityError]
    assert await commits.submit(3) == 3
    await commits.close()


async def test_one_items_exception_is_its_own() -> None:
    def work(batch: Sequence[int]) -> list[int | Exception]:
        return [ValueError(item) if item == 1 else item for item in batch]

    commits = GroupCommit("checks", work, bounds=BOUNDS)
    results = await asyncio.gather(
        *(commits.submit(item) for item in range(3)), return_exceptions=True
    )
    assert results[0] == 0
    assert isinstance(results[1], ValueError)
    assert results[2] == 2
    await commits.close()


async def test_a_cancelled_submitter_takes_nothing_back() -> None:
    disk = Disk()
    commits = GroupCommit("disk", disk.commit, bounds=BOUNDS)
    first = asyncio.create_task(commits.submit(1))
    await disk.has_started()
    second = asyncio.create_task(commits.submit(2))
    await asyncio.sleep(0)
    second.cancel()
    disk.may_go.release()
    disk.may_go.release()
    await first
    await commits.close()
    assert second.cancelled()
    assert disk.batches == [[1], [2]]


async def test_the_idle_work_runs_once_after_the_last_batch_and_at_close() -> None:
    idle_ran = asyncio.Event()
    loop = asyncio.get_running_loop()
    order: list[str] = []

    def idle() -> None:
        order.append("idle")
        loop.call_soon_threadsafe(idle_ran.set)

    def work(batch: Sequence[int]) -> list[int | Exception]:
        order.append("work")
        return list(batch)

    commits = GroupCommit("disk", work, bounds=BOUNDS, idle=idle, idle_after_s=0.01)
    await commits.submit(1)
    await idle_ran.wait()
    idle_ran.clear()
    await commits.submit(2)
    await idle_ran.wait()
    await commits.close()
    assert order[order.index("work") :] == ["work", "idle", "work", "idle", "idle"]


async def test_a_failed_idle_work_is_handed_over_and_commits_go_on() -> None:
    failed: list[Exception] = []
    seen = asyncio.Event()

    def idle() -> None:
        raise DurabilityError("disk: expected a mark, got EIO")

    def idle_failed(error: Exception) -> None:
        failed.append(error)
        seen.set()

    def work(batch: Sequence[int]) -> list[int | Exception]:
        return list(batch)

    commits = GroupCommit(
        "disk", work, bounds=BOUNDS, idle=idle, idle_failed=idle_failed, idle_after_s=0.01
    )
    await seen.wait()
    assert await commits.submit(1) == 1
    await commits.close()
    assert {type(error) for error in failed} == {DurabilityError}


async def test_close_commits_what_was_taken_and_then_refuses() -> None:
    disk = Disk()
    commits = GroupCommit("disk", disk.commit, bounds=BOUNDS)
    waiting = [asyncio.create_task(commits.submit(n)) for n in range(3)]
    await disk.has_started()
    closing = asyncio.create_task(commits.close())
    disk.may_go.release()
    disk.may_go.release()
    await closing
    assert await asyncio.gather(*waiting) == [0, 10, 20]
    with pytest.raises(UnavailableError, match="closing"):
        await commits.submit(4)
    await commits.close()


async def test_other_work_runs_between_two_batches_on_the_same_thread() -> None:
    disk = Disk()
    disk.may_go.release()
    commits = GroupCommit("disk", disk.commit, bounds=BOUNDS)
    await commits.submit(1)
    assert await commits.call(lambda: threading.current_thread().name) in disk.threads
    await commits.close()


async def test_what_was_committed_makes_room_in_the_queue_again() -> None:
    def work(batch: Sequence[int]) -> list[int | Exception]:
        return list(batch)

    commits = GroupCommit("disk", work, bounds=BOUNDS)
    for item in range(20):
        assert await commits.submit(item, size=BOUNDS.queue_bytes_max // 2) == item
    await commits.close()


async def test_the_last_item_grows_until_it_is_taken_within_a_batchs_bounds() -> None:
    batches: list[list[list[int]]] = []

    def work(batch: Sequence[list[int]]) -> list[int | Exception]:
        batches.append([list(item) for item in batch])
        return [sum(item) for item in batch]

    commits = GroupCommit("disk", work, bounds=BOUNDS)
    assert not commits.grow(count=1, size=1)
    first = asyncio.create_task(commits.submit([1], size=60))
    await asyncio.sleep(0)
    growing = commits.last
    assert growing == [1]
    assert not commits.grow(count=1, size=41)
    assert not commits.grow(count=4, size=1)
    assert commits.grow(count=3, size=40)
    growing.extend([2, 3, 4])
    assert await first == 10
    assert commits.last is None
    assert not commits.grow(count=1, size=1)
    assert batches == [[[1, 2, 3, 4]]]
    # What it grew by was counted, and is given back.
    count_max, bytes_max = BOUNDS.queue_items_max, BOUNDS.queue_bytes_max
    assert await commits.submit([5], count=count_max, size=bytes_max) == 5
    await commits.close()


async def test_an_item_grows_only_as_far_as_the_queue_has_room() -> None:
    disk = Disk()
    commits = GroupCommit("disk", disk.commit, bounds=BOUNDS)
    first = asyncio.create_task(commits.submit(1))
    await disk.has_started()
    large = asyncio.create_task(commits.submit(2, count=6, size=BOUNDS.queue_bytes_max - 30))
    small = asyncio.create_task(commits.submit(3, size=10))
    await asyncio.sleep(0)
    assert not commits.grow(count=2, size=0)
    assert not commits.grow(count=1, size=21)
    assert commits.grow(count=1, size=20)
    full = asyncio.create_task(commits.submit(4, count=0, size=1))
    more = asyncio.create_task(commits.submit(5))
    closing = asyncio.create_task(commits.close())
    await asyncio.sleep(0)
    assert not commits.grow(count=0, size=0)
    for _ in range(3):
        disk.may_go.release()
    assert [await first, await large, await small] == [10, 20, 30]
    for refused in (full, more):
        with pytest.raises(UnavailableError, match="one more"):
            await refused
    await closing
    assert disk.batches == [[1], [2], [3]]


async def test_work_for_its_submitter_alone_is_not_done_once_nobody_waits() -> None:
    disk = Disk()
    commits = GroupCommit("disk", disk.commit, bounds=BOUNDS, is_for_its_submitter=True)
    first = asyncio.create_task(commits.submit(1))
    await disk.has_started()
    others = [asyncio.create_task(commits.submit(item)) for item in (2, 3, 4)]
    await asyncio.sleep(0)
    for gone in (others[0], others[2]):
        gone.cancel()
    for _ in range(2):
        disk.may_go.release()
    await asyncio.gather(first, *others, return_exceptions=True)
    await commits.close()
    assert disk.batches == [[1], [3]]


async def test_work_is_done_where_it_is_asked_to_be() -> None:
    done: list[str] = []

    async def run(work: Callable[[], T]) -> T:
        done.append(threading.current_thread().name)
        return work()

    commits: GroupCommit[int, int] = GroupCommit(
        "disk", lambda batch: batch, bounds=BOUNDS, run=run
    )
    before = threading.active_count()
    assert await commits.submit(7) == 7
    assert await commits.call(lambda: 8) == 8
    assert done == [threading.current_thread().name] * 2
    assert threading.active_count() == before
    await commits.close()


async def test_a_batch_is_noted_before_its_submitters_go_on_and_though_they_are_gone() -> None:
    disk = Disk()
    noted: list[tuple[int, int | Exception]] = []

    def note(items: Sequence[int], results: Sequence[int | Exception]) -> None:
        noted.extend(zip(items, results, strict=True))

    commits = GroupCommit("disk", disk.commit, bounds=BOUNDS, done=note)
    first = asyncio.create_task(commits.submit(1))
    gone = asyncio.create_task(commits.submit(2))
    await disk.has_started()
    gone.cancel()
    disk.may_go.release()
    disk.may_go.release()
    assert await first == 10
    assert (1, 10) in noted
    await commits.close()
    assert noted == [(1, 10), (2, 20)]


async def test_nobody_waits_for_a_commit_that_ended_the_committer() -> None:
    class Gone(BaseException):
        pass

    def work(_batch: Sequence[int]) -> list[int | Exception]:
        raise Gone

    commits: GroupCommit[int, int] = GroupCommit("disk", work, bounds=BOUNDS)
    with pytest.raises(UnavailableError, match="disk: expected a commit, got Gone"):
        await commits.submit(1)
    with pytest.raises(Gone):
        await commits.close()


async def test_an_item_that_counts_for_several_is_never_parted() -> None:
    disk = Disk()
    commits = GroupCommit("disk", disk.commit, bounds=BOUNDS)
    first = asyncio.create_task(commits.submit(0))
    await disk.has_started()
    counts = {1: 3, 2: 1, 3: 3, 4: 1}
    others = [
        asyncio.create_task(commits.submit(item, count=count)) for item, count in counts.items()
    ]
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError, match="at most 8 items"):
        await commits.submit(9, count=1)
    for _ in range(3):
        disk.may_go.release()
    assert await asyncio.gather(first, *others) == [0, 10, 20, 30, 40]
    assert disk.batches == [[0], [1, 2], [3, 4]]
    disk.may_go.release()
    assert await commits.submit(5, count=8) == 50
    await commits.close()


async def test_an_item_that_counts_for_several_waits_for_its_turn_as_one() -> None:
    disk = Disk()
    commits = GroupCommit("disk", disk.commit, bounds=BOUNDS)
    first = asyncio.create_task(commits.submit(0))
    await disk.has_started()
    waiting = [(11, "a", 3), (21, "b", 1), (12, "a", 2), (22, "b", 1)]
    others = [
        asyncio.create_task(commits.submit(item, turn=turn, count=count))
        for item, turn, count in waiting
    ]
    await asyncio.sleep(0)
    for _ in range(3):
        disk.may_go.release()
    await asyncio.gather(first, *others)
    assert disk.batches == [[0], [11, 21], [12, 22]]
    await commits.close()
