"""What a group commit may hold: bounds that make sense, and an item that grows within them."""

import asyncio
from dataclasses import replace

import pytest
from tests.support.group_commits import BOUNDS, Disk

from fractal_lba.protocol.errors import ContractError, UnavailableError
from fractal_lba.wal.group_commit import GroupCommit

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("name", ["items_max", "bytes_max", "queue_items_max", "queue_bytes_max"])
async def test_bounds_that_let_nothing_through_are_refused_by_name(name: str) -> None:
    with pytest.raises(ContractError, match=f"group commit: expected {name} of 1 or more, got 0"):
        replace(BOUNDS, **{name: 0})


async def test_the_item_given_last_grows_until_a_batch_is_full_or_took_it() -> None:
    disk = Disk()
    commits = GroupCommit("disk", disk.commit, bounds=BOUNDS)
    assert (commits.last, commits.grow(1, 0)) == (None, False)
    first = asyncio.create_task(commits.submit(1))
    await disk.has_started()
    assert (commits.last, commits.grow(1, 0)) == (None, False)  # it is at the disk
    second = asyncio.create_task(commits.submit(2, size=10))
    await asyncio.sleep(0)
    assert commits.last == 2
    assert [commits.grow(2, 40), commits.grow(1, 51), commits.grow(2, 1)] == [True, False, False]
    assert [commits.grow(1, 50), commits.grow(1, 0)] == [True, False]  # four of them, 100 bytes
    third = asyncio.create_task(commits.submit(3))
    await asyncio.sleep(0)
    assert commits.last == 3
    for _ in range(3):
        disk.may_go.release()
    assert [await each for each in (first, second, third)] == [10, 20, 30]
    assert disk.batches == [[1], [2], [3]]
    await commits.close()
    assert not commits.grow(1, 0)


async def test_what_an_item_grew_by_counts_for_the_queue() -> None:
    disk = Disk()
    commits = GroupCommit("disk", disk.commit, bounds=BOUNDS)
    first = asyncio.create_task(commits.submit(1))
    await disk.has_started()
    for item in (2, 3):
        commits.give(item, size=10)
        assert commits.grow(3, 80)
    with pytest.raises(UnavailableError, match="at most 8 items"):
        commits.give(4)
    disk.may_go.release()
    await first
    for _ in range(2):
        disk.may_go.release()
    await commits.close()
    assert disk.batches == [[1], [2], [3]]
