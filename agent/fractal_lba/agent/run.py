"""One run: observers and shipper around one outbox, from opening it to closing it.

Effects in a written order; what they are done with is given as a ``World``, so that a simulator can
give another one.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fractal_lba.agent.deadletters import DeadLetters
from fractal_lba.agent.observer import Observer
from fractal_lba.agent.outbox import Outbox
from fractal_lba.agent.ports import Clock, Lane, Lanes, Server
from fractal_lba.agent.record import Recipe
from fractal_lba.agent.shipper import Shipper
from fractal_lba.agent.sources.choose import FileStream, LiveStream
from fractal_lba.agent.stop import Stop, first_of
from fractal_lba.agent.tally import Tally
from fractal_lba.client import RetryPolicy
from fractal_lba.protocol import DurabilityError, FencedError, Profile
from fractal_lba.wal import Disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run does.

    Attributes:
        data: The agent's folder.
        files: Observed one after the other, in this order.
        live: Observed beside them; None for no live source.
        windows: Units of a window for each profile.
        recipe: What the records share.
        interval_s: Seconds between two live samples.
        duration_s: Observing ends after so long; None for when the sources end.
        in_flight: Requests on their way at once.
        grace_s: Sending ends so long after it was asked to.
        policy: When an attempt is repeated.
    """

    data: Path
    files: Sequence[FileStream]
    live: LiveStream | None
    windows: Mapping[Profile, int]
    recipe: Recipe
    interval_s: float
    duration_s: float | None
    in_flight: int
    grace_s: float
    policy: RetryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a run is done with."""

    clock: Clock
    lanes: Lanes
    disk: Disk
    server: Server
    rng: random.Random


async def run_agent(plan: Plan, world: World, stop: Stop, tally: Tally) -> None:
    """Observe and ship until the sources are exhausted and the outbox is empty, or until stopped.

    Args:
        plan: What to do.
        world: What to do it with.
        stop: Ends it early.
        tally: Counts it, and holds what failed on the way.

    Raises:
        LockedError: Another agent uses the folder; nothing was done.
        DurabilityError: The folder cannot be opened or read; nothing was observed or sent.
        ContractError: A newer program wrote the folder; nothing was observed or sent.
    """
    outbox = await Outbox.open(world.disk, plan.data, clock=world.clock, lanes=world.lanes)
    tally.resumed = tally.pending = len(outbox.contents.pending)
    tally.unreadable = outbox.contents.lost
    for damage in outbox.contents.damage:
        tally.say(f"outbox damaged: {damage}")
    async with _closing(outbox.close, tally):
        letters = await world.lanes.run(Lane.OUTBOX, DeadLetters.open, world.disk, plan.data)
        async with _closing(lambda: world.lanes.run(Lane.OUTBOX, letters.close), tally):
            await _observe_and_ship(plan, world, stop, tally, outbox, letters)


@contextlib.asynccontextmanager
async def _closing(close: Callable[[], Awaitable[None]], tally: Tally) -> AsyncIterator[None]:
    """Close something at the end; that it failed does not hide why the end came."""
    try:
        yield
    finally:
        try:
            await close()
        except DurabilityError as error:
            tally.durability_failed(str(error))


async def _observe_and_ship(  # noqa: PLR0913, PLR0917 - the parts of one run
    plan: Plan, world: World, stop: Stop, tally: Tally, outbox: Outbox, letters: DeadLetters
) -> None:
    shipper = Shipper(
        outbox=outbox,
        letters=letters,
        server=world.server,
        policy=plan.policy,
        rng=world.rng,
        in_flight=plan.in_flight,
        tally=tally,
        stop=stop,
        clock=world.clock,
        lanes=world.lanes,
    )
    async with asyncio.TaskGroup() as group:
        timers = [group.create_task(_end_sending(plan, world.clock, stop))]
        if plan.duration_s is not None:
            timers.append(group.create_task(_end_observing(plan.duration_s, world.clock, stop)))
        timers.append(group.create_task(_until_unwritable(outbox.tend(), stop, tally)))
        group.create_task(_observe(plan, world, stop, tally, outbox))
        await shipper.run()
        for timer in timers:
            timer.cancel()


async def _observe(plan: Plan, world: World, stop: Stop, tally: Tally, outbox: Outbox) -> None:
    observer = Observer(
        outbox=outbox,
        recipe=plan.recipe,
        tally=tally,
        stop=stop,
        clock=world.clock,
        lanes=world.lanes,
    )
    try:
        async with asyncio.TaskGroup() as group:
            files = observer.watch_files(plan.files, plan.windows)
            group.create_task(_until_unwritable(files, stop, tally))
            if plan.live is not None:
                points = plan.windows[Profile.POINTS]
                live = observer.watch_live(plan.live, points, interval_s=plan.interval_s)
                group.create_task(_until_unwritable(live, stop, tally))
    finally:
        outbox.end()


async def _until_unwritable(work: Awaitable[None], stop: Stop, tally: Tally) -> None:
    """Do some work; where the disk ends it, say so and stop observing.

    Nothing more can be kept then, so nothing more is observed; what is on disk is still sent.
    """
    try:
        await work
    except* FencedError:
        stop.give_up()  # whoever met the failure that led to it said why
    except* DurabilityError as failures:
        for failure in _leaves(failures):
            tally.durability_failed(str(failure))
        stop.give_up()


async def _end_sending(plan: Plan, clock: Clock, stop: Stop) -> None:
    await stop.grace.wait()
    await first_of(stop.sending, clock.sleep(plan.grace_s))
    stop.sending.set()


async def _end_observing(duration_s: float, clock: Clock, stop: Stop) -> None:
    await clock.sleep(duration_s)
    stop.observe_no_more()


def _leaves(group: BaseExceptionGroup[DurabilityError]) -> list[DurabilityError]:
    """Return the exceptions of a group of groups, in order."""
    found: list[DurabilityError] = []
    for each in group.exceptions:
        found += _leaves(each) if isinstance(each, BaseExceptionGroup) else [each]
    return found
