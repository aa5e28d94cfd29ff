"""A listing over shards: each record once, each shard's in its order, none passed over."""

import random
from dataclasses import dataclass

import pytest

from fractal_lba.server.core.known import Known, Place
from fractal_lba.server.core.listing import BEGIN, Bookmark, Page, Query, Spot, Summary
from fractal_lba.server.core.merge import merged

STREAM = Query(shard_id="press-7")
ANY = Query()


@dataclass(frozen=True)
class Row:
    shard: str
    spot: Spot
    known: Known


Pages = dict[str, Page[Row, Bookmark]]


def row(shard: str, seq: int, *, received: int = 0, epoch: int = 0) -> Row:
    known = Known(
        content_digest="",
        received_ns=received,
        place=Place(seq=seq, segment=1, offset=0),
        status=200,
        summary=Summary(version="1.0", shard_id="press-7", epoch=epoch, regime="mixed"),
    )
    return Row(shard, Spot(epoch, seq), known)


def page_of(
    rows: list[Row], shard: str, after: Bookmark, most: int, looks: int
) -> Page[Row, Bookmark]:
    """What a shard gives: at most so many, and short where it looked at so many for nothing."""
    behind = sorted(
        (each for each in rows if each.spot > after.get(shard, BEGIN)), key=lambda each: each.spot
    )
    looked = behind[: min(most, looks)]
    if len(looked) == len(behind) and len(looked) < most:
        return Page(items=tuple(looked), next=None)
    return Page(items=tuple(looked), next={shard: looked[-1].spot})


def test_of_the_next_ones_the_first_received_comes_first() -> None:
    pages: Pages = {
        "a": Page(items=(row("a", 1, received=5), row("a", 2, received=6)), next=None),
        "b": Page(items=(row("b", 1, received=4), row("b", 2, received=9)), next=None),
    }
    page = merged(pages, ANY, {}, 10)
    assert [(each.shard, each.spot.seq) for each in page.items] == [
        ("b", 1),
        ("a", 1),
        ("a", 2),
        ("b", 2),
    ]
    assert page.next is None


def test_of_one_stream_the_lowest_epoch_comes_first_then_the_first_shard() -> None:
    pages: Pages = {
        "b": Page(items=(row("b", 9, epoch=1), row("b", 3, epoch=7)), next=None),
        "a": Page(items=(row("a", 8, epoch=1), row("a", 2, epoch=4)), next=None),
    }
    page = merged(pages, STREAM, {}, 10)
    assert [(each.shard, each.spot.epoch) for each in page.items] == [
        ("b", 1),
        ("a", 1),
        ("a", 4),
        ("b", 7),
    ]


def test_a_full_page_has_the_places_behind_what_it_gave() -> None:
    pages: Pages = {
        "a": Page(items=(row("a", 3, received=1), row("a", 4, received=9)), next={"a": Spot(0, 4)}),
        "b": Page(items=(row("b", 7, received=2),), next=None),
    }
    page = merged(pages, ANY, {"a": Spot(0, 2), "c": Spot(0, 1)}, 2)
    assert [each.shard for each in page.items] == ["a", "b"]
    assert page.next == {"a": Spot(0, 3), "b": Spot(0, 7), "c": Spot(0, 1)}


def test_a_page_ends_where_nobody_knows_what_a_shard_has_next() -> None:
    pages: Pages = {
        "a": Page(items=(), next={"a": Spot(0, 5_000)}),
        "b": Page(items=(row("b", 7, received=2),), next=None),
    }
    page = merged(pages, ANY, {}, 10)
    assert page.items == ()
    assert page.next == {"a": Spot(0, 5_000)}


def test_a_page_that_ends_with_everything_has_no_next() -> None:
    pages: Pages = {"a": Page(items=(row("a", 1),), next=None)}
    assert merged(pages, ANY, {}, 1).next is None
    assert merged({"a": Page(items=(), next=None)}, ANY, {}, 1).next is None


@pytest.mark.parametrize("seed", range(60))
def test_pages_give_every_record_once_whatever_is_decided_meanwhile(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a seed, not a secret
    query = chance.choice([STREAM, ANY])
    shards = [f"shard-{at}" for at in range(chance.randint(1, 5))]
    rows: dict[str, list[Row]] = {shard: [] for shard in shards}

    def decide(count: int) -> None:
        for _ in range(count):
            shard = chance.choice(shards)
            seq = len(rows[shard]) + 1
            epoch = 0 if query is ANY else chance.randint(0, 9)
            rows[shard].append(row(shard, seq, received=chance.randint(0, 99), epoch=epoch))

    decide(chance.randint(0, 40))
    there = {each for found in rows.values() for each in found}
    given: list[Row] = []
    after: Bookmark | None = {}
    while after is not None:
        looks = chance.randint(1, 8)
        most = chance.randint(1, 8)
        pages = {shard: page_of(rows[shard], shard, after, most, looks) for shard in shards}
        page = merged(pages, query, after, most)
        assert len(page.items) <= most
        # The cursor of each line is a place too: behind it comes what comes behind it here.
        for at, item in enumerate(page.items):
            after = {**after, item.shard: item.spot}
            rest = {shard: page_of(rows[shard], shard, after, most, looks) for shard in shards}
            again = merged(rest, query, after, 1).items
            assert not again or at + 1 == len(page.items) or again[0] == page.items[at + 1]
        given += page.items
        after = page.next
        if query is ANY:
            decide(chance.choice([0, 0, 1]))
            if len(given) > 200:
                break
    assert len(given) == len(set(given))
    assert there <= set(given)
    for shard in shards:
        spots = [each.spot for each in given if each.shard == shard]
        assert spots == sorted(spots)
