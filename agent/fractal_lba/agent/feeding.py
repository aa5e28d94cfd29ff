"""Feeding an agent row by row: windows cut by count or by time of arrival.

The rule: a row is on disk when its window is. ``add`` returns the window that its row completed, or
None while the row waits in memory; closing cuts what waits, so that a program that ends in good
order leaves nothing behind. The rows of a window wait here until the window is kept: what is
cancelled or refused meanwhile loses none, and puts none into two windows. Where the agent is closed
first it ends the stream: the rows that were handed over are cut, or counted.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fractal_lba.agent.closing import noted_on
from fractal_lba.agent.cutting import Cutter
from fractal_lba.agent.keeper import Observed
from fractal_lba.agent.ports import Clock, now_ms
from fractal_lba.agent.reading import Reading
from fractal_lba.agent.window import Window, check_row
from fractal_lba.protocol import ContractError, FractalError, Profile
from fractal_lba.signals.window import COLUMNS_MAX

WINDOW_DEFAULT = 256

Rows = (
    AsyncIterable[Sequence[float]]
    | Iterable[Sequence[float]]
    | asyncio.Queue[Sequence[float] | None]
)


class RowStream:
    """The rows of one stream, on their way into windows; an async context manager.

    Used by as many tasks as there are: rows are in one order, that of the calls.
    """

    def __init__(  # noqa: PLR0913 - each by name
        self,
        keep: Callable[[Window], Awaitable[Observed]],
        *,
        name: str,
        window: int,
        period_s: float | None,
        is_repairing: bool,
        clock: Clock,
        closed: Callable[["RowStream"], None],
    ) -> None:
        """Begin with no rows; ``Agent.stream`` is the usual way."""
        self._keep = keep
        self._closed = closed
        self._name = name
        self._cutter = Cutter(Profile.POINTS, window, period_s=period_s)
        self._window = window
        self._is_repairing = is_repairing
        self._clock = clock
        self._columns: int | None = None
        self._taken = 0
        self._lines: list[deque[Sequence[float]]] = []
        self._watching: set[asyncio.Timeout] = set()
        self._is_over = False
        self._dropped = 0
        self._turn = asyncio.Lock()
        self._keeping: asyncio.Task[Observed] | None = None
        self._added = asyncio.Event()
        self._timer: asyncio.Task[None] | None = None
        self._is_timed = period_s is not None

    async def __aenter__(self) -> Self:
        """Begin to cut by time, where that was asked for."""
        if self._is_timed:
            self._timer = asyncio.create_task(self._cut_in_time())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """See ``close``; what the body raised comes out, with what closing met as a note."""
        with noted_on(error, FractalError):
            await self.close()

    async def add(self, row: Sequence[float]) -> Observed | None:
        """Take one row, and return the window that was cut, if one was: it is on disk then.

        Where this is cancelled while a window is on its way to the disk, the row was taken.

        Args:
            row: 1 … 4,096 numbers, as many as each row before it.

        Raises:
            ContractError: The row cannot be in a window with the others, or the agent was closed;
                it was not taken.
            OutboxFullError: A window found no room (see ``Agent.observe``). The row was not taken
                and can be given again; those before it wait.
            DurabilityError: See ``Agent.observe``.
        """
        if self._is_over:
            raise self._ended()
        return await self._take(deque([row]))

    async def watch(self, rows: Rows) -> None:
        """Take every row of a source to its end.

        Args:
            rows: An async iterable; an iterable, read in a thread, up to a window ahead; or a
                queue, that ends with a None. Where this is cancelled, what was read is taken when
                the stream is closed; a row that an iterable hands over later is not.

        Raises:
            ContractError: As ``add``; the rows before stand, what was read behind it is dropped. Or
                the agent was closed: what had been read by then was taken.
            OutboxFullError: As ``add``; what was read waits, and closing cuts it.
            DurabilityError: See ``Agent.observe``.
        """
        line: deque[Sequence[float]] = deque()  # read, and not taken yet
        self._lines.append(line)
        if self._is_over:
            raise self._ended()
        watching = asyncio.timeout(None)
        try:
            async with watching:
                self._watching.add(watching)
                await self._watch(rows, line)
        except TimeoutError:
            if not watching.expired():
                raise  # the rows'
            raise self._ended() from None
        except ContractError:
            line.clear()
            raise
        finally:
            self._watching.discard(watching)

    async def close(self) -> None:
        """Cut what waits.

        Raises:
            ContractError: Fewer than 3 rows were left, which no record can be of; they were not
                observed. Or a row that had been read cannot be in a window with the others.
            OutboxFullError: A window found no room; its rows wait, and closing again cuts them.
            DurabilityError: See ``Agent.observe``.
        """
        if self._timer is not None:
            self._timer.cancel()
            await asyncio.wait([self._timer])
        failure: ContractError | None = None
        for line in self._lines:
            try:
                while line:
                    await self._take(line)
            except ContractError as error:
                self._dropped += len(line)
                line.clear()
                failure = error
        async with self._turn:
            await self._cut(now_ms(self._clock) / 1000, is_end=True)
            if left := self._cutter.left:
                raise ContractError(
                    f"stream {self._name}: expected 3 rows or more at its end, got {left},"
                    " which were not observed"
                ) from failure
        self._closed(self)
        if failure is not None:
            raise failure
        if self._timer is not None and not self._timer.cancelled():
            self._timer.result()  # it ends by itself only where it fails

    async def end(self) -> tuple[int, str]:
        """Take no more rows, as the agent closes, and cut what waits.

        Returns:
            How many rows that were handed over are in no window, and why; 0 and nothing.
        """
        self._is_over = True
        for watching in self._watching:
            watching.reschedule(asyncio.get_running_loop().time())
        try:
            await self.close()
        except FractalError as error:
            left = self._dropped + self._cutter.left + sum(map(len, self._lines))
            return left, str(error)
        return 0, ""

    async def _watch(self, rows: Rows, line: deque[Sequence[float]]) -> None:
        if isinstance(rows, asyncio.Queue):
            while (row := await rows.get()) is not None:
                line.append(row)
                await self._take(line)
        elif isinstance(rows, AsyncIterable):
            async for each in rows:
                line.append(each)
                await self._take(line)
        else:
            with Reading(rows, line, ahead_max=self._window) as reading:
                while await reading.has_row():
                    await self._take(line)

    def _ended(self) -> ContractError:
        return ContractError(
            f"stream {self._name}: expected an agent that is open until its rows end,"
            " got one that is closed"
        )

    async def _take(self, line: deque[Sequence[float]]) -> Observed | None:
        """Take the first row of a line; it stays there where it was not taken."""
        async with self._turn:
            if not line:  # somebody else who closes took it
                return None
            values = self._values(line[0])
            now_s = now_ms(self._clock) / 1000
            observed = await self._cut(now_s, is_end=False)
            self._columns = len(values)
            self._taken += 1
            self._cutter.add([values], now_s=now_s)
            row = line.popleft()
            self._added.set()
            try:
                return await self._cut(now_s, is_end=False) or observed
            except FractalError:
                self._cutter.take_back()
                self._taken -= 1
                line.appendleft(row)
                raise

    def _values(self, row: Sequence[float]) -> tuple[float, ...]:
        """Return the numbers of the row that is next.

        Raises:
            ContractError: It cannot be in a window with the others.
        """
        number = self._taken + 1
        try:
            values = tuple(map(float, row))
        except (TypeError, ValueError, OverflowError):
            raise ContractError(
                f"stream {self._name}: row {number}: expected numbers, got something else"
            ) from None
        if self._columns not in (None, len(values)):
            raise ContractError(
                f"stream {self._name}: row {number}: expected {self._columns} values,"
                f" got {len(values)}"
            )
        if not 1 <= len(values) <= COLUMNS_MAX:
            raise ContractError(
                f"stream {self._name}: row {number}: expected 1 … {COLUMNS_MAX} values,"
                f" got {len(values)}"
            )
        if not self._is_repairing:
            check_row(values, where=f"stream {self._name}", row=number)
        return values

    async def _cut(self, now_s: float, *, is_end: bool) -> Observed | None:
        """Keep the windows that are ready; called in turn.

        Each is kept by a task of its own: whoever waits for it may be cancelled, and who comes next
        waits for it first.
        """
        observed = None
        while True:
            if self._keeping is None:
                data = self._cutter.ready(now_s=now_s, is_end=is_end)
                if data is None:
                    return observed
                self._keeping = asyncio.create_task(self._keep_first(data, now_s))
            observed = await asyncio.shield(self._keeping)

    async def _keep_first(self, data: NDArray[np.float64] | bytes, now_s: float) -> Observed:
        try:
            observed = await self._keep(Window(data=data, after=None))
            self._cutter.drop(len(data), now_s=now_s)
        finally:
            self._keeping = None
        return observed

    async def _cut_in_time(self) -> None:
        while True:
            self._added.clear()
            now_s = now_ms(self._clock) / 1000
            due_s = self._cutter.due_s()
            if due_s is None:
                await self._added.wait()
            elif due_s > now_s:
                await self._clock.sleep(due_s - now_s)
            else:
                try:
                    async with self._turn:
                        await self._cut(now_s, is_end=False)
                except FractalError:
                    # The rows wait: who gives the next one, or closes, tries again and is told.
                    await self._added.wait()
