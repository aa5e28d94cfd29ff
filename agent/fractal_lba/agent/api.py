"""The agent inside a program: ``async with Agent(...) as agent: await agent.observe(points)``.

The rule: what ``observe`` returned from is on disk, and is sent until it is answered, by this agent
or by the next one over the same folder. One agent at a time uses a folder. Everything of one agent
runs on the event loop that opened it; ``SyncAgent`` brings a loop of its own.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Self, Unpack

from numpy.typing import ArrayLike

from fractal_lba.agent.closing import noted_on
from fractal_lba.agent.endpoint import serving
from fractal_lba.agent.feeding import WINDOW_DEFAULT, Rows, RowStream
from fractal_lba.agent.hooks import logged
from fractal_lba.agent.keeper import Keeper, Observed
from fractal_lba.agent.machine import this_machine
from fractal_lba.agent.measures import Meter
from fractal_lba.agent.option_checks import members_of
from fractal_lba.agent.options import AgentOptions, Setup, setup_of
from fractal_lba.agent.outcome import Outcome
from fractal_lba.agent.ports import Clock, SystemClock
from fractal_lba.agent.repair import gappy
from fractal_lba.agent.session import GaveUpError, World, session
from fractal_lba.agent.stop import Stop, first_of
from fractal_lba.agent.tally import Tally
from fractal_lba.agent.window import Window, check_period, check_window_size
from fractal_lba.protocol import ContractError, DurabilityError, FractalError, JsonValue
from fractal_lba.signals.window import check_bytes, check_points

# The source of every window that a program observes by itself.
KEY = "api:"

Worlds = Callable[[Setup, Meter, Callable[[Outcome], None]], AbstractAsyncContextManager[World]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What has no final answer; it is on disk, and is sent by this agent or the next one.

    Attributes:
        windows: How many.
        oldest_seq: The oldest one's number in the outbox; None where there is none.
        last_failure: Why the last attempt had to be repeated; empty where none had.
        rows_left: Rows that streams had taken when the agent was closed, and that no window holds:
            fewer than 3 at the end of a stream, or a window that found no room. They are not on
            disk.
    """

    windows: int
    oldest_seq: int | None
    last_failure: str
    rows_left: int = 0


