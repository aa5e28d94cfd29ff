"""Degraded windows from the real agent to the real server: accepted, escalated, and listed so."""

from pathlib import Path

import pytest
from tests.support.agent_process import AgentRig
from tests.support.server_process import ServerProcess

pytestmark = pytest.mark.asyncio


async def test_the_server_escalates_what_the_agent_repaired_and_nothing_else(
    shared_server: ServerProcess, tmp_path: Path
) -> None:
    rig = AgentRig(tmp_path)
    rows = [f"{at},{at * at}" for at in range(30)]
    rows[12] = "12,"  # the second of three windows
    (rig.folder / "gaps.csv").write_text("a,b\n" + "\n".join(rows) + "\n", encoding="utf-8")
    arguments = ("gaps.csv", "--window", "10", "--shard-id", "agent-gaps")
    refused = await rig.run(shared_server.url, *arguments, data=tmp_path / "refusing")
    assert refused.code == 2
    assert "row 13, column 'b': expected a number, got an empty cell" in refused.err
    end = await rig.run(shared_server.url, *arguments, "--degraded")
    assert end.code == 0, end.err
    assert (end.report["accepted"], end.report["escalated"], end.report["degraded"]) == (2, 1, 1)
    found = {}
    for window in (await rig.status("--json", "--ids")).report["ids"]:
        reply = shared_server.get(window["pcs_id"]).json
        found[window["epoch"]] = (reply["record"]["ft"]["fallbacks"], reply["outcome"]["reasons"])
    assert found == {0: ([], []), 1: (["value_replaced"], ["degraded"]), 2: ([], [])}


async def test_a_lost_column_is_accepted_and_escalated(
    shared_server: ServerProcess, tmp_path: Path
) -> None:
    rig = AgentRig(tmp_path)
    arguments = ("x.csv", "--columns", "a,gone", "--window", "400", "--shard-id", "agent-lost")
    end = await rig.run(shared_server.url, *arguments, "--degraded")
    assert (end.code, end.report["escalated"]) == (0, 1), end.err
    (window,) = (await rig.status("--json", "--ids")).report["ids"]
    record = shared_server.get(window["pcs_id"]).json["record"]
    assert (record["ft"]["fallbacks"], record["d"]) == (["column_lost"], 2)
