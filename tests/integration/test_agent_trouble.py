"""The real ``fractal-agent`` and servers that are gone, and letters that are sent again."""

import asyncio
import json
import sys

import pytest
from aiohttp import web
from benchmarks.idle import refused_port
from tests.support.agent_process import AgentRig, Ended, ended
from tests.support.scripted_server import Deciding, problem, serving

from fractal_lba.agent.deadletters import read_dead_letters
from fractal_lba.wal import RealDisk

pytestmark = pytest.mark.asyncio


@pytest.fixture
def rig(tmp_path_factory: pytest.TempPathFactory) -> AgentRig:
    return AgentRig(tmp_path_factory.mktemp("rig"))


async def dead_letters(rig: AgentRig, *arguments: str) -> Ended:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fractal_lba.agent", "dead-letters", *arguments,
        "--data", str(rig.data),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    return await ended(process)


async def test_windows_go_to_the_next_server_in_order_while_the_first_is_gone(
    rig: AgentRig,
) -> None:
    gone = f"http://127.0.0.1:{refused_port()}"
    async with serving(Deciding()) as server:
        end = await rig.run(server.url, "x.csv", "--window", "8", "--url", gone, "--ordered")
    assert (end.code, end.report["acknowledged"]) == (0, 50), end.err
    assert f"fractal-agent: {gone}: expected answers in time, got too many failures" in end.err
    epochs = [json.loads(body)["epoch"] for body in server.bodies]
    assert epochs == list(range(50))


async def test_what_a_wrong_token_sent_to_the_dead_letters_is_sent_again_by_one_command(
    rig: AgentRig,
) -> None:
    is_known = False
    deciding = Deciding()

    async def answering(request: web.Request, body: bytes) -> web.StreamResponse:
        return await deciding(request, body) if is_known else problem(401, "unauthenticated")

    arguments = ("x.csv", "--window", "40")
    async with serving(answering) as server:
        first = await rig.run(server.url, *arguments)
        assert (first.code, first.report["dead_letters"]) == (5, 10)
        way_back = f"dead-letters retry --data {rig.data} --code unauthenticated"
        assert first.err.count(way_back) == 1
        is_known = True
        again = await dead_letters(rig, "retry", "--code", "unauthenticated")
        assert (again.code, again.out) == (0, "10 put back into the outbox\n")
        second = await rig.run(server.url, *arguments)
        assert (second.code, second.report["resumed"]) == (0, 10)
    assert {len(ids) for ids in deciding.windows.values()} == {1}
    assert len(deciding.windows) == 10
    assert list(read_dead_letters(RealDisk(), rig.data)) == []


async def test_beside_a_running_agent_letters_are_listed_and_not_changed(rig: AgentRig) -> None:
    held = asyncio.Event()

    async def answering(_request: web.Request, body: bytes) -> web.StreamResponse:
        if json.loads(body)["epoch"]:
            held.set()
            await asyncio.Event().wait()
        return problem(422, "unsigned_member_mismatch")

    async with serving(answering) as server:
        arguments = ("x.csv", "--window", "40", "--ordered")
        async with rig.agent(server.url, *arguments) as process:
            await held.wait()
            listed = await dead_letters(rig, "list", "--json")
            assert (listed.code, listed.report["reasons"]) == (
                0,
                {"422 unsigned_member_mismatch": 1},
            )
            refused = await dead_letters(rig, "drop", "--all", "--yes")
            assert refused.code == 2
            assert str(process.pid) in refused.err
            assert "stop that agent (SIGTERM), do this again" in refused.err