class Agent:
    """Observes what a program gives it, and ships it.

    Opened and closed by ``async with``, or by ``open`` and ``close``. Its methods are called on the
    loop that opened it, by as many tasks as there are: windows that wait at the same time share a
    sync of the disk.
    """

    def __init__(self, **options: Unpack[AgentOptions]) -> None:
        """Prepare an agent; nothing is read or sent yet. See ``AgentOptions``.

        Raises:
            ContractError: An option cannot be used.
        """
        self._begin(setup_of(options), _on_this_machine)

    @classmethod
    def within(cls, setup: Setup, worlds: Worlds) -> Self:
        """Return an agent of another world, for simulations and tests."""
        agent = cls.__new__(cls)
        agent._begin(setup, worlds)  # noqa: SLF001 - its own
        return agent

    def _begin(self, setup: Setup, worlds: Worlds) -> None:
        self._setup = setup
        self._worlds = worlds
        self._stop = Stop()
        self._tally = Tally(say=setup.say)
        self._task: asyncio.Task[None] | None = None
        self._keeper: Keeper | None = None
        self._clock: Clock = SystemClock()
        self._under_way = 0
        self._nothing_under_way = asyncio.Event()
        self._nothing_under_way.set()
        self._closing = asyncio.Event()
        self._waiting: list[_Waiting] = []
        self._streams: set[RowStream] = set()
        self._rows_left = 0
        self._takes_rows = True
        self.metrics_url: str | None = None

    async def __aenter__(self) -> Self:
        """See ``open``."""
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """See ``close``; what the body raised comes out, with what closing met as a note."""
        with noted_on(error, DurabilityError):
            await self.close()

    async def open(self) -> None:
        """Open the folder, and begin to send what waits in it.

        Raises:
            LockedError: Another agent uses the folder.
            DurabilityError: The folder cannot be opened or read.
            ContractError: A newer program wrote it, it was open before, or nothing can listen where
                the metrics should be.
        """
        if self._task is not None:
            raise ContractError("agent: expected one that was not opened yet, got one that was")
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._live(ready))
        try:
            await asyncio.wait((self._task, ready), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._task.cancel()
            raise
        if not ready.done():
            await self._task  # raises what kept it from opening

    async def close(self) -> Pending:
        """Send for the grace period what waits, release the folder, and return what is left.

        What is being observed is kept first, and so is what streams that were not closed have
        taken, those of a ``watch`` that goes on included, which ends with a ContractError; nothing
        new is taken. Calling it again changes nothing.

        Raises:
            DurabilityError: Something could not be kept or read back on the way.
        """
        self._stop.give_up()
        self._closing.set()
        if self._task is not None:
            try:
                await asyncio.shield(self._task)
            except asyncio.CancelledError:
                self._stop.sending.set()  # whoever waits for this has no time left
                raise
        if self._tally.durability_failures:
            raise DurabilityError(self._tally.durability_failures[0])
        return self.pending()

    async def observe(
        self,
        points: ArrayLike | bytes,
        *,
        shard_id: str | None = None,
        meta: Mapping[str, str | int | bool] | None = None,
        trace_id: str | None = None,
    ) -> Observed:
        """Keep one whole window; it is on disk when this returns.

        Args:
            points: ``(n, d)`` or ``(n,)`` real numbers, raw data units, 3 … 65,536 rows of
                1 … 4,096 columns: ``points/1``. Or 3 … 65,536 bytes: ``bytes/1``. Copied before
                anything else happens.
            shard_id: Its stream; None for the agent's.
            meta: Members of this record's ``meta``, beside the agent's.
            trace_id: The member ``trace_id`` of it.

        Raises:
            ContractError: It cannot be summarised (the message names the row), or the agent is not
                open; nothing was kept and no epoch was taken.
            OutboxFullError: As much waits for an answer as may, and nobody waits for room, or the
                agent closed meanwhile; nothing was kept.
            GaveUpError: No window was answered for ``give_up_s``; nothing was kept.
            DurabilityError: It may or may not be on disk. The agent takes nothing more: close it,
                and open another one over the same folder once the disk is sound.
        """
        members: dict[str, JsonValue] = {**members_of(meta)}
        if trace_id is not None:
            members["trace_id"] = trace_id
        if isinstance(points, bytes | bytearray | memoryview):
            window = Window(data=check_bytes(points), after=None)
        else:
            is_repairing = self._setup.shipping.recipe.is_repairing
            window = Window(
                data=gappy(points) if is_repairing else check_points(points), after=None
            )
        return await self._keep(window, shard_id or self._setup.shard_id, members)

    def stream(
        self,
        shard_id: str | None = None,
        *,
        window: int = WINDOW_DEFAULT,
        period_s: float | None = None,
        meta: Mapping[str, str | int | bool] | None = None,
    ) -> RowStream:
        """Return a stream that takes rows one by one: ``async with agent.stream() as rows``.

        Args:
            shard_id: Its name; None for the agent's stream.
            window: Rows of a window, 3 … 65,536.
            period_s: Seconds of a window, which then holds what arrived in them; None to count.
            meta: Members of each of its records' ``meta``, beside the agent's.

        Raises:
            ContractError: The size is out of range, or the agent is not open.
        """
        self._open()
        name = shard_id or self._setup.shard_id
        members: dict[str, JsonValue] = {**members_of(meta)}
        stream = RowStream(
            lambda piece: self._keep(piece, name, members, is_of_stream=True),
            name=name,
            window=check_window_size(window),
            period_s=None if period_s is None else check_period(period_s),
            is_repairing=self._setup.shipping.recipe.is_repairing,
            clock=self._clock,
            closed=self._streams.discard,
        )
        if self._stop.observing.is_set():
            raise self._ended()
        self._streams.add(stream)
        return stream

    async def watch(
        self,
        rows: Rows,
        shard_id: str | None = None,
        *,
        window: int = WINDOW_DEFAULT,
        period_s: float | None = None,
    ) -> None:
        """Observe the rows of an iterator, an async one or a queue (a None ends it) to the end.

        The rest of them is the last window, also where this is cancelled. See ``stream``.
        """
        async with self.stream(shard_id, window=window, period_s=period_s) as stream:
            await stream.watch(rows)

    async def flush(self, deadline_s: float) -> Pending:
        """Wait until what is on disk now is answered, at most so long, and return what is left.

        Args:
            deadline_s: Seconds from now; 0 asks and does not wait, infinity waits for the answers.

        Raises:
            ContractError: The agent is not open, or the deadline is no number.
        """
        if math.isnan(deadline_s):
            raise ContractError("deadline_s: expected a number of seconds, got nan")
        keeper = self._open()
        waiting = _Waiting(set(keeper.outbox.contents.pending), asyncio.Event())
        if waiting.seqs and not (self._is_over or self._stop.sending.is_set()):
            self._waiting.append(waiting)
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(deadline_s):
                        await waiting.event.wait()
            finally:
                self._waiting.remove(waiting)
        return self.pending()

    def pending(self) -> Pending:
        """Return what has no final answer at this moment."""
        keeper = self._keeper
        seqs: Iterable[int] = () if keeper is None else keeper.outbox.contents.pending
        return Pending(
            windows=0 if keeper is None else len(keeper.outbox.contents.pending),
            oldest_seq=next(iter(seqs), None),
            last_failure=self._tally.last_failure,
            rows_left=self._rows_left,
        )

    def is_pending(self, observed: Observed) -> bool:
        """Return whether a window this agent observed has no final answer yet."""
        keeper = self._keeper
        return keeper is not None and observed.outbox_seq in keeper.outbox.contents.pending

    def counts(self) -> dict[str, object]:
        """Return what was counted since it was opened: the members of the command's report."""
        return self._tally.members()

    @property
    def _is_over(self) -> bool:
        return self._task is None or self._task.done()

    def _open(self) -> Keeper:
        if self._keeper is None:
            raise ContractError("agent: expected one that is open, got one that was never opened")
        return self._keeper

    async def _keep(
        self,
        window: Window,
        shard_id: str,
        meta: Mapping[str, JsonValue],
        *,
        is_of_stream: bool = False,
    ) -> Observed:
        keeper = self._open()
        # The rows of a stream were taken before the agent closed.
        is_rest = is_of_stream and self._closing.is_set() and self._takes_rows
        self._under_way += 1
        self._nothing_under_way.clear()
        try:
            if self._is_over or (self._stop.observing.is_set() and not is_rest):
                raise self._ended()
            return await keeper.keep(window, source=KEY, shard_id=shard_id, is_live=True, meta=meta)
        except DurabilityError as error:
            self._tally.could_not_keep(error)
            self._stop.give_up()
            raise
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._nothing_under_way.set()

    async def _live(self, ready: "asyncio.Future[None]") -> None:
        """Hold the session from opening to closing, in a task that whoever opened it can leave."""
        meter = Meter()
        try:
            async with contextlib.AsyncExitStack() as stack:
                if self._setup.metrics is not None:
                    listening = serving(meter, self._setup.metrics)
                    self.metrics_url = await stack.enter_async_context(listening)
                world = await stack.enter_async_context(
                    self._worlds(self._setup, meter, self._told)
                )
                async with session(self._setup.shipping, world, self._stop, self._tally) as keeper:
                    self._keeper, self._clock = keeper, world.clock
                    ready.set_result(None)
                    if not await first_of(self._closing, self._stop.sending.wait()):
                        self._end_flushes()  # it gave up: nothing will be answered
                        await self._closing.wait()
                    await self._end_streams()
                    await self._nothing_under_way.wait()
                    self._takes_rows = False
        finally:
            self._end_flushes()

    def _ended(self) -> FractalError:
        if self._tally.has_given_up:
            return GaveUpError("agent: expected a final answer in time (give_up_s), got none")
        return ContractError("agent: expected one that is open, got one that is closed")

    def _end_flushes(self) -> None:
        for waiting in self._waiting:
            waiting.event.set()

    async def _end_streams(self) -> None:
        for left, why in await asyncio.gather(*(each.end() for each in self._streams)):
            if left:
                self._rows_left += left
                self._setup.say(f"{left} rows of a stream are in no window: {why}")

    def _told(self, outcome: Outcome) -> None:
        callback = self._setup.callbacks.get(outcome.fate)
        if callback is not None:
            with logged(f"callback on_{outcome.fate}"):
                callback(outcome)
        for waiting in self._waiting:
            waiting.seqs.discard(outcome.outbox_seq)
            if not waiting.seqs:
                waiting.event.set()


@dataclass(slots=True)
class _Waiting:
    """A flush that waits for these."""

    seqs: set[int]
    event: asyncio.Event


@contextlib.asynccontextmanager
async def _on_this_machine(
    setup: Setup, meter: Meter, tell: Callable[[Outcome], None]
) -> AsyncIterator[World]:
    async with this_machine(setup.clients(), meter=meter, hooks=setup.hooks, tell=tell) as world:
        yield world
