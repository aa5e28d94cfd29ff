"""The real agent and the real server on a full file system, at a start and in a run."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from tests.support.agent_process import AgentRig, ended
from tests.support.forked import run_command
from tests.support.load import record_of
from tests.support.scripted_server import Deciding, serving
from tests.support.server_process import Folder, NotStartedError, ServerProcess
from tests.support.small_disk import fill, small_disk
from typing_extensions import override

WINDOWS = 1_400
"""More than what is taken ahead and what windows leave to answers holds: 1.1 MB."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path, 16) as mount:
        yield mount


@pytest.fixture
def rig(tmp_path: Path) -> AgentRig:
    rows = "".join(f"{at},{(at * at) % 101}\n" for at in range(3 * WINDOWS))
    (tmp_path / "many.csv").write_text("a,b\n" + rows, encoding="utf-8")
    return AgentRig(tmp_path)


SOURCE = ("many.csv", "--window", "3", "--scales", "2,4", "--outbox-reserve-bytes", "65536")


class Filling(Deciding):
    """Fills a disk when the first request comes."""

    def __init__(self, disk: Path) -> None:
        super().__init__()
        self.disk = disk

    @override
    async def __call__(self, request: web.Request, body: bytes) -> web.StreamResponse:
        if not self.requests:
            fill(self.disk)
        return await super().__call__(request, body)


@pytest.mark.asyncio
async def test_an_agent_waits_while_its_disk_is_full_and_goes_on_by_itself(
    rig: AgentRig, disk: Path
) -> None:
    deciding = Filling(disk)
    async with (
        serving(deciding) as server,
        rig.agent(server.url, *SOURCE, data=disk / "agent") as process,
    ):
        assert process.stderr is not None
        async with asyncio.timeout(60):
            while b"the disk is full: observing waits" not in await process.stderr.readline():
                assert not process.stderr.at_eof()
        assert len(deciding.first) < WINDOWS
        (disk / "ballast").unlink()
        end = await ended(process)
    assert (end.code, end.report["windows"], end.report["pending"]) == (0, WINDOWS, 0)
    assert end.report["durability_failures"] == []
    assert {epoch for _, epoch in deciding.windows} == set(range(WINDOWS))


@pytest.mark.asyncio
async def test_an_agent_started_on_a_full_disk_says_so_and_a_later_start_sends_what_waits(
    rig: AgentRig, disk: Path
) -> None:
    data = disk / "agent"

    async def run(url: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        words = ["--data", str(data), "--keyring", str(rig.keyring), "--url", url, "--json"]
        return await asyncio.to_thread(run_command, "fractal-agent", "run", *words, *arguments)

    def segments() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in (data / "outbox").glob("*.seg")}

    # Nobody answers at this port: windows wait.
    first = await run(
        "http://127.0.0.1:9", str(rig.folder / "x.csv"), "--window", "4", "--give-up-after", "1"
    )
    assert (first.returncode, json.loads(first.stdout)["pending"]) == (6, 100)
    before = segments()
    ballast = fill(disk)
    deciding = Deciding()
    async with serving(deciding) as server:
        full = await run(server.url)
        assert full.returncode == 4
        assert b"expected room for a fresh segment" in full.stderr
        assert b"free some room first" in full.stderr
        assert deciding.requests == 0
        assert segments() == before
        ballast.unlink()
        later = await run(server.url)
    assert (later.returncode, json.loads(later.stdout)["pending"]) == (0, 0)
    assert len(deciding.first) == 100


def test_a_server_started_on_a_full_disk_says_so_and_a_later_start_answers_as_before(
    tmp_path: Path, disk: Path
) -> None:
    folder = Folder(disk / "server")
    flags = ("--disk-free-bytes-min", "0")
    body = record_of(1)
    with ServerProcess(folder, *flags, log=tmp_path / "first.log") as server:
        first = server.submit(body)
        assert server.stop() == 0
    ballast = fill(disk)
    with pytest.raises(NotStartedError) as refused:
        ServerProcess(folder, *flags, log=tmp_path / "full.log")
    assert refused.value.code == 1
    assert "expected room for a fresh segment" in str(refused.value)
    ballast.unlink()
    with ServerProcess(folder, *flags, log=tmp_path / "later.log") as server:
        assert server.submit(body).said == first.said
        assert server.submit(record_of(2)).status == 200
        assert server.stop() == 0
    assert folder.fsck()[0] == 0
