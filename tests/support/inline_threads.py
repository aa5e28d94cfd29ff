"""Threads that are none: what is handed to one is done at once, so that a run is one order of work.

For code that hands its blocking work to executors, on an event loop with virtual time.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import pytest
from typing_extensions import override

from fractal_lba.wal import group_commit

_P = ParamSpec("_P")
_T = TypeVar("_T")


class InlineExecutor(ThreadPoolExecutor):
    """Does the work in ``submit``; what it raises that is no ``Exception`` is raised there."""

    @override
    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        done: Future[_T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - the future's
            done.set_exception(error)
        return done


@contextmanager
def without_threads() -> Iterator[None]:
    """Have every group commit do its work inline."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(group_commit, "ThreadPoolExecutor", InlineExecutor)
        yield


def quiet(_loop: asyncio.AbstractEventLoop, _context: dict[str, Any]) -> None:
    """Take what a task nobody awaits has raised: a process that ended says nothing."""
