"""Feeding an agent row by row: windows cut by count or by time of arrival.

The rule: a row is on disk when its window is. ``add`` returns the window that its row completed, or
None while the row waits in memory; closing cuts what waits, so that a program that ends in good
order leaves nothing behind.
"""

import asyncio
import itertools
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

from fractal_lba.agent.cutting import Cutter
from fractal_lba.agent.keeper import Observed
from fractal_lba.agent.ports import Clock, now_ms
from fractal_lba.agent.window import Window, check_row
from fractal_lba.protocol import ContractError, Profile

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
    ) -> None:
        """Begin with no rows; ``Agent.stream`` is the usual way."""
        self._keep = keep
        self._name = name
        self._cutter = Cutter(Profile.POINTS, window, period_s=period_s)
        self._window = window
        self._is_repairing = is_repairing
        self._clock = clock
        self._columns: int | None = None
        self._taken = 0
        self._turn = asyncio.Lock()
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
        """See ``close``."""
        await self.close()

    async def add(self, row: Sequence[float]) -> Observed | None:
        """Take one row, and return the window that was cut, if one was: it is on disk then.

        Args:
            row: As many numbers as each row before it.

        Raises:
            ContractError: The row cannot be in a window with the others; it was not taken.
            DurabilityError: See ``Agent.observe``.
        """
        values = tuple(map(float, row))
        if self._columns not in (None, len(values)):
            raise ContractError(
                f"stream {self._name}: row {self._taken + 1}: expected {self._columns} values,"
                f" got {len(values)}"
            )
        if not self._is_repairing:
            check_row(values, where=f"stream {self._name}", row=self._taken + 1)
        async with self._turn:
            now_s = now_ms(self._clock) / 1000
            observed = await self._cut(now_s, is_end=False)
            self._columns = len(values)
            self._taken += 1
            self._cutter.add([values], now_s=now_s)
            self._added.set()
            return await self._cut(now_s, is_end=False) or observed

    async def watch(self, rows: Rows) -> None:
        """Take every row of a source to its end.

        Args:
            rows: An async iterable; an iterable, whose ``next`` is called in a thread; or a queue,
                that ends with a None.

        Raises:
            ContractError: As ``add``; the rows before stand.
            DurabilityError: See ``Agent.observe``.
        """
        if isinstance(rows, asyncio.Queue):
            while (row := await rows.get()) is not None:
                await self.add(row)
        elif isinstance(rows, AsyncIterable):
            async for each in rows:
                await self.add(each)
        else:
            left = iter(rows)
            # No window is late for it: one takes as many rows.
            while some := await asyncio.to_thread(list, itertools.islice(left, self._window)):
                for each in some:
                    await self.add(each)

    async def close(self) -> None:
        """Cut what waits.

        Raises:
            ContractError: Fewer than 3 rows were left, which no record can be of; they were not
                observed.
            DurabilityError: See ``Agent.observe``.
        """
        if self._timer is not None:
            self._timer.cancel()
            await asyncio.gather(self._timer, return_exceptions=True)
        async with self._turn:
            await self._cut(now_ms(self._clock) / 1000, is_end=True)
            if left := self._cutter.left:
                raise ContractError(
                    f"stream {self._name}: expected 3 rows or more at its end, got {left},"
                    " which were not observed"
                )

    async def _cut(self, now_s: float, *, is_end: bool) -> Observed | None:
        observed = None
        while (data := self._cutter.cut(now_s=now_s, is_end=is_end)) is not None:
            observed = await self._keep(Window(data=data, after=None))
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
                async with self._turn:
                    await self._cut(now_s, is_end=False)
