"""Every shard has its share of a million ids, and a shard more moves no more than its own."""

import hashlib
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from fractal_lba.protocol.errors import ContractError
from fractal_lba.server.core.ring import (
    WEIGHT_MAX,
    Ring,
    RingError,
    ShardSpec,
    _points_of,
    point_of,
    read_shard,
    written,
)

IDS = 1_000_000
SHARDS_MIN, SHARDS_MAX = 3, 64

Points = npt.NDArray[np.uint32]


@pytest.fixture(scope="module")
def points() -> Points:
    """The points of the ids of one tenant, in order."""
    ids = (hashlib.sha256(b"%d" % at).hexdigest() for at in range(IDS))
    found = np.fromiter((point_of("acme", pcs_id) for pcs_id in ids), np.uint32, IDS)
    found.sort()
    return found


def specs(count: int) -> list[ShardSpec]:
    return [ShardSpec(name=f"shard-{at}") for at in range(count)]


def merged(shards: list[ShardSpec]) -> tuple[Points, npt.NDArray[np.uint8]]:
    """What ``Ring`` is made of: the points in order, and the place in the list of who has each."""
    in_order = sorted(range(len(shards)), key=lambda at: shards[at].name.encode())
    found = [np.array(_points_of(shards[at]), np.uint32) for at in in_order]
    whose = np.concatenate(
        [np.full(len(each), at, np.uint8) for at, each in zip(in_order, found, strict=True)]
    )
    all_points, first = np.unique(np.concatenate(found), return_index=True)
    return all_points, whose[first]


def owners(shards: list[ShardSpec], points: Points) -> npt.NDArray[np.uint8]:
    ring, whose = merged(shards)
    found: npt.NDArray[np.uint8] = whose[np.searchsorted(ring, points, side="left") % len(ring)]
    return found


# Tracing a million ids would take twice as long, and every line is met otherwise as well.
@pytest.mark.no_cover
def test_shares_are_even_and_a_shard_more_takes_its_own_alone(points: Points) -> None:
    before = owners(specs(SHARDS_MIN), points)
    for count in range(SHARDS_MIN, SHARDS_MAX + 1):
        shares = np.bincount(before, minlength=count)
        assert len(shares) == count
        assert shares.max() <= 1.15 * shares.mean(), count
        after = owners(specs(count + 1), points)
        moved = after != before
        assert np.all(after[moved] == count), "a key moved between shards that were there"
        assert moved.mean() <= 1.1 / (count + 1), count
        before = after


def test_a_weight_is_a_share(points: Points) -> None:
    weights = (1, 2, 3, WEIGHT_MAX)
    shards = [ShardSpec(name=f"shard-{at}", weight=w) for at, w in enumerate(weights)]
    shares = np.bincount(owners(shards, points)) / IDS
    assert np.allclose(shares, np.array(weights) / sum(weights), rtol=0.1)


@pytest.mark.parametrize("count", [1, 3, 64])
def test_what_is_counted_here_is_what_the_ring_says(count: int) -> None:
    ids = [hashlib.sha256(b"%d" % at).hexdigest() for at in range(2_000)]
    ring = Ring(specs(count))
    assert list(ring._points) == merged(specs(count))[0].tolist()
    some = np.array([point_of("acme", pcs_id) for pcs_id in ids], np.uint32)
    said = [ring.owner_of("acme", pcs_id) for pcs_id in ids]
    assert said == [f"shard-{at}" for at in owners(specs(count), some)]


def test_a_ring_is_of_one_shard_for_each_point() -> None:
    ring = Ring([ShardSpec(name="shard-16"), ShardSpec(name="shard-126")])
    assert all(one < other for one, other in pairwise(ring._points))
    # Both have a point there; the one whose name comes first in bytes owns it.
    assert ring._owners[ring._points.index(185_133_856)] == "shard-126"


@pytest.mark.parametrize(
    ("shards", "reason"),
    [
        ([], "no_shard"),
        ([ShardSpec(name="a"), ShardSpec(name="b"), ShardSpec(name="a")], "shard_twice"),
        ([ShardSpec(name="a", weight=0)], "weight_out_of_range"),
        ([ShardSpec(name="a"), ShardSpec(name="b", weight=17)], "weight_out_of_range"),
    ],
)
def test_what_is_no_set_of_shards_is_refused(shards: list[ShardSpec], reason: str) -> None:
    with pytest.raises(RingError, match=r"^ring: .*expected") as refused:
        Ring(shards)
    assert refused.value.reason == reason
    assert isinstance(refused.value, ContractError)


@pytest.mark.parametrize("text", ["shard-0", "west:2", f"west:{WEIGHT_MAX}"])
def test_a_shard_is_read_as_it_was_written(text: str) -> None:
    shard = read_shard(text)
    assert shard is not None
    assert written(shard) == text


@pytest.mark.parametrize(
    "text", ["", "West", "west:", "west:0", "west:02", "west:x", f"west:{WEIGHT_MAX + 1}", "a:1:1"]
)
def test_a_text_that_names_no_shard_is_none(text: str) -> None:
    assert read_shard(text) is None
