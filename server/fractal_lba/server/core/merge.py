"""One page of a listing out of a page of each shard."""

from collections.abc import Mapping
from typing import Protocol, TypeVar

from fractal_lba.server.core.known import Known
from fractal_lba.server.core.listing import Bookmark, Page, Query, Spot


class Row(Protocol):
    """What is merged: a record with its place."""

    @property
    def shard(self) -> str:
        """Whose it is."""
        ...

    @property
    def spot(self) -> Spot:
        """Where it is in the order of that shard."""
        ...

    @property
    def known(self) -> Known:
        """What is remembered of it."""
        ...


_R = TypeVar("_R", bound=Row)


def merged(
    pages: Mapping[str, Page[_R, Bookmark]], query: Query, after: Bookmark, records_max: int
) -> Page[_R, Bookmark]:
    """Return the page that follows a bookmark, of at most so many records.

    In each shard the order is its own; of the shards' next records the one that was received first
    comes first, and of one stream the one with the lowest epoch. The page ends where it is full, or
    where nobody knows yet which record a shard has next.

    Args:
        pages: What each shard has behind the bookmark, by its name, in the order of the set.
        query: What is asked for.
        after: The bookmark.
        records_max: 1 or more.
    """
    taken = dict.fromkeys(pages, 0)
    items: list[_R] = []
    while len(items) < records_max:
        heads: list[tuple[int, int, str]] = []
        for number, (name, page) in enumerate(pages.items()):
            if taken[name] < len(page.items):
                row = page.items[taken[name]]
                order = row.known.received_ns if query.shard_id is None else row.spot.epoch
                heads.append((order, number, name))
            elif page.next is not None:
                return Page(items=tuple(items), next=_places(pages, taken, after))
        if not heads:
            return Page(items=tuple(items), next=None)
        _, _, name = min(heads)
        items.append(pages[name].items[taken[name]])
        taken[name] += 1
    is_over = all(
        taken[name] == len(page.items) and page.next is None for name, page in pages.items()
    )
    return Page(items=tuple(items), next=None if is_over else _places(pages, taken, after))


def _places(
    pages: Mapping[str, Page[_R, Bookmark]], taken: Mapping[str, int], after: Bookmark
) -> Bookmark:
    """Return the places behind what was taken of each shard, and behind what it looked at."""
    places = dict(after)
    for name, page in pages.items():
        if taken[name] == len(page.items) and page.next is not None:
            places |= page.next
        elif taken[name]:
            places[name] = page.items[taken[name] - 1].spot
    return places
