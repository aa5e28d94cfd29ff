"""The agent inside real programs: threads, examples and the metrics endpoint, over real HTTP."""

import asyncio
import gc
import json
import re
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.agent_process import AgentRig, ended
from tests.support.scripted_server import Deciding, ScriptedServer, problem, scripted, serving

from fractal_lba.agent import Agent, Outcome, SyncAgent
from fractal_lba.agent.status import read_status
from fractal_lba.protocol import ContractError, LockedError
from fractal_lba.wal import RealDisk

pytestmark = pytest.mark.asyncio

EXAMPLES = Path(__file__).parents[2] / "agent" / "examples"
THREADS = 8
EACH = 12


def options(rig: AgentRig, url: str) -> dict[str, Any]:
    return {"data": rig.data, "url": url, "keyring": rig.keyring, "shard_id": "s", "grace_s": 30.0}


@pytest.fixture
def rig(tmp_path: Path) -> AgentRig:
    return AgentRig(tmp_path)


async def test_many_threads_share_an_agent_and_each_window_is_delivered_once(
    rig: AgentRig,
) -> None:
    deciding = Deciding()
    told: list[Outcome] = []

    def observe_from_threads(url: str) -> tuple[list[int], str]:
        with SyncAgent(
            **options(rig, url), on_accepted=told.append, metrics="127.0.0.1:0"
        ) as agent:

            def observe(thread: int) -> list[int]:
                numbers = np.random.default_rng(thread)
                return [agent.observe(numbers.normal(size=(8, 3))).epoch for _ in range(EACH)]

            with ThreadPoolExecutor(THREADS) as threads:
                epochs = [
                    epoch for found in threads.map(observe, range(THREADS)) for epoch in found
                ]
            assert agent.flush(60.0).windows == 0
            assert agent.counts()["acknowledged"] == THREADS * EACH
            assert agent.metrics_url is not None
            with urllib.request.urlopen(agent.metrics_url) as answer:  # noqa: S310 - our own
                return epochs, answer.read().decode()

    async with serving(deciding) as server:
        epochs, metrics = await asyncio.to_thread(observe_from_threads, server.url)
    assert sorted(epochs) == list(range(THREADS * EACH))
    assert sorted(epoch for _, epoch in deciding.windows) == list(range(THREADS * EACH))
    assert all(len(found) == 1 for found in deciding.windows.values())
    assert sorted(outcome.epoch for outcome in told) == list(range(THREADS * EACH))
    assert f"flk_agent_windows_observed_total {THREADS * EACH}.0" in metrics.splitlines()


@pytest.mark.parametrize("number", [0, 1])
async def test_the_programs_of_the_specification_run(rig: AgentRig, number: int) -> None:
    spec = (EXAMPLES.parents[1] / "specs" / "agent.md").read_text(encoding="utf-8")
    program = re.findall(r"^```python\n(.*?)^```$", spec, re.DOTALL | re.MULTILINE)[number]
    deciding = Deciding()
    async with serving(deciding) as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, str(rig.data), server.url, str(rig.keyring)),
            stdout=asyncio.subprocess.PIPE,
        )
        shown, _ = await process.communicate()
    assert process.returncode == 0
    assert shown.decode().splitlines()[-1] == "pending 0"
    stream = ("watched", "given")[number]
    assert {name for name, _ in deciding.windows} == {stream}
    assert len(deciding.windows) == 5


async def test_what_a_closed_agent_left_is_sent_by_the_command(rig: AgentRig) -> None:
    def observe(url: str) -> None:
        with SyncAgent(**options(rig, url) | {"grace_s": 0.0}) as agent:
            agent.observe(b"text that waits")

    async with serving(scripted(problem(503, "overloaded"))) as server:
        await asyncio.to_thread(observe, server.url)
    assert len(read_status(RealDisk(), rig.data, has_ids=False).contents.pending) == 1
    deciding = Deciding()
    async with serving(deciding) as server:
        end = await rig.run(server.url, "x.csv", "--window", "400")
    assert (end.code, end.report["resumed"]) == (0, 1)
    assert sorted(deciding.windows) == [("s", 0), ("x.csv", 0)]


