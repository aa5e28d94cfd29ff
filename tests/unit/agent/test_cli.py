"""The command line: what it refuses, and with which exit code."""

import asyncio
import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.support.scripted_server import problem, scripted, serving

from fractal_lba.agent.cli import cli
from fractal_lba.agent.tally import Exit
from fractal_lba.keyfile import write_private
from fractal_lba.protocol import ed25519_public
from fractal_lba.wal import NewFrame, RealDisk, Stream

SEED = base64.b64encode(bytes(range(32))).decode()
PUBLIC = base64.b64encode(ed25519_public(bytes(range(32)))).decode()


def entry(kid: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - members of a key
    key = {
        "kid": kid,
        "tenant": "t",
        "alg": "ed25519",
        "public": f"base64:{PUBLIC}",
        "secret": f"base64:{SEED}",
    }
    return {name: value for name, value in (key | changes).items() if value is not None}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3,4\n5,6\n", encoding="utf-8")
    write_ring(tmp_path, entry("k-1"))
    return tmp_path


def write_ring(folder: Path, *keys: dict[str, Any]) -> None:
    write_private(folder / "ring.json", json.dumps({"keys": keys, "tokens": []}).encode())


def run(
    *arguments: str, url: str = "http://127.0.0.1:9", sources: tuple[str, ...] = ("x.csv",)
) -> Result:
    given = ["run", *sources, "--data", "d", "--url", url, "--keyring", "ring.json", *arguments]
    return CliRunner().invoke(cli, given)


@pytest.mark.parametrize("given", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "option",
    [
        "--lateness",
        "--window-seconds",
        "--interval",
        "--duration",
        "--grace",
        "--give-up-after",
    ],
)
def test_seconds_that_are_no_time_are_refused_by_name(
    folder: Path, option: str, given: str
) -> None:
    done = run("--window-seconds", "1", "--time-column", "a", option, given)
    assert done.exit_code == Exit.UNUSABLE
    assert option in done.output
    assert given in done.output
    assert not (folder / "d").exists()


@pytest.mark.parametrize("given", ["nan", "inf"])
def test_an_age_that_is_no_time_selects_no_window(folder: Path, given: str) -> None:
    words = ["outbox", "inspect", "--data", str(folder), "--older-than", given]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == Exit.UNUSABLE
    assert "--older-than" in done.output
    assert "finite" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--window", "2"], "window: expected 3 … 65536, got 2"),
        (["--window", "65537"], "window: expected 3 … 65536, got 65537"),
        (
            ["--window", "9", "--window-seconds", "60"],
            "expected --window or --window-seconds, got both",
        ),
        (["--window-seconds", "60"], "rows have a time (--time-column), got no column named"),
        (["--metrics", "nowhere"], "metrics: expected HOST:PORT, got 'nowhere'"),
        (["--scales", "2,x"], "scales: expected integers like 2,4,8, got '2,x'"),
        (["--scales", "4"], "scales"),
        (["--scales", "2,3"], "scales"),
        (["--seed", "-1"], "seed"),
        (["--seed", str(2**53)], "seed"),
        (["--kid", "k-2"], "keyring ring.json: expected a key 'k-2' that can"),
        (["--meta", "model"], "meta: expected NAME=TEXT, got 'model'"),
        (["--meta", "Model=x"], "meta"),
        (["--meta", "m=" + "x" * 257], "meta"),
        ([f"--meta=m{index}=x" for index in range(17)], "meta"),
        (["--shard-id", "a b"], "shard id: expected"),
        (["--token-file", "nowhere"], "nowhere: expected a file with a token"),
        (["--profile", "points/2"], "points/2"),
        (["--in-flight", "0"], "in-flight"),
        (["--outbox-bytes-max", "1048575"], "outbox-bytes-max"),
        (["--outbox-records-max", "0"], "outbox-records-max"),
        (["--outbox-full", "drop"], "outbox-full"),
        (["--outbox-segment-bytes-max", "4194303"], "outbox-segment-bytes-max"),
        (["--outbox-segment-age", "59"], "outbox-segment-age"),
        (["--outbox-reserve-bytes", "4194305"], "outbox-reserve-bytes"),
        (["--duration", "0"], "duration"),
        (["--interval", "0"], "interval"),
        (["--interval", "1"], "--interval: expected live: among the sources, got none"),
        (["--keep-full", "stop"], "--keep-full: expected --keep-windows beside it, got none"),
        (["--keep-bytes-max", "9"], "--keep-bytes-max: expected --keep-windows beside it"),
        (["--text", "line", "--window", "9"], "--window: expected windows of units, got texts"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused_by_name(
    folder: Path, arguments: list[str], message: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert result.stdout == ""
    assert not (folder / "d").exists()


@pytest.mark.parametrize(
    "url", ["", "localhost", "localhost:8080", "127.0.0.1:8080", "http://u:pa55word@h", "ftp://h"]
)
def test_a_url_that_cannot_be_used_is_refused(folder: Path, url: str) -> None:
    result = run(url=url)
    assert result.exit_code == 2
    assert "server URL: expected" in result.stderr
    assert "pa55word" not in result.output
    assert not (folder / "d").exists()


@pytest.mark.parametrize("sources", [(), ("nowhere.csv",), ("x.csv", "x.csv")])
def test_sources_that_cannot_be_used_are_refused(folder: Path, sources: tuple[str, ...]) -> None:
    result = run(sources=sources)
    assert result.exit_code == 2
    assert not (folder / "d").exists()


@pytest.mark.parametrize(
    ("keys", "arguments", "message"),
    [
        ([], [], "expected one key that can sign, got none"),
        ([entry("k-1", secret=None)], [], "expected one key that can sign, got none"),
        ([entry("k-1"), entry("k-2")], [], "got k-1, k-2: choose with --kid"),
        (
            [entry("k-1", not_after="2020-01-01T00:00:00.000Z")],
            [],
            "expected a key that is valid now, got 'k-1'",
        ),
        (
            [entry("k-1"), entry("k-2", not_before="9000-01-01T00:00:00.000Z")],
            ["--kid", "k-2"],
            "expected a key that is valid now, got 'k-2'",
        ),
    ],
)
def test_a_key_that_cannot_sign_now_is_refused(
    folder: Path, keys: list[dict[str, Any]], arguments: list[str], message: str
) -> None:
    write_ring(folder, *keys)
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert SEED not in result.output


def test_a_column_that_is_not_there_is_told_in_the_report(folder: Path) -> None:
    result = run("--columns", "a,c", "--json")
    assert result.exit_code == 2
    assert "x.csv: expected one column named 'c', got 0" in result.stderr
    assert json.loads(result.stdout)["windows"] == 0
    assert (folder / "d").exists()


def test_a_keyring_others_can_read_is_refused(folder: Path) -> None:
    (folder / "ring.json").chmod(0o644)
    result = run()
    assert result.exit_code == 2
    assert "0600" in result.stderr


def test_a_folder_of_a_newer_program_is_refused(folder: Path) -> None:
    stream = Stream.open(RealDisk(), folder / "d" / "outbox", "outbox")
    stream.append([NewFrame(received_ns=0, meta=b'{"v":2}', payload=b"")])
    stream.close()
    for result in (run(), CliRunner().invoke(cli, ["status", "--data", "d"])):
        assert result.exit_code == 2
        assert "expected format 1, got 2" in result.stderr
    # The lock was given back.
    Stream.open(RealDisk(), folder / "d" / "outbox", "outbox").close()


def test_a_data_folder_that_cannot_be_made_is_said(folder: Path) -> None:
    (folder / "d").write_text("a file", encoding="utf-8")
    result = run()
    assert result.exit_code == 2


def test_status_of_nothing_is_refused(folder: Path) -> None:
    result = CliRunner().invoke(cli, ["status", "--data", str(folder / "nowhere")])
    assert result.exit_code == 2
    assert "expected a data folder of fractal-agent" in result.stderr


@pytest.mark.parametrize(
    "claim",
    [
        "as long as at least 3 are left after it",
        "they are included in its last window",
        "A last window may be shorter than N",
        "fewer than 3 rows or bytes is an error",
        "A rerun goes on behind the last window kept",
        "A live source has no position: its epochs go on",
        "3 stopped with windows pending",
        "5 every window was answered, and some were not accepted",
    ],
)
def test_the_help_states_the_rules_and_the_exit_codes(claim: str) -> None:
    text = CliRunner().invoke(cli, ["run", "--help"]).output
    assert claim in " ".join(text.split())


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["run", "-h"], ["status", "-h"]])
def test_both_words_ask_for_help(words: list[str]) -> None:
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_the_help_of_status_states_its_own_exit_codes() -> None:
    text = " ".join(CliRunner().invoke(cli, ["status", "--help"]).output.split())
    assert "4 parts of the outbox are damaged" in text
    assert "every window was answered" not in text
    assert "stopped with windows pending" not in text


def test_a_failure_is_one_line_that_names_the_command(folder: Path) -> None:
    name = "n" * 100 + ".csv"
    (folder / name).write_text("a\n1\n", encoding="utf-8")
    result = run(sources=(name,))
    assert result.stderr == f"fractal-agent: {name}: expected at least 3 rows, got 1\n"
    refused = run("--window", "2")
    assert refused.stderr == "fractal-agent: window: expected 3 … 65536, got 2\n"


@pytest.mark.asyncio
@pytest.mark.parametrize("arguments", [[], ["--json"]])
async def test_what_was_not_accepted_is_said_at_the_end(folder: Path, arguments: list[str]) -> None:
    async with serving(scripted(problem(401, "unknown_key"))) as server:
        result = await asyncio.to_thread(run_process, folder, server.url, *arguments)
    assert result.returncode == Exit.DEAD_LETTERS
    assert result.stderr == (
        "fractal-agent: 1 window was not accepted: 401 unknown_key;"
        " see fractal-agent dead-letters list --data d\n"
    )


def run_process(folder: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    given = ["run", "x.csv", "--data", "d", "--url", url, "--keyring", "ring.json", *arguments]
    return subprocess.run(
        [sys.executable, "-m", "fractal_lba.agent", *given],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_source_that_is_refused_leaves_no_table_of_zeros(folder: Path) -> None:
    (folder / "x.csv").write_text("a\n1\nx\n3\n", encoding="utf-8")
    result = run()
    assert result.exit_code == 2
    assert "row 2, column 'a': expected a number" in result.stderr
    assert "--columns leaves a column out, --degraded replaces" in result.stderr
    assert result.stdout == ""
