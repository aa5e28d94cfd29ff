"""An SDK's outbox on a disk that is full: refused, nothing torn or lost, and on with room."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.support.forked import run_command
from tests.support.sdk_drivers import Driver
from tests.support.server_process import ServerProcess
from tests.support.signed import body
from tests.support.small_disk import fill, small_disk

from fractal_lba.agent.opening import open_log
from fractal_lba.wal import RealDisk

FULL: Final = {"error": {"kind": "full", "code": None}}
REFUSALS: Final = 5
LEFT_BYTES: Final = 1 << 16
NOT_ACCEPTED: Final[dict[str, Any]] = {"N_j": {"2": 9, "4": 8, "8": 16, "16": 30, "32": 60}}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path, 4) as mount:
        yield mount


def recovered(sdk: Driver, data: Path, kept: dict[int, bytes]) -> None:
    """Open what a process left, by the agent and by an SDK: what was kept, and nothing torn."""
    verified = run_command("fractal-lba", "wal", "verify", data / "outbox")
    assert verified.returncode == 0, verified.stdout
    stream, contents = open_log(RealDisk(), data, now_ns=7)
    try:
        pending = contents.pending
        found = {seq: stream.read(pending[seq].position).payload for seq in pending}
        assert (found, contents.lost, contents.damage) == (kept, 0, [])
    finally:
        stream.close()
    assert sdk.open_outbox(data) == len(kept)
    assert sdk.pending() == kept
    sdk.close_outbox()
    assert list(data.glob("outbox/*.cut")) == []


@pytest.mark.parametrize("together", [1, 32])
def test_an_append_without_room_is_refused_and_the_next_one_with_room_is_kept(
    together: int, sdk: Driver, disk: Path, tmp_path: Path
) -> None:
    data = disk / "data"
    kept: dict[int, bytes] = {}

    def keep(first: int) -> bool:
        epochs = range(first, first + together)
        said = sdk.try_append(map(body, epochs))
        if said == FULL:
            return False
        kept.update(zip(said["seqs"], map(body, epochs), strict=True))
        return True

    assert sdk.open_outbox(data) == 0
    assert keep(0)
    ballast = fill(disk)
    # Of what is written into the last of it a part fits: that is taken back.
    with ballast.open("r+b") as file:
        file.truncate(ballast.stat().st_size - LEFT_BYTES)
    epoch = together
    while keep(epoch):
        epoch += together
    # What a crash right behind the refusal leaves: nothing of what was refused.
    image = shutil.copytree(data, tmp_path / "image")
    before = dict(kept)
    for _ in range(REFUSALS):
        assert not keep(epoch)
    assert sdk.pending() == kept
    ballast.unlink()
    assert keep(epoch + together)
    assert list(kept) == sorted(kept)
    assert sdk.pending() == kept
    killed = shutil.copytree(data, tmp_path / "killed")
    sdk.close_outbox()
    recovered(sdk, data, kept)
    recovered(sdk, killed, kept)
    recovered(sdk, image, before)


def test_an_outbox_is_not_opened_without_room_and_is_with_it(sdk: Driver, disk: Path) -> None:
    data = disk / "data"
    sdk.open_outbox(data)
    (seq,) = sdk.append(body(1))
    sdk.close_outbox()
    ballast = fill(disk)
    before = sorted(path.name for path in (data / "outbox").iterdir())
    assert sdk.open_outbox(data) == "disk"
    assert sorted(path.name for path in (data / "outbox").iterdir()) == before
    ballast.unlink()
    assert sdk.open_outbox(data) == 1
    assert sdk.pending() == {seq: body(1)}


def test_a_dead_letter_without_room_keeps_its_window_until_there_is(
    sdk: Driver, disk: Path, shared_server: ServerProcess, fresh_epoch: int
) -> None:
    data = disk / "data"
    sdk.open_outbox(data)
    sent = body(fresh_epoch, **NOT_ACCEPTED)
    (seq,) = sdk.append(sent)
    sdk.open_client(shared_server.url)
    ballast = fill(disk)
    assert sdk.ask("outbox.ship") == FULL
    assert sdk.pending() == {seq: sent}
    ballast.unlink()
    (answer,) = sdk.ask("outbox.ship")["answers"]
    assert (answer["seq"], answer["status"], answer["replayed"]) == (seq, 422, True)
    assert sdk.pending() == {}
    sdk.close_outbox()
    listed = run_command("fractal-agent", "dead-letters", "list", "--data", data, "--json")
    (letter,) = json.loads(listed.stdout)["letters"]
    assert letter["outbox_seq"] == seq
