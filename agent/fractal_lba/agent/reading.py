"""Reading ahead: an iterator that may block, read in a thread of its own.

The rule: a row that the iterator handed over is in the line. When reading stops the thread asks for
no further row; one it has asked for already is dropped when it comes. The thread keeps no program
from ending.
"""

import asyncio
import contextlib
import contextvars
import itertools
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self


class Reading:
    """An iterable on its way into a line; a context manager, used on one event loop."""

    def __init__(
        self, rows: Iterable[Sequence[float]], line: deque[Sequence[float]], *, ahead_max: int
    ) -> None:
        """Prepare to read.

        Args:
            rows: Only the thread calls it.
            line: Gets the rows at its end; the caller takes them from its beginning.
            ahead_max: Rows that may wait in the line.
        """
        self._rows = rows
        self._line = line
        self._ahead_max = ahead_max
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._turn = threading.Condition()
        self._asked = 0
        self._is_stopped = False
        self._is_ended = False
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        """Begin."""
        run = contextvars.copy_context().run
        threading.Thread(
            target=run, args=(self._read,), name="fractal-agent-rows", daemon=True
        ).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop; what is in the line stays there."""
        with self._turn:
            self._is_stopped = True
            self._turn.notify()

    async def has_row(self) -> bool:
        """Return whether there is a row in the line, once there is one or none will come.

        Raises:
            BaseException: What the iterator raised, behind the rows before.
        """
        self._asked += 1
        if self._asked % self._ahead_max == 0:
            await asyncio.sleep(0.0)  # others have their turn, however fast the rows come
        while True:
            self._news.clear()
            with self._turn:
                self._turn.notify()  # there is room, if there was none
                if self._line:
                    return True
                if self._failure is not None:
                    raise self._failure
                if self._is_ended:
                    return False
            await self._news.wait()

    def _read(self) -> None:
        failure: BaseException | None = None
        try:
            rows = iter(self._rows)
            while self._may_go_on() and (read := list(itertools.islice(rows, 1))):
                self._put(read[0])
        except BaseException as error:  # noqa: BLE001 - handed to whoever reads
            failure = error
        with self._turn:
            self._failure, self._is_ended = failure, True
            self._tell()

    def _may_go_on(self) -> bool:
        with self._turn:
            self._turn.wait_for(lambda: self._is_stopped or len(self._line) < self._ahead_max)
            return not self._is_stopped

    def _put(self, row: Sequence[float]) -> None:
        with self._turn:
            if not self._is_stopped:
                self._line.append(row)
                if len(self._line) <= 1:  # else who takes rows knows of some
                    self._tell()

    def _tell(self) -> None:
        if not self._is_stopped:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._news.set)
