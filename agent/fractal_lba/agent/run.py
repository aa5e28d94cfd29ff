"""One run of the command: observers over a session, until the sources end or it is stopped."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fractal_lba.agent.keeper import Keeper
from fractal_lba.agent.observer import Observer
from fractal_lba.agent.ports import Clock
from fractal_lba.agent.session import Shipping, World, session, until_unwritable
from fractal_lba.agent.sources.choose import FileStream, LiveStream
from fractal_lba.agent.stop import Stop
from fractal_lba.agent.tally import Tally
from fractal_lba.protocol import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Shipping):
    """What a run does.

    Attributes:
        files: Observed one after the other, in this order.
        live: Observed beside them; None for no live source.
        windows: Units of a window for each profile.
        interval_s: Seconds between two live samples.
        duration_s: Observing ends after so long; None for when the sources end.
    """

    files: Sequence[FileStream]
    live: LiveStream | None
    windows: Mapping[Profile, int]
    interval_s: float
    duration_s: float | None


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
    async with session(plan, world, stop, tally) as keeper, asyncio.TaskGroup() as group:
        if plan.duration_s is not None:
            timer = group.create_task(_end_observing(plan.duration_s, world.clock, stop))
            await _observe(plan, world, stop, tally, keeper)
            timer.cancel()
        else:
            await _observe(plan, world, stop, tally, keeper)


async def _observe(plan: Plan, world: World, stop: Stop, tally: Tally, keeper: Keeper) -> None:
    observer = Observer(keeper=keeper, tally=tally, stop=stop, clock=world.clock, lanes=world.lanes)
    async with asyncio.TaskGroup() as group:
        files = observer.watch_files(plan.files, plan.windows)
        group.create_task(until_unwritable(files, stop, tally))
        if plan.live is not None:
            points = plan.windows[Profile.POINTS]
            live = observer.watch_live(plan.live, points, interval_s=plan.interval_s)
            group.create_task(until_unwritable(live, stop, tally))


async def _end_observing(duration_s: float, clock: Clock, stop: Stop) -> None:
    await clock.sleep(duration_s)
    stop.observe_no_more()
