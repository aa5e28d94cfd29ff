"""The outbox of the Go SDK and the agent's read each other's files, torn and damaged ones too."""

import base64
import json
import shutil
from collections.abc import Callable, Coroutine, Iterator
from functools import wraps
from pathlib import Path

import pytest
from click.testing import CliRunner
from crc32c import crc32c
from tests.support.outboxes import contents_of, opened, record, windows
from tests.support.sdk_drivers import Driver, require
from tests.support.virtual_time import run_virtual

from fractal_lba.agent.cli import cli as agent_cli
from fractal_lba.agent.opening import FOLDER, STREAM
from fractal_lba.cli.app import fractal_lba
from fractal_lba.protocol import Delivery, LockedError, sent_bytes, stored_bytes
from fractal_lba.wal import RealDisk, Stream, framing


def virtual(test: Callable[..., Coroutine[object, object, None]]) -> Callable[..., None]:
    """Run a test on virtual time; what it asks of a driver blocks."""

    @wraps(test)
    def run(**given: object) -> None:
        run_virtual(test(**given))

    return run


@pytest.fixture
def go() -> Iterator[Driver]:
    require("go")
    with Driver("go") as driver:
        yield driver


def text(body: bytes) -> str:
    return base64.b64encode(body).decode()


def bodies(first: int, count: int, shard_id: str = "s") -> list[str]:
    return [text(stored_bytes(record(epoch, shard_id))) for epoch in range(first, first + count)]


def waiting(go: Driver) -> dict[int, str]:
    return {each["seq"]: each["body"] for each in go.ask("outbox.pending")["windows"]}


async def kept_by_python(data: Path) -> dict[int, str]:
    async with opened(data) as outbox:
        return {
            seq: text(stored_bytes(await outbox.read(seq)))
            for seq in sorted(outbox.contents.pending)
        }


def segments(data: Path) -> list[Path]:
    return sorted((data / FOLDER).glob("*.seg"))


def image(data: Path, to: Path) -> Path:
    """Copy a folder as a process that ends now would leave it."""
    return shutil.copytree(data, to)


@virtual
async def test_go_goes_on_where_the_agent_ended(go: Driver, tmp_path: Path) -> None:
    async with opened(tmp_path) as outbox:
        seqs = await outbox.append_all(windows(0, 5))
        await outbox.acknowledge(seqs[1], status=200, replayed=False)
        await outbox.acknowledge(seqs[3], status=202, replayed=True)
    assert go.ask("outbox.open", folder=str(tmp_path))["pending"] == 3
    assert waiting(go) == {seqs[at]: bodies(at, 1)[0] for at in (0, 2, 4)}
    added = go.ask("outbox.append", source="x", bodies=bodies(5, 2))["seqs"]
    assert added[0] > seqs[-1]
    go.ask("outbox.acknowledge", seq=seqs[0], status=409, replayed=False)
    go.ask("outbox.close")
    contents = contents_of(tmp_path)
    assert list(contents.pending) == [seqs[2], seqs[4], *added]
    assert contents.next_epoch("s", is_live=False) == 7
    assert contents.windows == 7
    assert [*contents.fates.values()] == [1, 1, 1]
    assert contents.repeats == 1
    assert not contents.damage


@virtual
async def test_the_agent_goes_on_where_go_ended_or_was_killed(go: Driver, tmp_path: Path) -> None:
    data, killed = tmp_path / "data", tmp_path / "killed"
    go.ask("outbox.open", folder=str(data))
    seqs = go.ask("outbox.append", source="api:", bodies=bodies(0, 40))["seqs"]
    go.ask("outbox.acknowledge", seq=seqs[0], status=200, replayed=False)
    image(data, killed)
    go.ask("outbox.close")
    for folder in (data, killed):
        kept = await kept_by_python(folder)
        assert [kept[seq] for seq in seqs[1:]] == bodies(1, 39)
        async with opened(folder) as outbox:
            assert outbox.contents.next_epoch("s", is_live=True) == 40
            assert (await outbox.append_all(windows(40, 1)))[0] > seqs[-1]
        assert not contents_of(folder).damage


@virtual
async def test_the_commands_read_what_go_wrote_also_beside_it(go: Driver, tmp_path: Path) -> None:
    go.ask("outbox.open", folder=str(tmp_path))
    seqs = go.ask("outbox.append", source="api:", bodies=bodies(3, 2))["seqs"]
    states: list[str] = []
    for is_open in (True, False):
        if not is_open:
            go.ask("outbox.close")
        runner = CliRunner()
        said = runner.invoke(agent_cli, ["outbox", "inspect", "--data", str(tmp_path), "--json"])
        assert said.exit_code == 0, said.output
        shown = json.loads(said.stdout)["windows"]
        assert [(each["outbox_seq"], each["epoch"]) for each in shown] == [
            (seqs[0], 3),
            (seqs[1], 4),
        ]
        verified = runner.invoke(fractal_lba, ["wal", "verify", str(tmp_path / FOLDER), "--json"])
        assert verified.exit_code == 0, verified.output
        states = [each["state"] for each in json.loads(verified.stdout)["segments"]]
    assert states == ["sealed", "open"]


