"""Group commit: what arrives while a commit is under way forms the next batch.

One named thread does the blocking work, so that writes of one stream stay in order and never run on
the event loop; whoever has such a thread lends it. Batches grow under load and stay at one item
when idle. The queue is bounded in items and bytes: over the bound a submitter is refused at once,
before memory grows. Submitters that name whose turn it is share a batch in turns, so that one with
much waiting delays no other.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Generic, Protocol, TypeVar

from fractal_lba.protocol.errors import ContractError, UnavailableError

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
OtherT = TypeVar("OtherT")

IDLE_AFTER_S = 0.1
"""How long after a batch the idle work runs when no other batch follows (the durable mark of the
segment format)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one committer may hold.

    ``items_max`` and ``bytes_max`` bound a batch, ``queue_items_max`` and ``queue_bytes_max`` what
    waits for one, each 1 or more. An item may count for several. A single one over ``items_max`` or
    ``bytes_max`` forms a batch of its own.
    """

    items_max: int
    bytes_max: int
    queue_items_max: int
    queue_bytes_max: int

    def __post_init__(self) -> None:
        """Check that each lets something through.

        Raises:
            ContractError: One does not, and whoever submitted would wait for ever.
        """
        for name in self.__slots__:
            value: int = getattr(self, name)
            if value < 1:
                raise ContractError(f"group commit: expected {name} of 1 or more, got {value}")


class Runner(Protocol):
    """Where blocking work is done, one piece after the other, in the order it was given."""

    def __call__(self, work: Callable[[], OtherT], /) -> Awaitable[OtherT]:
        """Do the work off the event loop and return what it returns."""


class _OwnThread:
    """A runner on a thread of its own."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def __call__(self, work: Callable[[], OtherT], /) -> OtherT:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def end(self) -> None:
        self._pool.shutdown(wait=True)


@dataclass(slots=True)
class _Waiting(Generic[ItemT, ResultT]):
    item: ItemT
    count: int
    size: int
    answer: asyncio.Future[ResultT] | None


