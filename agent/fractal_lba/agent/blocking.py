"""The agent for programs without an event loop: its own thread and loop, used from any thread.

The rule: every call is handed to the one loop on which an ``Agent`` lives, and waits for it. So
threads that observe at the same time share a sync of the disk, and nothing needs a lock.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar

from numpy.typing import ArrayLike
from typing_extensions import Unpack

from fractal_lba.agent.api import Agent, Pending
from fractal_lba.agent.feeding import WINDOW_DEFAULT
from fractal_lba.agent.keeper import Observed
from fractal_lba.agent.options import AgentOptions
from fractal_lba.protocol import ContractError

_T = TypeVar("_T")


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
        self._closing = threading.Lock()

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
        """See ``close``."""
        self.close()

    def open(self) -> None:
        """See ``Agent.open``."""
        if self._loop is not None:
            raise ContractError("agent: expected one that was not opened yet, got one that was")
        self._loop = asyncio.new_event_loop()
        # A program that ends without closing must not wait for it: what was observed is on disk.
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="fractal-agent", daemon=True
        )
        self._thread.start()
        try:
            self._call(self._agent.open())
        except BaseException:
            self._end()
            raise

    def close(self) -> Pending:
        """See ``Agent.close``."""
        with self._closing:
            if self._thread is None:
                return self._agent.pending()
            try:
                return self._call(self._agent.close())
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
        return self._call(
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
        self._call(self._agent.watch(rows, shard_id, window=window, period_s=period_s))

    def flush(self, deadline_s: float) -> Pending:
        """See ``Agent.flush``."""
        return self._call(self._agent.flush(deadline_s))

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

    def _call(self, work: Coroutine[object, object, _T]) -> _T:
        """Do the work on the agent's loop and return what it returns."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None or thread is threading.current_thread():
            work.close()
            what = "one that is not open" if thread is None else "its own"
            raise ContractError(
                f"agent: expected an open one, called from another thread, got {what}"
            )
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    def _end(self) -> None:
        loop, thread = self._loop, self._thread
        self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