@virtual
async def test_each_refuses_the_folder_that_the_other_holds(go: Driver, tmp_path: Path) -> None:
    async with opened(tmp_path):
        assert go.ask("outbox.open", folder=str(tmp_path))["error"]["kind"] == "locked"
    go.ask("outbox.open", folder=str(tmp_path))
    with Driver("go") as second:
        assert second.ask("outbox.open", folder=str(tmp_path))["error"] == {"kind": "locked"}
    with pytest.raises(LockedError, match=f"got pid {go.process.pid}"):
        Stream.open(RealDisk(), tmp_path / FOLDER, STREAM)
    go.ask("outbox.close")


@virtual
async def test_go_refuses_a_newer_format_and_another_stream(go: Driver, tmp_path: Path) -> None:
    newer, other = tmp_path / "newer", tmp_path / "other"
    async with opened(newer) as outbox:
        await outbox.append_all(windows(0, 1))
    path = segments(newer)[0]
    preface = framing._PREFACE.pack(framing.SEGMENT_MAGIC, 2, 9, 8)
    bent = preface + crc32c(preface).to_bytes(4, "little")
    path.write_bytes(bent + path.read_bytes()[len(bent) :])
    assert go.ask("outbox.open", folder=str(newer))["error"] == {"kind": "newer"}
    Stream.open(RealDisk(), other / FOLDER, "inbox").close()
    assert go.ask("outbox.open", folder=str(other))["error"]["kind"] == "damaged"


def cuts(size: int) -> list[int]:
    """Of the header, the batches and the end; every byte is cut in the SDK's own tests."""
    return sorted({*range(0, 300, 37), *range(300, size, 211), *range(size - 60, size + 1, 3)})


@virtual
async def test_go_recovers_a_segment_of_the_agent_cut_anywhere_as_the_agent_does(
    go: Driver, tmp_path: Path
) -> None:
    async with opened(tmp_path / "whole") as outbox:
        await outbox.append_all(windows(0, 2))
        await outbox.append_all(windows(2, 2))
        image(tmp_path / "whole", tmp_path / "live")
    await same_by_both(go, tmp_path, list(_cut(tmp_path / "live", tmp_path)))


@virtual
async def test_the_agent_recovers_a_segment_of_go_cut_anywhere_as_go_does(
    go: Driver, tmp_path: Path
) -> None:
    go.ask("outbox.open", folder=str(tmp_path / "whole"))
    for first in (0, 2):
        go.ask("outbox.append", source="x", bodies=bodies(first, 2))
    image(tmp_path / "whole", tmp_path / "live")
    go.ask("outbox.close")
    await same_by_both(go, tmp_path, list(_cut(tmp_path / "live", tmp_path)))


def _cut(live: Path, to: Path) -> Iterator[Path]:
    """Yield copies of a folder whose last segment is cut."""
    size = segments(live)[-1].stat().st_size
    for length in cuts(size):
        data = image(live, to / f"cut-{length}")
        with segments(data)[-1].open("r+b") as file:
            file.truncate(length)
        yield data


@virtual
async def test_both_find_the_same_behind_a_wrong_checksum(go: Driver, tmp_path: Path) -> None:
    for sealed in (False, True):
        whole = tmp_path / f"whole-{sealed}"
        async with opened(whole) as outbox:
            for first in (0, 2, 4):
                await outbox.append_all(windows(first, 2))
            if not sealed:
                image(whole, tmp_path / "unsealed")
        live = whole if sealed else tmp_path / "unsealed"
        bent = []
        size = segments(live)[0].stat().st_size
        for offset in {*range(0, 330, 17), *range(330, size, 101), *range(size - 44, size, 7)}:
            data = image(live, tmp_path / f"bent-{sealed}-{offset}")
            path = segments(data)[0]
            damaged = bytearray(path.read_bytes())
            damaged[offset] ^= 0x20
            path.write_bytes(damaged)
            bent.append(data)
        await same_by_both(go, tmp_path, bent)


async def same_by_both(go: Driver, scratch: Path, folders: list[Path]) -> None:
    """Let each recover a copy of every folder: they give the same, and go on after it."""
    assert len(folders) > 30
    for at, data in enumerate(folders):
        copy = image(data, scratch / f"go-{at}-{data.name}")
        go.ask("outbox.open", folder=str(copy))
        given = waiting(go)
        (seq,) = go.ask("outbox.append", source="x", bodies=bodies(100, 1))["seqs"]
        go.ask("outbox.close")
        recovered = contents_of(copy)  # what is missing shows when something stands behind it
        async with opened(data) as outbox:
            contents = outbox.contents
            expected = {
                each: text(stored_bytes(await outbox.read(each)))
                for each in sorted(contents.pending)
            }
            (next_seq,) = await outbox.append_all(windows(100, 1))
        assert given == expected, data.name
        assert seq == next_seq, data.name
        assert recovered.lost == contents.lost, data.name
        assert len(recovered.damage) == len(contents.damage), data.name
        # What the other recovered, and went on with, is whole for each.
        assert {*await kept_by_python(copy)} == {*expected, seq}
        assert go.ask("outbox.open", folder=str(data))["pending"] == len(expected) + 1
        go.ask("outbox.close")


@virtual
async def test_go_reads_back_what_was_sent_with_its_delivery(go: Driver, tmp_path: Path) -> None:
    sent = sent_bytes(
        record(0), Delivery(attempt=1, sent_at="2026-11-21T06:00:00.000Z", outbox_seq=1)
    )
    go.ask("outbox.open", folder=str(tmp_path))
    (seq,) = go.ask("outbox.append", source="x", bodies=[text(sent)])["seqs"]
    assert waiting(go) == {seq: bodies(0, 1)[0]}
    go.ask("outbox.close")
