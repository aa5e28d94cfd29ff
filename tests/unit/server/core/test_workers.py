"""What belongs to which worker, and how long a dying one is waited with."""

import pytest

from fractal_lba.server.core.workers import (
    RESTART_WAIT_MAX_S,
    late_s,
    left_inboxes_of,
    owner_of_shard,
    restart_wait_s,
    shards_of,
)

NAMES = ("shard-0", "shard-1", "shard-2", "shard-3", "shard-4")


@pytest.mark.parametrize("workers", range(1, 8))
def test_each_shard_belongs_to_one_worker(workers: int) -> None:
    owned = [shards_of(worker, workers, NAMES) for worker in range(workers)]
    assert sorted(name for names in owned for name in names) == sorted(NAMES)
    for number, name in enumerate(NAMES):
        assert name in owned[owner_of_shard(number, workers)]


@pytest.mark.parametrize("workers", range(1, 8))
def test_each_inbox_without_a_worker_is_settled_by_one(workers: int) -> None:
    inboxes = range(8)
    left = [left_inboxes_of(worker, workers, inboxes) for worker in range(workers)]
    assert sorted(each for some in left for each in some) == list(range(workers, 8))


def test_a_worker_that_dies_again_and_again_is_waited_with_longer_up_to_a_bound() -> None:
    waits = [restart_wait_s(deaths) for deaths in range(1, 100)]
    assert waits[0] == 0
    assert waits == sorted(waits)
    assert waits[-1] == RESTART_WAIT_MAX_S
    assert len(set(waits)) > 5


@pytest.mark.parametrize(
    ("since_s", "expected"), [(0.5, 0), (0.9, 0), (1.0, 0), (1.5, 1.0), (600.5, 600.0), (0, 0)]
)
def test_a_look_that_comes_much_too_late_tells_how_long_its_process_was_stopped(
    since_s: float, expected: float
) -> None:
    assert late_s(since_s, look_s=0.5) == expected
