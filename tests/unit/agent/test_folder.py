"""Folders that are no agent's, or another user's, are told before anything is done with them."""

import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.support.agent_process import AgentRig
from tests.support.outboxes import observe, opened
from tests.support.server_process import Folder
from tests.support.virtual_time import run_virtual

from fractal_lba.agent import Agent, ContractError
from fractal_lba.agent.cli import cli
from fractal_lba.agent.opening import FOLDER

QUICKLY = ("--give-up-after", "1")  # were it to begin
READERS = (["status"], ["outbox", "inspect"], ["dead-letters", "list"])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder with a window that waits."""

    async def main() -> None:
        async with opened(tmp_path / "data") as outbox:
            await observe(outbox)

    run_virtual(main())
    return tmp_path / "data"


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def run(rig: AgentRig, data: Path) -> Result:
    source = rig.folder / "x.csv"
    url = "http://127.0.0.1:9"
    return call("run", source, "--data", data, "--keyring", rig.keyring, "--url", url, *QUICKLY)


def files_in(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.parametrize("name", [".", "data"])
def test_a_servers_folder_becomes_no_agents(tmp_path: Path, name: str) -> None:
    (tmp_path / "agent").mkdir()
    rig = AgentRig(tmp_path / "agent")
    server = Folder(tmp_path / "server").path / name
    before = files_in(server)
    refused = run(rig, server)
    assert refused.exit_code == 2
    assert "expected a folder for fractal-agent, got one of fractal-server" in refused.stderr
    with pytest.raises(ContractError, match="got one of fractal-server"):
        Agent(data=server, url="http://127.0.0.1:9", keyring=rig.keyring, shard_id="s")
    assert files_in(server) == before


def test_the_folder_above_an_agents_is_told_from_it(data: Path, tmp_path: Path) -> None:
    above = tmp_path / "above"
    above.mkdir()
    data.rename(above / FOLDER)  # as in the examples: --data ./outbox
    (tmp_path / "agent").mkdir()
    before = files_in(above)
    results = [call(*words, "--data", above) for words in READERS]
    results.append(run(AgentRig(tmp_path / "agent"), above))
    for each in results:
        assert each.exit_code == 2, each.output
        assert f"got the folder above one: is it {above / FOLDER}?" in each.stderr
    assert files_in(above) == before


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_an_outbox_that_nothing_was_ever_kept_in_is_no_table_of_zeros(
    tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / FOLDER).mkdir()
    refused = call(*words, "--data", tmp_path)
    assert refused.exit_code == 2
    assert "got one whose outbox holds no segment" in refused.stderr


def test_another_users_folder_is_read_and_not_written(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = AgentRig(tmp_path)
    stranger = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    before = files_in(data)
    for each in (
        call("dead-letters", "retry", "--data", data, "--all"),
        call("dead-letters", "drop", "--data", data, "--all", "--yes"),
        run(rig, data),
    ):
        assert each.exit_code == 2, each.output
        assert "expected to be run by its owner, user" in each.stderr
    assert files_in(data) == before
    assert call("status", "--data", data).exit_code == 0
    shutil.rmtree(data)
    assert "run by its owner" not in call("status", "--data", data).stderr
