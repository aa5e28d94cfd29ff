"""The real agent and the real server: one outcome for each window, whoever ships it again."""

import json
from pathlib import Path

import pytest
from tests.support.agent_process import AgentRig
from tests.support.server_process import ServerProcess

from fractal_lba.agent.deadletters import read_dead_letters
from fractal_lba.wal import RealDisk

pytestmark = pytest.mark.asyncio

WINDOWS = 10


def arguments(stream: str, *more: str) -> tuple[str, ...]:
    return ("x.csv", "--window", "40", "--shard-id", stream, *more)


async def test_another_agent_over_the_same_windows_gets_repeats(
    shared_server: ServerProcess, tmp_path: Path
) -> None:
    rig = AgentRig(tmp_path)
    first = await rig.run(shared_server.url, *arguments("agent-repeats"))
    again = await rig.run(shared_server.url, *arguments("agent-repeats"), data=tmp_path / "another")
    assert (first.code, again.code) == (0, 0), first.err + again.err
    assert (first.report["acknowledged"], first.report["repeats"]) == (WINDOWS, 0)
    # Signed anew, at another time: still the same windows.
    assert (again.report["acknowledged"], again.report["repeats"]) == (WINDOWS, WINDOWS)


async def test_another_reading_of_the_same_windows_is_a_conflict_kept_as_dead_letters(
    shared_server: ServerProcess, tmp_path: Path
) -> None:
    rig = AgentRig(tmp_path)
    first = await rig.run(shared_server.url, *arguments("agent-conflicts"))
    other = tmp_path / "other"
    second = await rig.run(
        shared_server.url, *arguments("agent-conflicts", "--seed", "7"), data=other
    )
    assert first.code == 0, first.err
    assert second.code == 5, second.err
    assert second.report["dead_letters"] == WINDOWS
    letters = [letter for letter in read_dead_letters(RealDisk(), other) if letter is not None]
    assert {(letter.status, letter.code) for letter in letters} == {(409, "pcs_id_conflict")}
    assert {json.loads(bytes(letter.record))["seed"] for letter in letters} == {7}


async def test_what_an_agent_shipped_can_be_read_back(
    shared_server: ServerProcess, tmp_path: Path
) -> None:
    rig = AgentRig(tmp_path)
    await rig.run(shared_server.url, *arguments("agent-reads", "--meta", "model=m 1"))
    found = json.loads((await rig.status("--json", "--ids")).out)
    assert len(found["ids"]) == WINDOWS
    for window in found["ids"]:
        reply = shared_server.get(window["pcs_id"])
        assert reply.status == 200
        record = reply.json["record"]
        assert (record["epoch"], record["shard_id"]) == (window["epoch"], "agent-reads")
        assert record["meta"] == {"model": "m 1"}
