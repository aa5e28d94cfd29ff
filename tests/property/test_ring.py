"""The ring beside its plain definition, over any set of shards and any key."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracle.ring import owner, point

from fractal_lba.server.core.ring import Ring, ShardSpec, point_of

NAMES = st.from_regex(r"[a-z0-9][a-z0-9-]{0,9}", fullmatch=True)
SETS = st.dictionaries(NAMES, st.integers(1, 2), min_size=1, max_size=4)
TENANTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,9}", fullmatch=True)
IDS = st.from_regex(r"([0-9a-f]{64})?", fullmatch=True)
KEYS = st.lists(st.tuples(TENANTS, IDS), min_size=1, max_size=3)


def ring_of(shards: dict[str, int]) -> Ring:
    return Ring([ShardSpec(name=name, weight=weight) for name, weight in shards.items()])


@settings(max_examples=25, deadline=None)
@given(SETS, KEYS)
def test_the_owner_is_the_one_that_the_definition_names(
    shards: dict[str, int], keys: list[tuple[str, str]]
) -> None:
    ring = ring_of(shards)
    for tenant, pcs_id in keys:
        at = point(tenant, pcs_id)
        assert point_of(tenant, pcs_id) == at
        assert ring.owner_of(tenant, pcs_id) == owner([*shards.items()], at)


@settings(max_examples=25, deadline=None)
@given(SETS, KEYS, st.randoms(use_true_random=False))
def test_the_order_of_a_set_matters_to_no_key(
    shards: dict[str, int], keys: list[tuple[str, str]], chance: random.Random
) -> None:
    order = list(shards)
    chance.shuffle(order)
    other = ring_of({name: shards[name] for name in order})
    assert all(ring_of(shards).owner_of(*key) == other.owner_of(*key) for key in keys)


@settings(max_examples=25, deadline=None)
@given(SETS, NAMES, st.integers(1, 2), KEYS)
def test_a_shard_more_takes_keys_and_moves_none_between_the_others(
    shards: dict[str, int], name: str, weight: int, keys: list[tuple[str, str]]
) -> None:
    others = {each: shards[each] for each in shards if each != name} or {"another-one": 1}
    before, after = ring_of(others), ring_of({**others, name: weight})
    for key in keys:
        assert after.owner_of(*key) in {name, before.owner_of(*key)}
