"""The agent for programs without an event loop: its own thread and loop, used from any thread.

The rule: every call is handed to the one loop on which an ``Agent`` lives, and waits for it. So
threads that observe at the same time share a sync of the disk. A call is handed over before the
agent is closed, and then it ends, or it is refused: no thread waits for a loop that has stopped.
"""

import asyncio
import logging
import threading
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError
from types import TracebackType
from typing import Self, TypeVar

from numpy.typing import ArrayLike
from typing_extensions import Unpack

from fractal_lba.agent.api import Agent, Pending
from fractal_lba.agent.closing import noted_on
from fractal_lba.agent.feeding import WINDOW_DEFAULT, RowStream
from fractal_lba.agent.keeper import Observed
from fractal_lba.agent.options import AgentOptions
from fractal_lba.protocol import ContractError, DurabilityError, FractalError

_T = TypeVar("_T")

_LOG = logging.getLogger("fractal_lba.agent")


class SyncAgent:
    """An ``Agent`` whose methods block; usable from many threads at once.

    Callbacks and hooks are called on its own thread, from which its methods cannot be called.
    """

    def __init__(self, **options: Unpack[AgentOptions]) -> None:
        """Prepare an agent; nothing is read or sent yet. See ``AgentOptions``.

        Raises:
            ContractError: An option cannot be used.
        """
        self._agent = Agent(**options)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._is_over = False
        # Both may be met again by the thread that holds them, in the handler of a signal.
        self._handing = threading.RLock()
        self._closing = threading.RLock()

    def __enter__(self) -> Self:
        """See ``open``."""
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """See ``close``; what the body raised comes out, with what closing met as a note."""
        with noted_on(error, DurabilityError):
            self.close()

    def open(self) -> None:
        """See ``Agent.open``."""
        with self._handing:
            if self._loop is not None:
                raise ContractError("agent: expected one that was not opened yet, got one that was")
            self._loop = asyncio.new_event_loop()
            # A program that ends without closing must not wait: what was observed is on disk.
            self._thread = threading.Thread(
                target=self._run, args=(self._loop,), name="fractal-agent", daemon=True
            )
            self._thread.start()
        try:
            self.call(self._agent.open())
        except BaseException:
            self._end()
            raise

    def close(self) -> Pending:
        """See ``Agent.close``; every call that other threads wait for ends.

        A ``watch`` whose iterator has not ended raises ContractError: what the iterator had handed
        over is in windows, or counted in what this returns.
        """
        self._not_from_its_own_thread()  # which whoever closes waits for
        with self._closing:
            if self._thread is None:
                return self._agent.pending()
            try:
                return self.call(self._agent.close())
            finally:
                self._end()

    def observe(
        self,
        points: ArrayLike | bytes,
        *,
        shard_id: str | None = None,
        meta: Mapping[str, str | int | bool] | None = None,
        trace_id: str | None = None,
    ) -> Observed:
        """See ``Agent.observe``."""
        return self.call(
            self._agent.observe(points, shard_id=shard_id, meta=meta, trace_id=trace_id)
        )

    def watch(
        self,
        rows: Iterable[Sequence[float]],
        shard_id: str | None = None,
        *,
        window: int = WINDOW_DEFAULT,
        period_s: float | None = None,
    ) -> None:
        """See ``Agent.watch``; the iterator is read in a thread of the agent's."""
        self.call(self._agent.watch(rows, shard_id, window=window, period_s=period_s))

    def stream(
        self,
        shard_id: str | None = None,
        *,
        window: int = WINDOW_DEFAULT,
        period_s: float | None = None,
        meta: Mapping[str, str | int | bool] | None = None,
    ) -> "SyncRowStream":
        """See ``Agent.stream``: ``with agent.stream() as rows``."""

        async def begin() -> RowStream:
            return self._agent.stream(shard_id, window=window, period_s=period_s, meta=meta)

        return SyncRowStream(self.call(begin()), self)

    def pending(self) -> Pending:
        """See ``Agent.pending``; it does not wait, also on the agent's own thread."""

        async def ask() -> Pending:
            return self._agent.pending()

        with self._handing:
            if self._thread in (None, threading.current_thread()):
                return self._agent.pending()
        return self.call(ask())

    def flush(self, deadline_s: float) -> Pending:
        """See ``Agent.flush``."""
        return self.call(self._agent.flush(deadline_s))

    def is_pending(self, observed: Observed) -> bool:
        """See ``Agent.is_pending``."""
        return self._agent.is_pending(observed)

    def counts(self) -> dict[str, object]:
        """See ``Agent.counts``."""
        return self._agent.counts()

    @property
    def metrics_url(self) -> str | None:
        """Where the metrics are; None where nobody asked for them."""
        return self._agent.metrics_url

    def call(self, work: Coroutine[object, object, _T]) -> _T:
        """Do some work on the agent's loop and return what it returns.

        Raises:
            ContractError: The agent is not open, was closed before the work's end, or it is its own
                thread that asks.
        """
        with self._handing:
            loop, thread = self._loop, self._thread
            if loop is None or thread is None or thread is threading.current_thread():
                work.close()
                raise ContractError(
                    _refusal("one that is not open" if thread is None else "its own")
                )
            handed = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return handed.result()
        except CancelledError:
            raise ContractError(_refusal("one that was closed before the call's end")) from None

    def _not_from_its_own_thread(self) -> None:
        if self._thread is threading.current_thread():
            raise ContractError(_refusal("its own"))

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run the loop until it is asked to stop, whatever code of the caller's raises on it."""
        while not self._is_over:
            try:
                loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                # An iterator's, for one: asyncio gives it to the call that met it, and to us too.
                _LOG.warning("agent: expected no exit on its loop, got %s", type(error).__name__)
        loop.close()

    def _end(self) -> None:
        """Refuse calls from now on, end those that were handed over, and stop the loop."""
        with self._handing:
            loop, thread, self._thread = self._loop, self._thread, None
            if loop is None or thread is None:
                return
            asyncio.run_coroutine_threadsafe(self._stop(loop), loop)
        thread.join()

    async def _stop(self, loop: asyncio.AbstractEventLoop) -> None:
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for each in others:
                each.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        # In its turn: behind what gives the last calls' results to whoever waits for them.
        loop.call_soon(self._stopped, loop)

    def _stopped(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_over = True
        loop.stop()


class SyncRowStream:
    """A ``RowStream`` whose methods block; usable from many threads at once, a context manager.

    Rows are in one order, that of the calls. A row was handed over when its call began: whoever is
    interrupted while it waits (Ctrl-C) finds the row in a window all the same.
    """

    def __init__(self, rows: RowStream, agent: SyncAgent) -> None:
        """Wrap the rows; ``SyncAgent.stream`` is the usual way."""
        self._rows = rows
        self._agent = agent

    def __enter__(self) -> Self:
        """See ``RowStream``."""
        self._agent.call(self._rows.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """See ``close``; what the body raised comes out, with what closing met as a note."""
        with noted_on(error, FractalError):
            self.close()

    def add(self, row: Sequence[float]) -> Observed | None:
        """See ``RowStream.add``."""
        return self._agent.call(self._rows.add(row))

    def watch(self, rows: Iterable[Sequence[float]]) -> None:
        """See ``RowStream.watch``; the iterator is read in a thread of the agent's."""
        self._agent.call(self._rows.watch(rows))

    def close(self) -> None:
        """See ``RowStream.close``."""
        self._agent.call(self._rows.close())


def _refusal(what: str) -> str:
    return f"agent: expected an open one, called from another thread, got {what}"
