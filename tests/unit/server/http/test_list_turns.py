"""A tenant that lists much makes no other wait for all of it."""

import asyncio
from typing import Any, cast

import pytest

from fractal_lba.server.core.listing import Bookmark, Page, Query
from fractal_lba.server.http.list import LISTINGS_AT_ONCE_MAX, Lists
from fractal_lba.server.ports import Listed

pytestmark = pytest.mark.asyncio


class Decisions:
    """Pages that wait for leave; whose they were, in the order they were begun."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.may_go = asyncio.Semaphore(0)

    async def list_records(self, tenant: str, *_: object, **__: object) -> Page[Listed, Bookmark]:
        self.begun.append(tenant)
        await self.may_go.acquire()
        return Page(items=(), next=None)


async def test_tenants_take_turns_in_listings() -> None:
    decisions = Decisions()
    nothing = cast("Any", None)
    lists = Lists(
        decisions=cast("Any", decisions),
        keyring=nothing,
        cursors=nothing,
        admission=nothing,
        exports=nothing,
    )
    asked = [
        asyncio.create_task(lists._read(tenant, Query(), {}, records_max=1))
        for tenant in [*["acme"] * 8, "globex"]
    ]
    await asyncio.sleep(0)
    assert decisions.begun == ["acme"] * LISTINGS_AT_ONCE_MAX
    for _ in asked:
        decisions.may_go.release()
    await asyncio.gather(*asked)
    assert decisions.begun.index("globex") <= LISTINGS_AT_ONCE_MAX + 1
    assert len(decisions.begun) == len(asked)
