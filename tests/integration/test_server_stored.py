"""Commands that look at what is stored, beside a server that works; and the one that resolves."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.support.load import Load, id_of
from tests.support.server_disk import LEDGER, batches, flip
from tests.support.server_process import Folder, ServerProcess, until
from tests.support.signed import GLOBEX, body, members

from fractal_lba.server.__main__ import main

ID = members(1)["pcs_id"]


def run(*arguments: str | Path) -> Result:
    """Run a command in this process: a process for each costs more than it shows."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = Folder(tmp_path_factory.mktemp("stored") / "folder")
    with ServerProcess(folder) as server:
        server.submit(body(1, regime="sticky"))
        server.submit(body(2, regime="sticky"))
        server.submit(body(3, D_hat=3.0))
        server.submit(body(4, shard_id="press-8"))
        server.submit(body(1, regime="sticky", n=65))
        server.submit(body(1, signer=GLOBEX))
        server.resolve(members(2)["pcs_id"], "a loose cable")
        # The last thing that was appended.
        until(
            lambda: any(row["resolutions"] for row in listed(server, "records", "list")),
            "all of it is marked",
        )
        yield server


def listed(server: ServerProcess, *arguments: str) -> list[dict[str, object]]:
    done = run(*arguments, "--json", "--config", server.folder.config)
    assert (done.exit_code, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("records list", [1, 2, 3, 4, 1]),
        ("records list --tenant acme", [1, 2, 3, 4]),
        ("records list --tenant globex", [1]),
        ("records list --outcome escalated", [1, 2]),
        ("records list --outcome not_accepted --tenant acme", [3]),
        ("records list --shard-id press-8", [4]),
        ("records list --from-epoch 2 --to-epoch 3", [2, 3]),
        ("records list --regime sticky", [1, 2]),
        ("records list --since 9999-01-01T00:00:00.000Z", []),
        ("escalations list", [1]),
        ("escalations list --all", [1, 2]),
        ("escalations list --tenant globex", []),
    ],
)
def test_a_list_holds_what_is_asked_for(
    server: ServerProcess, arguments: str, expected: list[int]
) -> None:
    assert [row["epoch"] for row in listed(server, *arguments.split())] == expected


def test_the_files_say_what_the_server_says(server: ServerProcess) -> None:
    exported = run("records", "export", "--tenant", "acme", "--config", server.folder.config)
    assert exported.exit_code == 0
    documents = [json.loads(line) for line in exported.stdout.splitlines()]
    assert len(documents) == 4
    for document in documents:
        stored = server.get(document["pcs_id"]).json
        for name in ("record", "outcome", "received_at", "resolutions"):
            assert document[name] == stored[name]
        assert [
            {name: each[name] for name in ("content_digest", "received_at")}
            for each in document["conflicts"]
        ] == stored["conflicts"]
    rows = {row["number"]: row for row in listed(server, "records", "list", "--tenant", "acme")}
    for row in server.read("/v1/pcs").json["records"]:
        assert row.items() <= rows[row["number"]].items()


def test_a_record_is_shown_whole_and_one_that_is_not_there_is_said_so(
    server: ServerProcess,
) -> None:
    config = ("--config", server.folder.config)
    shown = run("records", "show", ID, "--tenant", "acme", *config)
    assert shown.exit_code == 0
    document = json.loads(shown.stdout)
    assert (document["pcs_id"], document["record"]["epoch"], len(document["conflicts"])) == (
        ID,
        1,
        1,
    )
    both = run("records", "show", ID, *config).stdout
    assert re.findall(r'^  "tenant": "(\w+)"', both, re.MULTILINE) == ["acme", "globex"]
    evidence = run("conflicts", "show", ID, *config)
    assert json.loads(evidence.stdout)["conflicts"][0]["record"]["n"] == 65
    (row,) = listed(server, "conflicts", "list")
    assert (row["pcs_id"], row["tenant"]) == (ID, "acme")
    resolved = run("escalations", "show", members(2)["pcs_id"], *config)
    assert json.loads(resolved.stdout)["resolutions"][0]["note"] == "a loose cable"
    for command, pcs_id in (
        ("records", "0" * 64),
        ("conflicts", members(2)["pcs_id"]),
        ("escalations", members(4)["pcs_id"]),
    ):
        none = run(command, "show", pcs_id, *config)
        assert (none.exit_code, none.stdout) == (1, "")
        assert pcs_id in none.stderr


