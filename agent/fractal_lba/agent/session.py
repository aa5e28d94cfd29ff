"""Sessions: one outbox, open, kept and shipped, from recovery to closing.

The part that every agent shares, whoever observes: the command's ``run`` and the ``Agent`` of the
API both put their windows into the ``Keeper`` of a session. Effects in a written order; what they
are done with is given as a ``World``, so that a simulator can give another one.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from fractal_lba.agent.bounds import OutboxBounds, OutboxFullError
from fractal_lba.agent.deadletters import DeadLetters
from fractal_lba.agent.hooks import Hooks, Silent, TracedServer
from fractal_lba.agent.keeper import Keeper
from fractal_lba.agent.kept import Keeping, KeptWindows
from fractal_lba.agent.measures import Meter
from fractal_lba.agent.outbox import Outbox
from fractal_lba.agent.outcome import Outcome
from fractal_lba.agent.ports import Clock, Lane, Lanes, Server
from fractal_lba.agent.record import Recipe
from fractal_lba.agent.settle import Settling
from fractal_lba.agent.shipper import Shipper
from fractal_lba.agent.stop import Stop, first_of
from fractal_lba.agent.tally import Tally
from fractal_lba.client import RetryPolicy
from fractal_lba.protocol import DurabilityError, FencedError, FractalError, UnavailableError
from fractal_lba.wal import Disk

# How soon it is seen that a window was answered: well below any time that people give a server.
_LOOK_INTERVAL_S = 0.5

_ErrorT = TypeVar("_ErrorT", bound=FractalError)


class GaveUpError(UnavailableError):
    """No window had a final answer for as long as an agent waits for one; what it kept is on disk.

    It observes and sends nothing more: the next one over the folder does.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipping:
    """How windows are signed, kept and shipped.

    Attributes:
        data: The agent's folder.
        recipe: What the records share.
        in_flight: Requests on their way at once to each server, at the most.
        grace_s: Sending ends so long after it was asked to.
        policy: When an attempt is repeated.
        outbox: How much may wait for an answer.
        kept: Where windows are kept; None for nowhere.
        is_ordered: A stream's next window is sent only when the one before it is final.
        give_up_s: Observing and sending end when windows wait and none had a final answer for so
            long; None for never.
    """

    data: Path
    recipe: Recipe
    in_flight: int
    grace_s: float
    policy: RetryPolicy
    outbox: OutboxBounds = field(default_factory=OutboxBounds)
    kept: Keeping | None = None
    is_ordered: bool = False
    give_up_s: float | None = None


def tell_nobody(_outcome: Outcome) -> None:
    """Take an outcome that nobody asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a session is done with, and who is told.

    Attributes:
        servers: By name, one or more, the preferred one first.
        tell: Called with each final answer, once it is noted; does not raise.
        hooks: Told when observing, appending and sending begin and end.
        meter: Gets everything of the session that counts.
    """

    clock: Clock
    lanes: Lanes
    disk: Disk
    servers: Mapping[str, Server]
    rng: random.Random
    tell: Callable[[Outcome], None] = tell_nobody
    hooks: Hooks = field(default_factory=Silent)
    meter: Meter = field(default_factory=Meter)


