"""One run of the command: observers over a session, until the sources end or it is stopped."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fractal_lba.agent.cutting import Cutter
from fractal_lba.agent.keeper import Keeper
from fractal_lba.agent.observer import Observer
from fractal_lba.agent.ports import Clock
from fractal_lba.agent.session import Shipping, World, session, until_unwritable
from fractal_lba.agent.sources.streams import (
    FileStream,
    FollowedStream,
    LiveStream,
    Samples,
    UnitStream,
)
from fractal_lba.agent.stop import Stop
from fractal_lba.agent.tally import Tally
from fractal_lba.protocol import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Shipping):
    """What a run does.

    Attributes:
        files: Observed one after the other, in this order.
        followed: Observed beside them as they grow, until observing ends.
        live: Observed beside them; None for no live source.
        standard_input: Observed beside them; None for none.
        period_s: Seconds of a window of what comes by itself; None to count its units.
        windows: Units of a window for each profile.
        interval_s: Seconds between two live samples.
        duration_s: Observing ends after so long; None for when the sources end.
    """

    files: Sequence[FileStream]
    live: LiveStream | None
    windows: Mapping[Profile, int]
    interval_s: float
    duration_s: float | None
    followed: Sequence[FollowedStream] = ()
    standard_input: UnitStream | None = None
    period_s: float | None = None


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
        for followed in plan.followed:
            growing = observer.watch_followed(followed, plan.windows)
            group.create_task(until_unwritable(growing, stop, tally))
        for stream in _unit_streams(plan, world):
            cutter = Cutter(
                stream.source.profile, plan.windows[stream.source.profile], period_s=plan.period_s
            )
            coming = observer.watch_units(stream, cutter)
            group.create_task(until_unwritable(coming, stop, tally))


def _unit_streams(plan: Plan, world: World) -> Iterator[UnitStream]:
    if plan.live is not None:
        samples = Samples(plan.live.source, plan.interval_s, world.clock, world.lanes)
        yield UnitStream(shard_id=plan.live.shard_id, source=samples)
    if plan.standard_input is not None:
        yield plan.standard_input


async def _end_observing(duration_s: float, clock: Clock, stop: Stop) -> None:
    await clock.sleep(duration_s)
    stop.observe_no_more()