async def test_a_sync_agent_is_refused_where_it_would_wait_for_itself_or_is_not_open(
    rig: AgentRig,
) -> None:
    refused: list[str] = []
    agents: list[SyncAgent] = []

    def observe_again(_outcome: Outcome) -> None:
        try:
            agents[0].observe(b"from its own thread")
        except ContractError as error:
            refused.append(str(error))

    def use(url: str) -> None:
        agent = SyncAgent(**options(rig, url), on_accepted=observe_again)
        agents.append(agent)
        with pytest.raises(ContractError, match="got one that is not open"):
            agent.observe(b"too early")
        with agent:
            with pytest.raises(LockedError):
                SyncAgent(**options(rig, url)).open()
            agent.observe(b"in time")
            agent.flush(60.0)
        assert agent.close().windows == 0
        with pytest.raises(ContractError, match="got one that is not open"):
            agent.observe(b"too late")

    before = threading.active_count()
    async with serving(Deciding()) as server:
        await asyncio.to_thread(use, server.url)
    assert refused == ["agent: expected an open one, called from another thread, got its own"]
    # asyncio.to_thread keeps its own.
    assert not [each for each in threading.enumerate() if each.name.startswith("fractal-agent")]
    assert threading.active_count() <= before + 1
    gc.collect()  # a coroutine nobody awaited would warn here


async def test_options_that_cannot_be_used_are_refused_before_anything_is_made(
    rig: AgentRig,
) -> None:
    for wrong, message in (
        ({"shard_id": "a|b"}, "shard_id"),
        ({"kid": "nobody"}, "a key 'nobody' that can sign"),
        ({"in_flight": 0}, "in_flight: expected 1 or more, got 0"),
        ({"metrics": "nowhere"}, "metrics: expected HOST:PORT"),
        ({"url": "ftp://server"}, "http"),
        ({"meta": {"NO": "x"}}, "meta"),
    ):
        with pytest.raises(ContractError, match=message):
            Agent(**options(rig, "http://127.0.0.1:1") | wrong)
    assert not rig.data.exists()


async def run_example(name: str, rig: AgentRig, server: ScriptedServer) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLES / name), str(rig.data), server.url, str(rig.keyring),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    end = await ended(process)
    assert (end.code, end.err) == (0, "")
    return end.out


async def test_the_example_with_tasks_runs(rig: AgentRig) -> None:
    async with serving(Deciding()) as server:
        said = await run_example("observe.py", rig, server)
    *accepted, pending = said.splitlines()
    assert sorted(accepted) == [
        f"accepted example-{side} {epoch}" for side in ("left", "right") for epoch in range(3)
    ]
    assert pending == "pending 0"
    assert {json.loads(body)["meta"]["task"] for body in server.bodies} == {"example"}


async def test_the_example_with_threads_runs(rig: AgentRig) -> None:
    async with serving(Deciding()) as server:
        said = await run_example("threads.py", rig, server)
    assert said.splitlines() == [f"epochs {list(range(8))}", "pending 0"]


async def test_the_example_with_spans_runs(rig: AgentRig) -> None:
    async with serving(Deciding()) as server:
        said = await run_example("spans.py", rig, server)
    assert [line.split(" in ")[0] for line in said.splitlines()] == [
        "fractal_lba.append done", "fractal_lba.observe done", "fractal_lba.send done",
    ]  # fmt: skip
    (body,) = server.bodies
    assert len(json.loads(body)["meta"]["trace_id"]) == 32


async def test_every_example_is_run_and_described() -> None:
    names = {path.name for path in EXAMPLES.glob("*.py")}
    assert names == {"observe.py", "threads.py", "spans.py"}
    described = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in described for name in names)


async def test_a_run_answers_for_its_metrics_while_it_lasts(rig: AgentRig) -> None:
    async with (
        serving(scripted(problem(503, "overloaded"))) as server,
        rig.agent(server.url, "x.csv", "--window", "100", "--metrics", "127.0.0.1:0") as process,
    ):
        assert process.stderr is not None
        line = (await process.stderr.readline()).decode()
        url = line.removeprefix("fractal-agent: metrics on ").strip()
        shown = ""
        while "flk_agent_windows_pending 4.0" not in shown:
            shown = await asyncio.to_thread(
                lambda: urllib.request.urlopen(url).read().decode()  # noqa: S310 - our own
            )
