"""Turns of several callers."""

import asyncio
from collections.abc import Sequence

import pytest

from fractal_lba.server.pipeline.turns import Turns

pytestmark = pytest.mark.asyncio


async def order(at_once_max: int, arriving: Sequence[str]) -> list[str]:
    """Return whose turns came in which order, each ending before the next begins where one can."""
    turns, came = Turns(at_once_max), list[str]()

    async def take(whose: str) -> None:
        async with turns.of(whose):
            came.append(whose)
            await asyncio.sleep(0)

    await asyncio.gather(*map(take, arriving))
    return came


async def test_one_caller_gets_its_turns_in_the_order_they_were_asked_for() -> None:
    assert await order(1, "aaaa") == ["a"] * 4


async def test_who_comes_after_a_hundred_of_another_is_next_but_one() -> None:
    came = await order(1, "a" * 100 + "b" + "cc")
    assert "".join(came[:7]) == "aabcaca"
    assert len(came) == 103


async def test_no_more_than_so_many_are_under_way_and_that_many_are() -> None:
    turns, now, most = Turns(3), 0, 0

    async def take(whose: str) -> None:
        nonlocal now, most
        async with turns.of(whose):
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1

    await asyncio.gather(*(take(whose) for whose in "abcab" * 4))
    assert (most, now) == (3, 0)


async def test_a_failure_within_a_turn_passes_it_on() -> None:
    turns = Turns(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with turns.of("a"):
                raise ZeroDivisionError
    async with asyncio.timeout(60), turns.of("b"):
        pass


@pytest.mark.parametrize("is_waiting", [True, False], ids=["while it waits", "as its turn comes"])
async def test_who_is_cancelled_keeps_no_turn(*, is_waiting: bool) -> None:
    turns = Turns(1)

    async def take(whose: str) -> None:
        async with turns.of(whose):
            await asyncio.sleep(0)

    async with turns.of("holder"):
        first, second = (asyncio.ensure_future(take(whose)) for whose in "ab")
        await asyncio.sleep(0)
        if is_waiting:
            first.cancel()
            await asyncio.sleep(0)
    first.cancel()
    async with asyncio.timeout(60):
        await second
        await take("a")
    assert first.cancelled()
