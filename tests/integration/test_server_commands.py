"""What the command does before and beside serving: init, settings, who may hold a folder."""

import json
import re
import shutil
import socket
import stat
import subprocess
from pathlib import Path

import pytest
from tests.support.forked import run_command
from tests.support.server_process import Folder, ServerProcess
from tests.support.signed import body

MADE = ("server.toml", "keyring.json", "agent-keyring.json", "token", "data")


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    done = run_command("fractal-server", *arguments, environment=environment)
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def assert_unusable(done: subprocess.CompletedProcess[str], *named: str) -> None:
    """The command ended with 2 and one line that names what is wrong."""
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("fractal-server: ")]
    assert not [name for name in named if name not in line], line
    assert "Traceback" not in done.stderr


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("commands") / "folder")


def test_init_makes_files_that_only_their_owner_can_read(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "folder"
    done = run("init", folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(folder / name) for name in MADE]
    for path in (*(folder / name for name in MADE[:-1]), folder / "data" / "shards.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    server, agent = (
        json.loads((folder / name).read_text()) for name in ("keyring.json", "agent-keyring.json")
    )
    assert "secret" not in server["keys"][0]
    assert agent["keys"][0]["secret"].startswith("base64:")
    token = (folder / "token").read_text().strip()
    assert token not in (folder / "keyring.json").read_text()
    assert server["tokens"][0]["scopes"] == ["read"]
    other = tmp_path / "other"
    assert run("init", other).returncode == 0
    assert (other / "token").read_text() != (folder / "token").read_text()
    assert (other / "keyring.json").read_text() != (folder / "keyring.json").read_text()


def test_init_changes_no_folder_that_holds_something_of_it(made: Folder) -> None:
    before = contents(made.path)
    assert_unusable(run("init", made.path), str(made.path / "server.toml"))
    assert contents(made.path) == before


@pytest.mark.parametrize("name", MADE)
def test_init_leaves_a_single_file_of_another_as_it_is(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / name).write_text("mine")
    assert_unusable(run("init", folder), name)
    assert contents(folder) == {str(folder / name): b"mine"}


def test_settings_come_from_file_environment_and_flags_the_last_winning(made: Folder) -> None:
    def shown(*flags: str, **environment: str) -> dict[str, str]:
        done = run("config", "show", "--config", made.config, *flags, **environment)
        assert done.returncode == 0, done.stderr
        return dict(re.findall(r"^(\w+) = (.*)$", done.stdout, re.MULTILINE))

    assert shown()["horizon_days"] == "400"
    assert shown(FLBA_HORIZON_DAYS="7")["horizon_days"] == "7"
    both = shown("--horizon-days", "9", FLBA_HORIZON_DAYS="7", FLBA_REGION="eu")
    assert (both["horizon_days"], both["region"]) == ("9", '"eu"')
    done = run("config", "check", "--config", made.config)
    assert (done.returncode, done.stdout) == (0, "OK\n")


def test_what_is_shown_can_be_run(made: Folder, tmp_path: Path) -> None:
    shown = tmp_path / "server.toml"
    shown.write_text(run("config", "show", "--config", made.config, "--region", "x").stdout)
    again = run("config", "show", "--config", shown)
    assert again.stdout == shown.read_text()


def test_a_wrong_setting_is_named_wherever_it_comes_from(made: Folder, tmp_path: Path) -> None:
    config = ("--config", made.config)
    for command in (("config", "check"), ("config", "show"), ("run",)):
        assert_unusable(run(*command, *config, "--body-timeout-s", "0"), "body_timeout_s")
    assert_unusable(run("fsck", *config, "--shards", "No"), "shards")
    assert_unusable(run("run", *config, FLBA_GRACE_S="soon"), "environment", "grace_s")
    assert_unusable(run("run", *config, FLBA_NO_SUCH="1"), "environment", "no_such")
    wrong = tmp_path / "server.toml"
    wrong.write_text("no_such_setting = 1\n")
    assert_unusable(run("run", "--config", wrong), str(wrong), "no_such_setting")
    assert_unusable(run("run", "--config", tmp_path / "absent.toml"), "absent.toml")


def test_a_folder_that_init_did_not_make_is_not_run(made: Folder, tmp_path: Path) -> None:
    bare = tmp_path / "server.toml"
    shutil.copy(made.config, bare)
    for command in ("run", "fsck"):
        flags = ("--listen", "127.0.0.1:0") if command == "run" else ()
        assert_unusable(run(command, "--config", bare, *flags), str(tmp_path / "data"), "init")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["server.toml"]


def test_a_folder_of_other_shards_is_not_run(made: Folder) -> None:
    before = contents(made.data)
    for command in ("run", "fsck"):
        flags = ("--listen", "127.0.0.1:0") if command == "run" else ()
        done = run(command, "--config", made.config, "--shards", "shard-7", *flags)
        assert_unusable(done, "shards.json", "shard-7", "shard-0")
    assert contents(made.data) == before


def test_a_data_folder_of_a_later_version_is_not_run(folder: Folder) -> None:
    path = folder.data / "shards.json"
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 2'))
    assert_unusable(run("fsck", "--config", folder.config), "shards.json", "version 1", "2")


@pytest.mark.parametrize("broken", ["absent", "not JSON", "readable by others"])
def test_a_keyring_that_cannot_be_used_is_named(folder: Folder, broken: str) -> None:
    path = folder.path / "keyring.json"
    match broken:
        case "absent":
            path.unlink()
        case "not JSON":
            path.write_text("{secret-word")
        case _:
            path.chmod(0o644)
    for command in (("run", "--listen", "127.0.0.1:0"), ("config", "check")):
        done = run(*command, "--config", folder.config)
        assert_unusable(done, "keyring.json")
        assert "secret-word" not in done.stderr


def test_a_folder_that_a_server_holds_is_refused_by_name(folder: Folder) -> None:
    with ServerProcess(folder) as server:
        done = run("run", "--listen", "127.0.0.1:0", "--config", folder.config)
        assert_unusable(done, "data", str(server.process.pid))
        # It goes on unharmed.
        assert server.submit(body(1)).status == 200
        assert server.stop() == 0
    assert folder.fsck()[1]["records"] == 1


def test_a_taken_port_is_named(folder: Folder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("run", "--config", folder.config, "--listen", address)
        assert_unusable(done, "listen", address, "Address already in use")
    # It was known before the logs were opened.
    assert not (folder.data / "inbox-0").exists()


def test_a_folder_that_never_ran_is_sound(made: Folder) -> None:
    done = run("fsck", "--config", made.config)
    assert done.returncode == 0, done.stderr
