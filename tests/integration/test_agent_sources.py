"""Sources of the real process: what is followed, piped in, or below a folder."""

import asyncio
import json
import signal
from pathlib import Path

import numpy as np
import pytest
from tests.support.agent_process import ENDS_S_MAX, AgentRig, ended
from tests.support.scripted_server import Deciding, ScriptedServer, serving

pytestmark = pytest.mark.asyncio


@pytest.fixture
def rig(tmp_path: Path) -> AgentRig:
    return AgentRig(tmp_path)


async def until(server: ScriptedServer, windows: int) -> None:
    """Wait until so many windows came."""
    async with asyncio.timeout(ENDS_S_MAX):
        while len(sizes(server)) < windows:  # noqa: ASYNC110 - the server is written for answers
            await asyncio.sleep(0.01)


def sizes(server: ScriptedServer) -> list[tuple[int, int]]:
    """Return epoch and units of each window that came, however often."""
    return sorted({(record["epoch"], record["n"]) for record in map(json.loads, server.bodies)})


async def test_a_file_is_followed_through_rotation_and_over_a_kill(rig: AgentRig) -> None:
    path = rig.folder / "grows.csv"
    path.write_text("a\n" + "".join(f"{at}\n" for at in range(9)), encoding="utf-8")
    arguments = ("grows.csv", "--follow", "--window", "4")
    async with serving(Deciding()) as server:
        async with rig.agent(server.url, *arguments) as process:
            await until(server, 1)
            process.send_signal(signal.SIGKILL)
            await process.wait()
        # While nobody looks it goes on, is renamed, and another one begins.
        with path.open("a", encoding="utf-8") as file:
            file.write("9\n10\n")
        path.rename(rig.folder / "grows.csv.1")
        path.write_text("a\n" + "".join(f"{at}\n" for at in range(11, 18)), encoding="utf-8")
        async with rig.agent(server.url, *arguments) as process:
            await until(server, 4)
            process.send_signal(signal.SIGTERM)
            end = await ended(process)
    assert (end.code, end.report["notes"]) == (0, []), end.err
    assert sizes(server) == [(0, 4), (1, 4), (2, 3), (3, 4)]


@pytest.mark.parametrize(
    ("word", "sent", "windows", "runs"),
    [
        ("-", bytes(range(23)), [(0, 10), (1, 10), (2, 3)], 2),
        ("csv:-", b"a,b\n" + b"1,2\n3,4\n" * 6, [(0, 12)], 1),
    ],
    ids=["bytes", "rows"],
)
async def test_standard_input_is_cut_as_it_comes_and_its_epochs_go_on(
    rig: AgentRig, word: str, sent: bytes, windows: list[tuple[int, int]], runs: int
) -> None:
    async with serving(Deciding()) as server:
        for _ in range(runs):
            async with rig.agent(server.url, word, "--window", "10", piped=sent) as process:
                end = await ended(process)
            assert end.code == 0, end.err
    assert sizes(server) == [
        (epoch + run * len(windows), n) for run in range(runs) for epoch, n in windows
    ]


async def test_a_pipe_that_brings_nothing_is_a_source_that_failed(rig: AgentRig) -> None:
    async with (
        serving(Deciding()) as server,
        rig.agent(server.url, "csv:-", piped=b"a\n1\n2\n") as process,
    ):
        end = await ended(process)
    assert (end.code, end.report["windows"]) == (2, 0)
    assert "csv:-: expected 3 rows or bytes at least, got 2" in end.err


async def test_a_signal_ends_a_run_whose_input_stays_open(rig: AgentRig) -> None:
    async with (
        serving(Deciding()) as server,
        rig.agent(server.url, "csv:-", "--window", "3", is_piped_open=True) as process,
    ):
        assert process.stdin is not None
        process.stdin.write(b"a\n1\n2\n3\n4\n5\n6\n7\n8\n")
        await until(server, 1)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(ENDS_S_MAX):
            await process.wait()
    assert process.returncode == 0
    # The rest that was read is the last window.
    assert sum(n for _, n in sizes(server)) == 8


async def test_a_folder_of_everything_is_observed_in_one_run(rig: AgentRig) -> None:
    top = rig.folder / "top"
    (top / "below").mkdir(parents=True)
    (top / "a.ndjson").write_text('{"x":1}\n' * 4, encoding="utf-8")
    np.savez(top / "below" / "b.npz", p=np.eye(5), q=np.arange(6.0))
    (top / "below" / "c.bin").write_bytes(bytes(9))
    async with serving(Deciding()) as server:
        end = await rig.run(server.url, "top", "--window", "100")
    assert end.code == 0, end.err
    shapes = {
        record["shard_id"]: (record["profile"], record["n"], record["d"])
        for record in map(json.loads, server.bodies)
    }
    assert shapes == {
        "top-a.ndjson": ("points/1", 4, 1),
        "top-below-b.npz:p": ("points/1", 5, 5),
        "top-below-b.npz:q": ("points/1", 6, 1),
        "top-below-c.bin": ("bytes/1", 9, 1),
    }


async def test_each_line_of_a_text_is_a_window(rig: AgentRig) -> None:
    (rig.folder / "answers.txt").write_text(
        "The first answer.\nno\nThe second.\n", encoding="utf-8"
    )
    async with serving(Deciding()) as server:
        end = await rig.run(server.url, "answers.txt", "--text", "line")
    assert end.code == 0, end.err
    assert sizes(server) == [(0, 17), (1, 11)]
    (note,) = end.report["notes"]
    assert note.endswith("answers.txt: 1 texts of fewer than 3 bytes were passed over")


async def test_windows_of_time_go_on_over_a_rerun(rig: AgentRig) -> None:
    times = [1, 2, 3, 61, 62, 63, 64, 5, 121, 122, 123]
    table = "at,v\n" + "".join(f"{at},{at % 7}\n" for at in times)
    (rig.folder / "timed.csv").write_text(table, encoding="utf-8")
    arguments = ("timed.csv", "--window-seconds", "60", "--time-column", "at")
    async with serving(Deciding()) as server:
        first = await rig.run(server.url, *arguments)
        with (rig.folder / "timed.csv").open("a", encoding="utf-8") as file:
            file.write("181,1\n182,2\n183,3\n")
        second = await rig.run(server.url, *arguments)
    assert (first.code, second.code, first.report["late_rows"]) == (0, 0, 1), first.err
    assert sizes(server) == [(0, 3), (1, 5), (2, 3), (3, 3)]
    metas = {record["epoch"]: record["meta"] for record in map(json.loads, server.bodies)}
    assert metas[3] == {
        "window_start": "1970-01-01T00:03:00.000Z",
        "window_end": "1970-01-01T00:04:00.000Z",
    }
