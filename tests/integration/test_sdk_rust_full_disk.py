"""Rust's outbox on a full file system: it refuses, loses nothing it took, and goes on with room."""

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.support.forked import run_command
from tests.support.sdk_drivers import Driver, require
from tests.support.server_process import ServerProcess
from tests.support.signed import body
from tests.support.small_disk import fill, small_disk

from fractal_lba.agent.opening import open_log
from fractal_lba.wal import RealDisk

MEGABYTES: Final = 2
REFUSALS: Final = 5
FULL: Final = {"error": {"kind": "full", "code": None}}
NOT_ACCEPTED: Final[dict[str, Any]] = {"N_j": {"2": 9, "4": 8, "8": 16, "16": 30, "32": 60}}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path, MEGABYTES) as mount:
        yield mount


@pytest.fixture
def rust() -> Iterator[Driver]:
    require("rust")
    with Driver("rust") as driver:
        yield driver


def appended(rust: Driver, sent: bytes) -> dict[str, Any]:
    bodies = [base64.b64encode(sent).decode()]
    return rust.ask("outbox.append", source="x", bodies=bodies)


def waiting(rust: Driver) -> dict[int, bytes]:
    windows = rust.ask("outbox.pending")["windows"]
    return {each["seq"]: base64.b64decode(each["body"]) for each in windows}


def read_by_the_agent(data: Path) -> tuple[dict[int, bytes], int]:
    """Return what waits by the agent's reading, and how many frames it misses."""
    verified = run_command("fractal-lba", "wal", "verify", data / "outbox")
    assert verified.returncode == 0, verified.stdout
    stream, contents = open_log(RealDisk(), data, now_ns=7)
    try:
        assert contents.damage == []
        pending = contents.pending
        found = {seq: stream.read(pending[seq].position).payload for seq in pending}
        return found, contents.lost
    finally:
        stream.close()


def test_a_full_disk_refuses_windows_loses_none_and_room_lets_it_go_on(
    rust: Driver, disk: Path, tmp_path: Path
) -> None:
    data = disk / "data"
    assert rust.open_outbox(data) == 0
    taken = {}
    ballast = None
    refusals = 0
    for epoch in range(200):
        said = appended(rust, body(epoch))
        if "seqs" in said:
            # A page of the file that is there already may take a few more.
            assert refusals == 0
            taken[said["seqs"][0]] = body(epoch)
        else:
            assert said == FULL
            refusals += 1
        if len(taken) == 5 and ballast is None:
            ballast = fill(disk)
        if refusals == REFUSALS:
            break
    assert ballast is not None
    assert (refusals, waiting(rust)) == (REFUSALS, taken)
    # What a kill right here would leave.
    shutil.copytree(data, tmp_path / "left")
    assert read_by_the_agent(tmp_path / "left") == (taken, 0)
    ballast.unlink()
    (seq,) = appended(rust, body(300))["seqs"]
    taken[seq] = body(300)
    assert waiting(rust) == taken
    assert rust.ask("outbox.close") == {"ok": True}
    assert read_by_the_agent(data) == (taken, 0)


def test_an_outbox_is_not_opened_without_room_and_is_with_it(rust: Driver, disk: Path) -> None:
    data = disk / "data"
    rust.open_outbox(data)
    (seq,) = appended(rust, body(1))["seqs"]
    rust.ask("outbox.close")
    ballast = fill(disk)
    before = sorted(path.name for path in (data / "outbox").iterdir())
    assert rust.open_outbox(data) == "disk"
    assert sorted(path.name for path in (data / "outbox").iterdir()) == before
    ballast.unlink()
    assert rust.open_outbox(data) == 1
    assert waiting(rust) == {seq: body(1)}


def test_a_dead_letter_without_room_keeps_its_window_until_there_is(
    rust: Driver, disk: Path, shared_server: ServerProcess, fresh_epoch: int
) -> None:
    data = disk / "data"
    rust.open_outbox(data)
    sent = body(fresh_epoch, **NOT_ACCEPTED)
    (seq,) = appended(rust, sent)["seqs"]
    rust.ask("client.open", url=shared_server.url, token=None, retries=2, deadline_s=60.0)
    ballast = fill(disk)
    assert rust.ask("outbox.ship") == FULL
    assert waiting(rust) == {seq: sent}
    ballast.unlink()
    (answer,) = rust.ask("outbox.ship")["answers"]
    assert (answer["seq"], answer["status"], answer["replayed"]) == (seq, 422, True)
    assert waiting(rust) == {}
    rust.ask("outbox.close")
    listed = run_command("fractal-agent", "dead-letters", "list", "--data", data, "--json")
    (letter,) = json.loads(listed.stdout)["letters"]
    assert letter["outbox_seq"] == seq