class GroupCommit(Generic[ItemT, ResultT]):
    """Run blocking work on batches of submitted items.

    Args:
        name: Of the thread, and in error messages.
        work: Takes a batch, returns one result for each item in the same order; runs on the
            thread. A result that is an exception is raised to that item's submitter alone; an
            exception raised by ``work`` itself goes to every submitter of the batch.
        bounds: Of the batch and of the queue.
        run: Does the work; by default a thread of its own with that name.
        done: Takes a batch and its results on the event loop, before any submitter does, and
            whether anyone still waits or not.
        is_for_its_submitter: The work changes nothing: what nobody waits for any longer is not
            done. Otherwise what was taken is committed, come what may.
        idle: Runs on the same thread when no batch followed within ``idle_after_s`` of the last
            one, and at close. Its failure reaches ``idle_failed``.
        idle_failed: Takes what ``idle`` raised; runs on the event loop.
        idle_after_s: In seconds.

    Attributes:
        last: The item given last, as long as nothing was taken since: it may still grow. Else none.
    """

    def __init__(  # noqa: PLR0913 - each is a setting of its own, named at the call
        self,
        name: str,
        work: Callable[[Sequence[ItemT]], Sequence[ResultT | Exception]],
        *,
        bounds: Bounds,
        run: Runner | None = None,
        done: Callable[[Sequence[ItemT], Sequence[ResultT | Exception]], None] | None = None,
        is_for_its_submitter: bool = False,
        idle: Callable[[], None] | None = None,
        idle_failed: Callable[[Exception], None] | None = None,
        idle_after_s: float = IDLE_AFTER_S,
    ) -> None:
        self._name = name
        self._work = work
        self._bounds = bounds
        self._done = done
        self._is_for_its_submitter = is_for_its_submitter
        self._idle = idle
        self._idle_failed = idle_failed
        self._idle_after_s = idle_after_s
        self._queue: OrderedDict[str, deque[_Waiting[ItemT, ResultT]]] = OrderedDict()
        self._queue_items = 0
        self._queue_bytes = 0
        self.last: ItemT | None = None
        self._growing: _Waiting[ItemT, ResultT] | None = None
        self._spare_items = self._spare_bytes = -1
        self._could_grow = self._could_fill = -1
        self._under_way: list[_Waiting[ItemT, ResultT]] = []
        self._wake = asyncio.Event()
        self._is_closing = False
        self._thread: _OwnThread | None = None
        if run is None:
            run = self._thread = _OwnThread(name)
        self._do: Runner = run
        self._task = asyncio.get_running_loop().create_task(self._run(), name=name)

    async def submit(
        self, item: ItemT, *, count: int = 1, size: int = 0, turn: str = ""
    ) -> ResultT:
        """Return the item's result once its batch is done.

        The item is queued before anything is awaited. Items of one ``turn`` are taken in their
        order, and of several turns one of each in turn. An item may be several things of one
        submitter, which are never parted: it then counts for as many as they are.

        A submitter that is cancelled while it waits takes nothing back: the item is still
            committed, unless the work is for its submitter alone.

        Raises:
            UnavailableError: The queue is full or the committer is closing; the item was not taken.
        """
        answer: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
        self._give(item, count, size, turn, answer)
        return await answer

    def give(self, item: ItemT, *, count: int = 1, size: int = 0, turn: str = "") -> None:
        """Queue an item whose result ``done`` alone is told.

        Raises:
            UnavailableError: As ``submit``.
        """
        self._give(item, count, size, turn, None)

    def grow(self, count: int, size: int) -> bool:
        """Count more things and bytes for ``last``, to which its giver adds in place of an item.

        Returns:
            False where there is none, it would be more than a batch may be, or the queue has no
            room or is closing: nothing was counted, and the item must stay as it is.
        """
        items, bytes_ = self._spare_items - count, self._spare_bytes - size
        if items < 0 or bytes_ < 0:
            return False
        self._spare_items, self._spare_bytes = items, bytes_
        return True

    async def call(self, work: Callable[[], OtherT]) -> OtherT:
        """Run one piece of work on the committer's thread, between two batches."""
        return await self._do(work)

    async def close(self) -> None:
        """Commit what was taken, run the idle work a last time, end the thread. Idempotent."""
        self._is_closing = True
        self._stop_growing()
        self._wake.set()
        try:
            await asyncio.shield(self._task)
        finally:
            if self._thread is not None:
                self._thread.end()

    def _give(
        self,
        item: ItemT,
        count: int,
        size: int,
        turn: str,
        answer: asyncio.Future[ResultT] | None,
    ) -> None:
        if self._is_closing:
            raise UnavailableError(f"{self._name}: expected an open queue, got one that is closing")
        bounds = self._bounds
        self._stop_growing()
        if (
            self._queue_items + count > bounds.queue_items_max
            or self._queue_bytes + size > bounds.queue_bytes_max
        ):
            raise UnavailableError(
                f"{self._name}: expected at most {bounds.queue_items_max} items and"
                f" {bounds.queue_bytes_max} bytes waiting, got one more"
            )
        waiting = self._queue.get(turn)
        if waiting is None:
            waiting = self._queue[turn] = deque()
        given = _Waiting(item, count, size, answer)
        waiting.append(given)
        self._queue_items += count
        self._queue_bytes += size
        self._let_grow(given)
        self._wake.set()

    def _let_grow(self, given: _Waiting[ItemT, ResultT]) -> None:
        bounds = self._bounds
        self.last, self._growing = given.item, given
        self._spare_items = self._could_grow = min(
            bounds.items_max - given.count, bounds.queue_items_max - self._queue_items
        )
        self._spare_bytes = self._could_fill = min(
            bounds.bytes_max - given.size, bounds.queue_bytes_max - self._queue_bytes
        )

    def _stop_growing(self) -> None:
        """Count what ``last`` grew by; there is none from here on."""
        given = self._growing
        if given is None:
            return
        count, size = self._could_grow - self._spare_items, self._could_fill - self._spare_bytes
        given.count += count
        given.size += size
        self._queue_items += count
        self._queue_bytes += size
        self.last = self._growing = None
        self._spare_items = self._spare_bytes = -1

    async def _run(self) -> None:
        try:
            await self._serve()
        except BaseException as error:
            # Nobody is left waiting for a committer that is gone: a bug, or the loop ends.
            self._is_closing = True
            failure = UnavailableError(
                f"{self._name}: expected a commit, got {type(error).__name__}"
            )
            left = [*self._under_way, *chain.from_iterable(self._queue.values())]
            if self._done is not None:
                self._done([waiting.item for waiting in left], [failure] * len(left))
            for waiting in left:
                if waiting.answer is not None and not waiting.answer.done():
                    waiting.answer.set_exception(failure)
            self._queue.clear()
            self._queue_items = 0
            raise

    async def _serve(self) -> None:
        has_idle = is_idle_due = self._idle is not None
        while True:
            if self._queue:
                await self._commit(self._wanted(self._take()))
                is_idle_due = has_idle
                continue
            if self._is_closing:
                await self._run_idle()
                return
            self._wake.clear()
            if not is_idle_due:
                await self._wake.wait()
                continue
            try:
                async with asyncio.timeout(self._idle_after_s):
                    await self._wake.wait()
            except TimeoutError:
                await self._run_idle()
                is_idle_due = False

    def _take(self) -> list[_Waiting[ItemT, ResultT]]:
        batch: list[_Waiting[ItemT, ResultT]] = []
        count = size = 0
        items_max, bytes_max = self._bounds.items_max, self._bounds.bytes_max
        is_within = True
        self._stop_growing()
        while self._queue and is_within and count < items_max:
            turn, waiting = next(iter(self._queue.items()))
            # One of each in turn; where nobody else waits, as many as there are.
            until = items_max if len(self._queue) == 1 else count + 1
            while waiting and count < until:
                following = waiting[0]
                if batch and (
                    count + following.count > items_max or size + following.size > bytes_max
                ):
                    is_within = False
                    break
                batch.append(waiting.popleft())
                count += following.count
                size += following.size
            if not waiting:
                del self._queue[turn]
            elif is_within:
                self._queue.move_to_end(turn)
        self._queue_items -= count
        self._queue_bytes -= size
        return batch

    def _wanted(self, batch: list[_Waiting[ItemT, ResultT]]) -> list[_Waiting[ItemT, ResultT]]:
        if not self._is_for_its_submitter:
            return batch
        return [
            waiting for waiting in batch if waiting.answer is None or not waiting.answer.cancelled()
        ]

    async def _commit(self, batch: list[_Waiting[ItemT, ResultT]]) -> None:
        if not batch:
            return
        self._under_way = batch
        items = [waiting.item for waiting in batch]
        try:
            results: Sequence[ResultT | Exception] = await self._do(lambda: self._work(items))
        except Exception as error:  # noqa: BLE001 - not swallowed: every submitter of the batch gets it
            results = [error] * len(batch)
        self._under_way = []
        if self._done is not None:
            self._done(items, results)
        for waiting, result in zip(batch, results, strict=True):
            if waiting.answer is None or waiting.answer.cancelled():
                continue
            if isinstance(result, Exception):
                waiting.answer.set_exception(result)
            else:
                waiting.answer.set_result(result)

    async def _run_idle(self) -> None:
        if self._idle is None:
            return
        try:
            await self._do(self._idle)
        except Exception as error:
            if self._idle_failed is None:
                raise
            self._idle_failed(error)
