"""Items submitted together: as if each were alone, with one to wait for them all."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from fractal_lba.protocol.errors import UnavailableError
from fractal_lba.wal.group_commit import Bounds, GroupCommit

pytestmark = pytest.mark.asyncio

BOUNDS = Bounds(items_max=4, bytes_max=100, queue_items_max=8, queue_bytes_max=1_000)


class Disk:
    """Work that waits for leave, and writes down its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: set[str] = set()
        self.may_go = threading.Semaphore(0)
        self.started = threading.Semaphore(0)

    def commit(self, batch: Sequence[int]) -> list[int | Exception]:
        self.started.release()
        self.may_go.acquire()
        self.batches.append(list(batch))
        self.threads.add(threading.current_thread().name)
        return [item * 10 for item in batch]

    async def has_started(self) -> None:
        await asyncio.to_thread(self.started.acquire)


async def test_items_submitted_together_have_their_results_in_order() -> None:
    def commit(batch: Sequence[int]) -> list[int | Exception]:
        return [ValueError(str(item)) if item == 3 else item * 10 for item in batch]

    commits = GroupCommit("disk", commit, bounds=BOUNDS)
    assert await commits.submit_all([], sizes=[]) == []
    *others, failed = await commits.submit_all([1, 2, 4, 5, 6, 3], sizes=[1] * 6)
    assert others == [10, 20, 40, 50, 60]
    assert (type(failed), str(failed)) == (ValueError, "3")
    await commits.close()


async def test_of_items_submitted_together_the_queue_takes_what_it_has_room_for() -> None:
    disk = Disk()
    commits = GroupCommit("disk", disk.commit, bounds=BOUNDS)
    first = asyncio.create_task(commits.submit(0))
    await disk.has_started()
    together = asyncio.create_task(commits.submit_all(range(1, 11), sizes=[1] * 10))
    for _ in range(3):
        disk.may_go.release()
    ends = await together
    assert await first == 0
    assert ends[:8] == [item * 10 for item in range(1, 9)]
    assert [type(end) for end in ends[8:]] == [UnavailableError] * 2
    assert disk.batches == [[0], [1, 2, 3, 4], [5, 6, 7, 8]]
    await commits.close()


async def test_items_submitted_together_take_turns_with_the_others() -> None:
    disk = Disk()
    commits = GroupCommit("disk", disk.commit, bounds=BOUNDS)
    first = asyncio.create_task(commits.submit(0))
    await disk.has_started()
    much = asyncio.create_task(commits.submit_all([1, 2, 3, 4, 5], sizes=[1] * 5, turn="much"))
    await asyncio.sleep(0)
    little = asyncio.create_task(commits.submit(9))
    await asyncio.sleep(0)
    for _ in range(3):
        disk.may_go.release()
    assert (await first, await little) == (0, 90)
    assert await much == [10, 20, 30, 40, 50]
    assert disk.batches == [[0], [1, 9, 2, 3], [4, 5]]
    await commits.close()


async def test_together_too_what_nobody_waits_for_is_not_done() -> None:
    disk = Disk()
    commits = GroupCommit("disk", disk.commit, bounds=BOUNDS, is_for_its_submitter=True)
    first = asyncio.create_task(commits.submit(0))
    await disk.has_started()
    together = asyncio.create_task(commits.submit_all([1, 2], sizes=[1, 1]))
    await asyncio.sleep(0)
    together.cancel()
    last = asyncio.create_task(commits.submit(3))
    await asyncio.sleep(0)
    disk.may_go.release()
    disk.may_go.release()
    assert (await first, await last) == (0, 30)
    assert disk.batches == [[0], [3]]
    assert together.cancelled()
    await commits.close()


async def test_nobody_waits_together_for_a_committer_that_is_gone() -> None:
    class Gone(BaseException):
        pass

    disk = Disk()

    def commit(batch: Sequence[int]) -> list[int | Exception]:
        disk.commit(batch)
        raise Gone

    commits = GroupCommit("disk", commit, bounds=BOUNDS)
    together = asyncio.create_task(commits.submit_all(range(6), sizes=[1] * 6))
    await disk.has_started()
    disk.may_go.release()
    assert [type(end) for end in await together] == [UnavailableError] * 6
    with pytest.raises(Gone):
        await commits.close()
