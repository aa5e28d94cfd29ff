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
        left = agent.close()
        assert (left.windows, left.rows_left) == (2, 0)  # the rows behind the first are one too
        with pytest.raises(ContractError, match="got one that is closed"):
            watching.result(ENDS_S_MAX)
    finally:
        is_over.set()


def test_threads_give_a_stream_its_rows_one_by_one(rig: AgentRig) -> None:
    with agent_of(rig, grace_s=0.0) as agent:
        with agent.stream("rows", window=5, meta={"task": "t"}) as rows:
            adding = [in_thread(lambda: [rows.add([at, at]) for at in range(9)]) for _ in range(4)]
            found = [each for thread in adding for each in thread.result(ENDS_S_MAX)]
            kept = [each for each in found if each is not None]
            assert sorted(each.epoch for each in kept) == list(range(6))
            assert {(each.shard_id, each.n) for each in kept} == {("rows", 5)}
            rows.watch([at, at] for at in range(4))
            assert agent.pending().windows == 7
        assert agent.pending().windows == 8  # closing cut what waited
    assert agent.pending().windows == 8
    known = read_status(RealDisk(), rig.data, has_ids=True)
    assert known.members()["pending"] == 8


def test_a_callback_may_ask_what_is_pending(rig: AgentRig) -> None:
    agent = agent_of(rig, grace_s=0.0)
    assert agent.pending().windows == 0  # also before it was opened
    agent.open()
    asked: Future[int] = Future()

    def ask() -> None:
        asked.set_result(agent.pending().windows)

    agent.observe(b"some text")
    loop = agent._loop
    assert loop is not None
    loop.call_soon_threadsafe(ask)
    assert asked.result(ENDS_S_MAX) == 1
    agent.close()


def test_a_row_given_to_a_stream_of_a_closed_agent_is_refused_and_the_others_are_kept(
    rig: AgentRig,
) -> None:
    agent = agent_of(rig, grace_s=0.0)
    agent.open()
    rows = agent.stream(window=9)
    for at in range(5):
        assert rows.add([at]) is None
    left = agent.close()
    assert (left.windows, left.rows_left) == (1, 0)
    with pytest.raises(ContractError, match="got one that is not open"):
        rows.add([5])


def test_what_the_body_of_a_stream_raises_comes_out(rig: AgentRig) -> None:
    def use(agent: SyncAgent) -> None:
        with agent.stream() as rows:
            rows.add([1.0])
            raise LookupError("mine")

    with agent_of(rig, grace_s=0.0) as agent, pytest.raises(LookupError, match="mine") as raised:
        use(agent)
    assert raised.value.__notes__ == [
        "stream s: expected 3 rows or more at its end, got 1, which were not observed"
    ]


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
