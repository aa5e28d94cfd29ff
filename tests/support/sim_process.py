"""Processes in one loop on virtual time, each of which can end at any await and at any effect.

A process is what its tasks do: those it was given and those they start. At its end nothing of it
runs any more: each of its coroutines is unwound where it waits, no wait on the way out is honoured,
and its disk fails every call, so that no ``finally`` has an effect. Work for threads is done on the
loop, each executor's in order, and takes time from the seed; a process may end before it, in it
and between it and whoever waits for it.
"""

import asyncio
import random
import weakref
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final, TypeVar

from tests.support.failing_disk import Crash
from tests.support.virtual_time import VirtualLoop
from typing_extensions import override

_T = TypeVar("_T")

_UNWINDINGS_MAX: Final = 100
"""Waits on the way out of one coroutine."""

_current: ContextVar["Process | None"] = ContextVar("process", default=None)


class Process:
    """One process.

    Args:
        name: For traces.
        on_end: Called once, when it has ended.
        ends_at_step: The turn of one of its tasks that it does not live to see; ``None`` for none.

    Attributes:
        has_ended: It is over; nothing of it runs any more.
        steps: The turns its tasks have had.
    """

    def __init__(
        self,
        name: str,
        *,
        on_end: Callable[["Process", str], None],
        ends_at_step: int | None = None,
    ) -> None:
        self.name: Final = name
        self.has_ended = False
        self.steps = 0
        self._on_end = on_end
        self._ends_at_step = ends_at_step
        self._coroutines: list[_Turns] = []
        self._tasks: list[asyncio.Task[Any]] = []

    def start(self, main: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Let the process do something; an unexpected exception of it is the task's."""
        context = copy_context()
        context.run(_current.set, self)
        return asyncio.get_running_loop().create_task(main, context=context)

    def end(self, why: str) -> None:
        """End it here and now."""
        if self.has_ended:
            return
        self.has_ended = True
        for each in self._coroutines:
            each.unwind()
        for task in self._tasks:
            task.cancel()
        self._on_end(self, why)

    def is_over(self) -> bool:
        """Return ``has_ended`` as it is by now."""
        return self.has_ended

    def adopt(self, coroutine: "_Turns", task: "asyncio.Task[Any]") -> None:
        self._coroutines = [each for each in self._coroutines if not each.is_over]
        self._tasks = [each for each in self._tasks if not each.done()]
        self._coroutines.append(coroutine)
        self._tasks.append(task)

    def take_step(self) -> None:
        self.steps += 1
        if self.steps == self._ends_at_step:
            self.end("at an await")


class _Turns(Coroutine[Any, Any, Any]):
    """A coroutine of a process, turn by turn."""

    def __init__(self, process: Process, inner: Coroutine[Any, Any, Any]) -> None:
        self._process = process
        self._inner = inner
        self._is_running = False
        self.is_over = False

    @override
    def send(self, value: Any) -> Any:
        return self._turn(lambda: self._inner.send(value))

    @override
    def throw(self, *error: Any) -> Any:
        return self._turn(lambda: self._inner.throw(*error))

    @override
    def close(self) -> None:
        self._inner.close()

    @override
    def __await__(self) -> Generator[Any, Any, Any]:
        raise AssertionError("a task's own coroutine is awaited by nobody")

    def unwind(self) -> None:
        """Leave the coroutine, whatever it still wants to wait for."""
        if self._is_running or self.is_over:
            return  # it is unwound at the end of its turn
        self.is_over = True
        for _ in range(_UNWINDINGS_MAX):
            try:
                self._inner.throw(Crash("the process ended"))
            except BaseException:  # noqa: BLE001 - nobody is left to be told
                return
        raise AssertionError(f"{self._process.name}: a coroutine waits again and again")

    def _turn(self, resume: Callable[[], Any]) -> Any:  # noqa: ANN401 - a coroutine's
        if not self._process.has_ended:
            self._process.take_step()
        if self._process.has_ended:
            self.unwind()
            raise StopIteration
        self._is_running = True
        try:
            waited_for = resume()
        except Crash:
            self.is_over = True
            self._process.end("at an effect")
            raise StopIteration from None
        except BaseException:
            self.is_over = True
            raise
        finally:
            self._is_running = False
        if self._process.is_over():
            self.unwind()
            raise StopIteration
        return waited_for


class ProcessLoop(VirtualLoop):
    """A loop on virtual time whose threads are none.

    Args:
        chance: Decides how long work for a thread takes.

    Attributes:
        work_s_max: The most that one piece takes.
    """

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self._busy_until: weakref.WeakKeyDictionary[Executor, float] = weakref.WeakKeyDictionary()
        self.work_s_max = 0.01
        self.set_task_factory(_task_of)

    @override
    def run_in_executor(  # type: ignore[override]  # a future of this loop is what everybody awaits
        self,
        executor: Executor | None,
        func: Callable[..., _T],
        *args: Any,
    ) -> "asyncio.Future[_T]":
        process = _current.get()
        future: asyncio.Future[_T] = self.create_future()
        begins_s = self.time() + self._chance.random() * self.work_s_max
        ends_s = begins_s + self._chance.random() * self.work_s_max
        if executor is not None:  # one thread: in order
            wait_s = max(0.0, self._busy_until.get(executor, 0.0) - begins_s)
            begins_s, ends_s = begins_s + wait_s, ends_s + wait_s
            self._busy_until[executor] = ends_s

        def begin() -> None:
            if future.cancelled() or (process is not None and process.has_ended):
                return
            try:
                result = func(*args)
            except Crash:
                assert process is not None
                process.end("at an effect")
            except Exception as error:  # noqa: BLE001 - the future's
                self.call_at(ends_s, give, error, None)
            else:
                self.call_at(ends_s, give, None, result)

        def give(error: Exception | None, result: Any) -> None:  # noqa: ANN401 - the work's
            if future.cancelled() or (process is not None and process.has_ended):
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

        self.call_at(begins_s, begin)
        return future


def _task_of(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, _T] | Generator[Any, None, _T],
    *,
    context: Context | None = None,
    **named: Any,  # noqa: ANN401 - passed on
) -> "asyncio.Task[_T]":
    process = _current.get() if context is None else context.get(_current)
    if process is None or not isinstance(coroutine, Coroutine):
        return asyncio.Task(coroutine, loop=loop, context=context, **named)
    turns = _Turns(process, coroutine)
    task: asyncio.Task[_T] = asyncio.Task(turns, loop=loop, context=context, **named)
    process.adopt(turns, task)
    return task


def run_processes(main: Coroutine[Any, Any, _T], chance: random.Random) -> _T:
    """Run the world that processes live in to its end."""
    with asyncio.Runner(loop_factory=lambda: ProcessLoop(chance)) as runner:
        return runner.run(main)