def test_a_table_has_a_line_for_each_and_says_where_it_ends(server: ServerProcess) -> None:
    done = run("records", "list", "--limit", "2", "--config", server.folder.config)
    head, *lines = done.stdout.splitlines()
    assert head.split()[:4] == ["ledger", "number", "received_at", "tenant"]
    assert len(lines) == 2
    assert lines[0].endswith(ID)
    assert "--limit 2" in done.stderr


def test_wrong_input_ends_with_2(server: ServerProcess, tmp_path: Path) -> None:
    config = ("--config", server.folder.config)
    for arguments, named in (
        (("records", "list", "--outcome", "fine", *config), "outcome"),
        (("records", "export", "--from-epoch", "x", *config), "from_epoch"),
        (("records", "list", "--config", tmp_path / "absent.toml"), "absent.toml"),
        (("escalations", "list", "--shards", "other", *config), "shards"),
    ):
        done = run(*arguments)
        assert done.exit_code == 2, arguments
        assert named in done.stderr


def test_resolve_calls_the_running_server_and_says_what_it_refuses(
    folder: Folder, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(folder.token("acme", "operate") + "\n")
    reader = tmp_path / "reader"
    reader.write_text(folder.token("acme", "read"))
    with ServerProcess(folder) as server:
        server.submit(body(1, regime="sticky"))

        def resolve(
            pcs_id: str = ID, url: str = server.url, token: Path = token, note: str = "fixed"
        ) -> Result:
            flags = ("--note", note, "--url", url, "--token-file", token)
            return run("escalations", "resolve", pcs_id, *flags)

        done = resolve()
        assert (done.exit_code, done.stderr) == (0, "")
        assert json.loads(done.stdout)["resolutions"] == 1
        assert [each["note"] for each in server.get(ID).json["resolutions"]] == ["fixed"]
        for refused, status in (
            (resolve(pcs_id="0" * 64), "404"),
            (resolve(token=reader), "403"),
            (resolve(note=""), "400"),
        ):
            assert (refused.exit_code, refused.stdout) == (1, "")
            assert f"fractal-server: {status}: " in refused.stderr
        for unusable in (
            resolve(pcs_id="x"),
            resolve(url="ftp://server"),
            resolve(url="http://127.0.0.1:99999"),
            resolve(token=tmp_path / "absent"),
        ):
            assert unusable.exit_code == 2, unusable.stderr
            assert unusable.stderr.startswith("fractal-server: ")
        assert server.stop() == 0
        assert resolve().exit_code == 2


def test_a_list_beside_a_server_under_load_has_what_was_acknowledged_a_while_ago(
    folder: Folder,
) -> None:
    load = Load()
    with ServerProcess(folder, "--segment-bytes-max", "300000") as server:
        run_ = load.start(server, connections=4)
        run_.wait_for(150)
        before = {id_of(epoch) for epoch in list(load.acknowledged)[:100]}
        found = [row["pcs_id"] for row in listed(server, "records", "list", "--limit", "100000")]
        assert len(found) == len(set(found))
        assert before <= set(found)
        run_.end()
    assert not load.wrong, load.wrong


def test_what_damage_hides_is_said_and_the_rest_is_listed(folder: Folder) -> None:
    with ServerProcess(folder) as server:
        for epoch in (1, 2, 3):
            server.submit(body(epoch))
        assert server.stop() == 0
    second = batches(folder.data, LEDGER)[1]
    flip(second.path, second.start + 400)
    done = run("records", "list", "--json", "--config", folder.config)
    assert done.exit_code == 1
    assert [json.loads(line)["epoch"] for line in done.stdout.splitlines()] == [1, 3]
    assert second.path.name in done.stderr
