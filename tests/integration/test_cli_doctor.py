"""``fractal-lba doctor``: what is wrong with a machine, and what to do about it."""

import http.server
import json
import os
import resource
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import FRACTAL_LBA, Ended, assert_unusable, fractal_lba
from tests.support.server_process import Folder, ServerProcess
from typing_extensions import override

from fractal_lba.access import access_of
from fractal_lba.cli import checks
from fractal_lba.cli.checks import Status
from fractal_lba.cli.endpoint import endpoint

DAY_MS = 24 * 3_600 * 1_000
NOW_MS = 1_795_000_000_000


def by_check(ended: Ended) -> dict[str, dict[str, Any]]:
    return {each["check"]: each for each in ended.json["checks"]}


@contextmanager
def answering(*, status: int = 200, body: bytes = b"OK", ahead_s: float = 0.0) -> Iterator[str]:
    """Serve one answer with a clock of its own; yield the URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(status)
            self.send_header("Date", formatdate(time.time() + ahead_s, usegmt=True))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_sound_machine_beside_a_real_server_is_ok(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "f")
    before = sorted(folder.path.iterdir())
    with ServerProcess(folder, log=tmp_path / "log") as server:
        ended = fractal_lba(
            "doctor", "--folder", folder.path, "--keyring", folder.path / "keyring.json",
            "--url", server.url, "--json",
        )  # fmt: skip
    assert (ended.code, ended.err) == (0, "")
    assert ended.json["ok"] is True
    found = by_check(ended)
    assert list(found) == [
        "clock", "disk sync", "free space", "open files", "keyring",
        "endpoint /health", "endpoint /ready", "clock of the endpoint",
    ]  # fmt: skip
    for name in ("clock", "keyring", "endpoint /health", "endpoint /ready"):
        assert (found[name]["status"], found[name]["advice"]) == ("ok", None)
    assert found["keyring"]["found"].startswith("3 keys, 3 valid now, 2 of them with a secret")
    assert "of 20," in found["disk sync"]["found"]
    # What it measured with is gone.
    assert sorted(folder.path.iterdir()) == before


def test_without_options_it_says_one_line_for_each_check(tmp_path: Path) -> None:
    done = subprocess.run(
        [FRACTAL_LBA, "doctor"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    words = [line.split()[0] for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert len(words) == 4
    assert set(words) <= {"ok", "warn", "fail"}
    assert done.returncode == ("fail" in words)


def test_a_server_that_is_away_fails_and_says_what_to_look_at(tmp_path: Path) -> None:
    ended = fractal_lba("doctor", "--folder", tmp_path, "--url", "http://127.0.0.1:9")
    assert ended.code == 1
    text = ended.out.decode()
    assert "fail  endpoint /health: no answer: Connection refused\n" in text
    assert "      → is the server running" in text


def test_a_server_that_is_not_ready_is_quoted_with_its_reasons(tmp_path: Path) -> None:
    body = json.dumps({"ready": False, "reasons": ["disk full", "draining"]}).encode()
    with answering(status=503, body=body) as url:
        ended = fractal_lba("doctor", "--folder", tmp_path, "--url", url, "--json")
    assert ended.code == 1
    assert ended.json["ok"] is False
    assert by_check(ended)["endpoint /ready"]["found"] == "503: disk full; draining"


@pytest.mark.parametrize(
    ("ahead_s", "status", "found"),
    [
        (0.0, Status.OK, "agrees with this one within 2 s"),
        (30.0, Status.WARN, "behind"),
        (-30.0, Status.WARN, "ahead"),
        (-3_600.0, Status.FAIL, "3,600 s ahead"),
    ],
)
def test_the_clocks_are_compared(ahead_s: float, status: Status, found: str) -> None:
    with answering(ahead_s=ahead_s) as url:
        *_, skew = endpoint(url, access_of())
    assert (skew.check, skew.status) == ("clock of the endpoint", status)
    assert found in skew.found
    assert bool(skew.advice) == (status is not Status.OK)


@pytest.mark.parametrize("now_s", [0.0, 1_600_000_000.0, 5e9])
def test_a_clock_that_cannot_be_right_fails(now_s: float) -> None:
    finding = checks.clock(now_s)
    assert finding.status is Status.FAIL
    assert "chrony" in finding.advice
    assert checks.clock(NOW_MS / 1000).status is Status.OK


def ring(path: Path, *validity: dict[str, str]) -> Path:
    for index, each in enumerate(validity):
        options = [word for name, time_ in each.items() for word in (f"--{name}", time_)]
        done = fractal_lba(
            "keys", "generate", "--keyring", path, "--tenant", "t", "--kid", f"k-{index}", *options
        )
        assert done.code == 0, done.err
    return path


def test_a_keyring_is_judged_by_its_mode_and_the_time(tmp_path: Path) -> None:
    path = ring(
        tmp_path / "ring.json",
        {"not-after": "2026-01-01T00:00:00.000Z"},
        {"not-after": "2027-01-01T00:00:00.000Z"},
    )
    early = 1_767_000_000_000
    late = 1_798_761_600_000 - 14 * DAY_MS  # two weeks before the second ends
    assert checks.keyring(path, early - 60 * DAY_MS).status is Status.OK
    ending = checks.keyring(path, late)
    assert ending.status is Status.WARN
    assert ending.found.endswith("within 30 days ends: k-1")
    ended = checks.keyring(path, late + 400 * DAY_MS)
    assert (ended.status, ended.advice) == (
        Status.FAIL,
        "make a key: fractal-lba keys generate",
    )
    path.chmod(0o644)
    assert checks.keyring(path, early).status is Status.FAIL
    assert "0600" in checks.keyring(path, early).found


def test_a_keyring_that_is_not_there_fails_without_a_traceback(tmp_path: Path) -> None:
    ended = fractal_lba("doctor", "--folder", tmp_path, "--keyring", tmp_path / "none.json")
    assert (ended.code, ended.err) == (1, "")
    assert "fail  keyring: " in ended.out.decode()


def test_a_folder_that_cannot_be_measured_fails(tmp_path: Path) -> None:
    ended = fractal_lba("doctor", "--folder", tmp_path / "none", "--json")
    assert ended.code == 1
    found = by_check(ended)
    assert found["disk sync"]["status"] == "fail"
    assert found["disk sync"]["advice"] == "name a folder that this user can write into"
    assert found["free space"]["status"] == "fail"


def test_few_open_files_are_told(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))

    done = subprocess.run(
        [FRACTAL_LBA, "doctor", "--json", "--folder", tmp_path],
        preexec_fn=limit,
        env=os.environ,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    found = by_check(Ended(done.returncode, done.stdout, ""))["open files"]
    assert (found["status"], found["found"]) == ("fail", "128 at once, at most 128")
    assert "LimitNOFILE" in found["advice"]


@pytest.mark.parametrize("slow_ms", [30.0, 400.0])
def test_a_slow_disk_is_told_by_its_median(
    tmp_path: Path, slow_ms: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(1_000_000))
    # Each reading of the clock is one slow sync after the other.
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks) * slow_ms / 1_000)
    finding = checks.syncs(tmp_path)
    assert finding.status is (Status.WARN if slow_ms < 100 else Status.FAIL)
    assert f"median {slow_ms:.2f} ms of 20" in finding.found
    assert "SSD" in finding.advice


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8080",
        "ftp://h",
        "http://",
        "http://u:pa55word@h",
        "http://h/?q",
        "http://h:0",
    ],
)
def test_a_url_of_no_server_is_unusable(url: str) -> None:
    ended = fractal_lba("doctor", "--url", url)
    assert_unusable(ended, "--url: expected http://HOST:PORT")
    assert "pa55word" not in ended.err
