"""Processes in one loop on virtual time, each of which can end at any await and at any effect.

A process is what its tasks do: those it was given and those they start. At its end nothing of it
runs any more: each of its coroutines is unwound where it waits, no wait on the way out is honoured,
and its disk fails every call, so that no ``finally`` has an effect. Work for threads is done on the
loop, each executor's in order, and takes time from the seed; a process may end before it, in it
and between it and whoever waits for it. A process can be stopped, too, with everything of it, and
goes on later as if nothing had been, at a time that is not its own.
"""

import asyncio
import random
import weakref
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor
from contextvars import Context, ContextVar, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tests.support.failing_disk import Crash
from tests.support.virtual_time import VirtualLoop
from typing_extensions import override

if TYPE_CHECKING:
    from tests.support.sim_sockets import LocalSockets

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
        sockets: Those of its machine, where it has any.

    Attributes:
        has_ended: It is over; nothing of it runs any more.
        is_stopped: Nothing of it runs until it is woken.
        steps: The turns its tasks have had.
    """

    def __init__(
        self,
        name: str,
        *,
        on_end: Callable[["Process", str], None],
        ends_at_step: int | None = None,
        sockets: "LocalSockets | None" = None,
    ) -> None:
        self.name: Final = name
        self.sockets: Final = sockets
        self.has_ended = False
        self.is_stopped = False
        self.steps = 0
        self._held: list[asyncio.Handle] = []
        self._context: Final = copy_context()
        self._context.run(_current.set, self)
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
        self._let_go()  # its tasks hear that they are over
        self._on_end(self, why)

    def stop(self) -> None:
        """Have nothing of it run, once what is due at this very moment has."""
        if not self.has_ended and not self.is_stopped:
            self.is_stopped = True
            _loop().stopped.add(self)

    def wake(self) -> None:
        """Let it go on: what came meanwhile is there at once."""
        self._let_go()

    def hold(self, handle: asyncio.Handle) -> None:
        """Keep what is to run until it is woken."""
        self._held.append(handle)

    def call(self, callback: Callable[..., None], *args: Any) -> None:  # noqa: ANN401 - passed on
        """Have a callback of it run, as one of its turns; not from within another one."""
        if self.is_stopped:
            self.hold(asyncio.Handle(self.call, (callback, *args), _loop(), Context()))
            return
        if not self.has_ended:
            self.take_step()
        if self.is_over():
            return
        try:
            self._context.run(callback, *args)
        except Crash:
            self.end("at an effect")

    def _let_go(self) -> None:
        if not self.is_stopped:
            return
        self.is_stopped = False
        loop = _loop()
        loop.stopped.discard(self)
        held, self._held = self._held, []
        for handle in held:
            if not handle.cancelled():
                loop.call_soon(handle._run, context=Context())

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


class _Work:
    """A piece of work that a thread of a process would do."""

    def __init__(
        self,
        loop: "ProcessLoop",
        process: Process | None,
        future: "asyncio.Future[Any]",
        work: Callable[[], Any],
        ends_s: float,
    ) -> None:
        self._loop = loop
        self._process = process
        self._future = future
        self._work = work
        self._ends_s = ends_s

    def begin(self) -> None:
        if not self._is_due(self.begin):
            return
        try:
            result = self._work()
        except Crash:
            assert self._process is not None
            self._process.end("at an effect")
            return
        except Exception as error:  # noqa: BLE001 - the future's
            give = partial(self._give, self._future.set_exception, error)
        else:
            give = partial(self._give, self._future.set_result, result)
        self._loop.call_at(max(self._ends_s, self._loop.time()), give)

    def _give(self, give: Callable[[Any], None], end: Any) -> None:  # noqa: ANN401 - the work's
        if self._is_due(partial(self._give, give, end)):
            give(end)

    def _is_due(self, again: Callable[[], None]) -> bool:
        """Tell whether it is to go on; while its process is stopped it waits for that to wake."""
        process = self._process
        if self._future.cancelled() or (process is not None and process.has_ended):
            return False
        if process is not None and process.is_stopped:
            process.hold(asyncio.Handle(again, (), self._loop))
            return False
        return True


class ProcessLoop(VirtualLoop):
    """A loop on virtual time whose threads are none.

    Args:
        chance: Decides how long work for a thread takes.

    Attributes:
        work_s_max: The most that one piece takes.
    """

    def __init__(self, chance: random.Random) -> None:
        super().__init__(has_others=False)
        self._chance = chance
        self._busy_until: weakref.WeakKeyDictionary[Executor, float] = weakref.WeakKeyDictionary()
        self.work_s_max = 0.01
        self.stopped: Final[set[Process]] = set()
        self.set_task_factory(_task_of)

    @override
    def call_soon(  # type: ignore[override]  # as it is
        self,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.Handle:
        if self.stopped:
            process = _current.get() if context is None else context.get(_current)
            if process is not None and process.is_stopped:
                handle = asyncio.Handle(callback, args, self, context)
                process.hold(handle)
                return handle
        return super().call_soon(callback, *args, context=context)

    @override
    async def create_unix_connection(  # type: ignore[override]  # what workers ask for
        self, protocol_factory: Callable[[], Any], path: str
    ) -> tuple[Any, Any]:
        process = _current.get()
        assert process is not None
        assert process.sockets is not None
        return await process.sockets.connect(process, path, protocol_factory)

    @override
    async def create_unix_server(  # type: ignore[override]  # what workers ask for
        self, protocol_factory: Callable[[], Any], *, sock: Any
    ) -> Any:
        sock.begin(protocol_factory)
        return sock

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

        work = _Work(self, process, future, partial(func, *args), ends_s)
        self.call_at(begins_s, work.begin)
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


def _loop() -> ProcessLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, ProcessLoop)
    return loop


def run_processes(main: Coroutine[Any, Any, _T], chance: random.Random) -> _T:
    """Run the world that processes live in to its end."""
    with asyncio.Runner(loop_factory=lambda: ProcessLoop(chance)) as runner:
        return runner.run(main)