@contextlib.asynccontextmanager
async def session(
    shipping: Shipping, world: World, stop: Stop, tally: Tally
) -> AsyncIterator[Keeper]:
    """Open a folder's outbox and ship what it holds while the context's body adds to it.

    Behind the body it goes on sending until the outbox is empty or sending is stopped, and closes.

    Args:
        shipping: How.
        world: What to do it with.
        stop: Ends it early.
        tally: Counts it, and holds what failed on the way.

    Raises:
        LockedError: Another agent uses the folder; nothing was done.
        DurabilityError: The folder cannot be opened or read; nothing was observed or sent.
        ContractError: A newer program wrote the folder; nothing was observed or sent.
    """
    outbox = await Outbox.open(
        world.disk,
        shipping.data,
        clock=world.clock,
        lanes=world.lanes,
        bounds=shipping.outbox,
        say=tally.say,
    )
    tally.resumed = tally.pending = len(outbox.contents.pending)
    tally.unreadable = outbox.contents.lost
    for damage in outbox.contents.damage:
        tally.say(f"outbox damaged: {damage}")
    async with _closing(outbox.close, tally):
        letters = await world.lanes.run(
            Lane.OUTBOX,
            DeadLetters.open,
            world.disk,
            shipping.data,
            pending=outbox.contents.pending,
        )
        if letters.mended.cut:
            tally.say(letters.cut_in_words)
        if letters.mended.unreadable > letters.mended.damaged:
            tally.say(letters.unreadable_in_words)
        if letters.mended.damaged:
            tally.durability_failed(letters.damage_in_words)
        async with (
            _closing(lambda: world.lanes.run(Lane.OUTBOX, letters.close), tally),
            _kept(shipping.kept, world) as kept,
        ):
            settling = Settling(
                outbox=outbox,
                letters=letters,
                tally=tally,
                stop=stop,
                clock=world.clock,
                lanes=world.lanes,
                tell=world.tell,
            )
            shipper = Shipper(
                outbox=outbox,
                settling=settling,
                servers={
                    name: TracedServer(server, world.hooks)
                    for name, server in world.servers.items()
                },
                policy=shipping.policy,
                rng=world.rng,
                in_flight=shipping.in_flight,
                is_ordered=shipping.is_ordered,
                tally=tally,
                clock=world.clock,
            )
            keeper = Keeper(
                outbox=outbox,
                kept=kept,
                recipe=shipping.recipe,
                tally=tally,
                clock=world.clock,
                lanes=world.lanes,
                hooks=world.hooks,
            )
            world.meter.register(tally)
            world.meter.register(letters)
            world.meter.register(shipper)
            world.meter.register(outbox)
            async with asyncio.TaskGroup() as group:
                timers = [
                    group.create_task(_end_sending(shipping.grace_s, world.clock, stop, outbox)),
                    group.create_task(until_unwritable(outbox.tend(), stop, tally)),
                ]
                if shipping.give_up_s is not None:
                    giving_up = _give_up(shipping.give_up_s, world.clock, stop, tally)
                    timers.append(group.create_task(giving_up))
                sending = group.create_task(shipper.run())
                try:
                    yield keeper
                finally:
                    outbox.end()
                await sending
                for timer in timers:
                    timer.cancel()


async def until_unwritable(work: Awaitable[None], stop: Stop, tally: Tally) -> None:
    """Do some work; where the disk or a full outbox ends it, say so and stop observing.

    Nothing more can be kept then, so nothing more is observed; what is on disk is still sent.
    """
    try:
        await work
    except* OutboxFullError as refusals:
        for refusal in _leaves(refusals):
            tally.durability_failed(str(refusal))
        stop.observe_no_more()
    except* FencedError:
        stop.give_up()  # whoever met the failure that led to it said why
    except* DurabilityError as failures:
        for failure in _leaves(failures):
            tally.durability_failed(str(failure))
        stop.give_up()


@contextlib.asynccontextmanager
async def _kept(keeping: Keeping | None, world: World) -> AsyncIterator[KeptWindows | None]:
    if keeping is None:
        yield None
        return
    kept = await world.lanes.run(Lane.KEPT, KeptWindows.open, world.disk, keeping)
    try:
        yield kept
    finally:
        await world.lanes.run(Lane.KEPT, kept.close)


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


async def _end_sending(grace_s: float, clock: Clock, stop: Stop, outbox: Outbox) -> None:
    await stop.grace.wait()
    await first_of(stop.sending, clock.sleep(grace_s))
    stop.sending.set()
    outbox.wait_no_more()


async def _give_up(limit_s: float, clock: Clock, stop: Stop, tally: Tally) -> None:
    """End a run whose windows get no final answer for so long; what waits is on disk."""
    answered, since_s = tally.answers, clock.monotonic_s()
    while True:
        if tally.answers != answered or not tally.pending:
            answered, since_s = tally.answers, clock.monotonic_s()
        left_s = since_s + limit_s - clock.monotonic_s()
        if left_s <= 0:
            tally.gave_up(limit_s)
            stop.give_up()
            stop.sending.set()
            return
        await clock.sleep(min(left_s, _LOOK_INTERVAL_S))


def _leaves(group: BaseExceptionGroup[_ErrorT]) -> list[_ErrorT]:
    """Return the exceptions of a group of groups, in order."""
    found: list[_ErrorT] = []
    for each in group.exceptions:
        found += _leaves(each) if isinstance(each, BaseExceptionGroup) else [each]
    return found
