"""The agent for threads: whoever calls it gets an answer or an error, however it ends."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TypedDict, TypeVar, Unpack

import pytest
from aiohttp import web
from tests.support.agent_process import AgentRig
from tests.support.scripted_server import Deciding, serving

from fractal_lba.agent import Outcome, SyncAgent
from fractal_lba.agent.options import Callback
from fractal_lba.agent.status import read_status
from fractal_lba.protocol import ContractError
from fractal_lba.wal import RealDisk

_T = TypeVar("_T")

NOBODY = "http://127.0.0.1:1"
THREADS = 4
ENDS_S_MAX = 60.0


class Others(TypedDict, total=False):
    """Options that differ from test to test."""

    grace_s: float
    on_accepted: Callback


@pytest.fixture
def rig(tmp_path: Path) -> AgentRig:
    return AgentRig(tmp_path)


def agent_of(rig: AgentRig, url: str = NOBODY, **options: Unpack[Others]) -> SyncAgent:
    return SyncAgent(data=rig.data, url=url, keyring=rig.keyring, shard_id="s", **options)


def in_thread(work: Callable[[], _T]) -> "Future[_T]":
    """Do something in a thread that keeps no process from ending where it never returns."""
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised by whoever asks for the result
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def until_refused(call: Callable[[], _T], first: threading.Barrier) -> list[_T]:
    found = [call()]
    first.wait(ENDS_S_MAX)
    with contextlib.suppress(ContractError):
        while True:
            found.append(call())
    return found


@pytest.mark.parametrize("_attempt", range(5))
def test_calls_that_race_with_closing_end(rig: AgentRig, _attempt: int) -> None:
    agent = agent_of(rig, grace_s=0.0)
    agent.open()
    first = threading.Barrier(THREADS + 1)
    calling = [
        in_thread(lambda: until_refused(lambda: agent.flush(0), first)) for _ in range(THREADS)
    ]
    first.wait(ENDS_S_MAX)
    agent.close()
    assert all(each.result(ENDS_S_MAX) for each in calling)


def test_each_window_that_was_observed_while_closing_is_on_disk(rig: AgentRig) -> None:
    agent = agent_of(rig, grace_s=0.0)
    agent.open()
    first = threading.Barrier(THREADS + 1)
    observing = [
        in_thread(lambda: until_refused(lambda: agent.observe(b"some text").pcs_id, first))
        for _ in range(THREADS)
    ]
    first.wait(ENDS_S_MAX)
    left = agent.close().windows
    observed = [pcs_id for each in observing for pcs_id in each.result(ENDS_S_MAX)]
    assert len(set(observed)) == len(observed) == left
    known = read_status(RealDisk(), rig.data, has_ids=True).ids or {}
    assert set(observed) == {each.pcs_id for each in known.values() if each.state == "pending"}


def test_closing_ends_a_watch_whose_iterator_has_not_ended(rig: AgentRig) -> None:
    is_asked, is_over = threading.Event(), threading.Event()

    def rows() -> Iterator[Sequence[float]]:
        yield from ([at, at] for at in range(8))  # a window, and what is not one yet
        is_asked.set()
        is_over.wait(ENDS_S_MAX)

    agent = agent_of(rig, grace_s=0.0)
    agent.open()
    watching = in_thread(lambda: agent.watch(rows(), window=4))
    try:
        assert is_asked.wait(ENDS_S_MAX)
        assert agent.close().windows == 1
        with pytest.raises(ContractError, match="got one that is closed"):
            watching.result(ENDS_S_MAX)
    finally:
        is_over.set()


def test_an_iterator_that_exits_ends_the_call_that_reads_it_alone(rig: AgentRig) -> None:
    def rows() -> Iterator[Sequence[float]]:
        yield from ([at, at] for at in range(4))
        raise SystemExit(3)

    with agent_of(rig, grace_s=0.0) as agent:
        with pytest.raises(SystemExit):
            in_thread(lambda: agent.watch(rows(), window=4)).result(ENDS_S_MAX)
        observing = in_thread(lambda: agent.observe(b"some text"))
        assert observing.result(ENDS_S_MAX).outbox_seq == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
async def test_a_callback_that_exits_is_logged_and_shipping_goes_on(
    rig: AgentRig, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def leave(_outcome: Outcome) -> None:
        raise error

    def use(url: str) -> int:
        with agent_of(rig, url, on_accepted=leave) as agent:
            agent.observe(b"some text")
            agent.flush(ENDS_S_MAX)
            agent.observe(b"another text")
            return agent.flush(ENDS_S_MAX).windows

    async with serving(Deciding()) as server:
        with caplog.at_level(logging.WARNING, logger="fractal_lba.agent"):
            using = in_thread(lambda: use(server.url))
            assert await asyncio.to_thread(using.result, ENDS_S_MAX) == 0
    said = f"callback on_accepted: expected no exception, got {error.__name__}"
    assert [record.getMessage() for record in caplog.records] == [said] * 2


@pytest.mark.asyncio
async def test_a_callback_that_closes_is_refused_while_another_thread_closes(
    rig: AgentRig,
) -> None:
    refused: list[str] = []
    is_closing = asyncio.Event()
    deciding = Deciding()

    async def answer(request: web.Request, body: bytes) -> web.StreamResponse:
        await is_closing.wait()
        return await deciding(request, body)

    def close(_outcome: Outcome) -> None:
        with pytest.raises(ContractError) as error:
            agent.close()
        refused.append(str(error.value))

    def observe_until_closing() -> None:
        with contextlib.suppress(ContractError):
            while True:
                agent.observe(b"some text")

    async with serving(answer) as server:
        agent = agent_of(rig, server.url, on_accepted=close, grace_s=ENDS_S_MAX)
        await asyncio.to_thread(agent.open)
        await asyncio.to_thread(agent.observe, b"some text")
        closing = in_thread(agent.close)
        await asyncio.to_thread(observe_until_closing)
        is_closing.set()
        assert (await asyncio.to_thread(closing.result, ENDS_S_MAX)).windows == 0
    assert set(refused) == {"agent: expected an open one, called from another thread, got its own"}
