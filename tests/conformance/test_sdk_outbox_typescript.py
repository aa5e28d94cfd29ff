"""The outbox of TypeScript and the agent's are one format: each says the same of any files."""

import asyncio
import base64
import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from tests.support.forked import run_command
from tests.support.outboxes import SMALL_SEGMENT_BYTES, accept, make_small, opened
from tests.support.sdk_drivers import SDKS, Driver, require
from tests.support.signed import body

from fractal_lba.agent.contents import Contents
from fractal_lba.agent.frames import WindowMeta
from fractal_lba.agent.opening import FOLDER, STREAM
from fractal_lba.protocol import parse_record
from fractal_lba.wal import RealDisk, scan_folder

SDK: Final = "typescript"
IMAGES: Final = 60
EPOCHS: Final = 30
pytestmark = pytest.mark.skipif(SDK not in SDKS, reason="sdk/typescript: not in this checkout")


@pytest.fixture
def driver() -> Iterator[Driver]:
    require(SDK)
    with Driver(SDK) as driver:
        yield driver


def append(driver: Driver, *epochs: int) -> list[int]:
    bodies = [base64.b64encode(body(epoch)).decode() for epoch in epochs]
    seqs: list[int] = driver.ask("outbox.append", source="x", bodies=bodies)["seqs"]
    return seqs


def pending(driver: Driver) -> dict[int, bytes]:
    windows: list[dict[str, Any]] = driver.ask("outbox.pending")["windows"]
    return {each["seq"]: base64.b64decode(each["body"]) for each in windows}


def held(data: Path) -> dict[int, bytes]:
    """Return what waits in a folder, as the Python side reads it without a lock."""
    contents = Contents.read(scan_folder(RealDisk(), data / FOLDER, STREAM))
    return {
        item[1].seq: item[1].payload
        for item in scan_folder(RealDisk(), data / FOLDER, STREAM)
        if isinstance(item, tuple) and item[1].seq in contents.pending and item[1].payload
    }


async def written_by_the_agent(data: Path) -> None:
    """Write some segments: windows, answers, gaps, copies, totals and streams among them."""
    async with opened(data) as outbox:
        for epoch in range(EPOCHS):
            meta = WindowMeta(source="x", shard_id="press-7", next_epoch=epoch + 1, position=None)
            seq = await outbox.append(meta, parse_record(body(epoch)))
            if epoch % 3:
                await accept(outbox, seq)
            if epoch == EPOCHS // 2:
                await outbox.compact()


def test_the_agents_tools_read_what_typescript_wrote(driver: Driver, tmp_path: Path) -> None:
    data = tmp_path / "data"
    driver.ask("outbox.open", folder=str(data))
    seqs = append(driver, *range(5))
    driver.ask("outbox.acknowledge", seq=seqs[0], status=200, replayed=False)
    driver.ask("outbox.acknowledge", seq=seqs[1], status=202, replayed=True)
    driver.ask("outbox.close")
    done = run_command("fractal-agent", "outbox", "inspect", "--data", data, "--json")
    assert done.returncode == 0
    said = json.loads(done.stdout)
    assert [each["outbox_seq"] for each in said["windows"]] == seqs[2:]
    assert [each["epoch"] for each in said["windows"]] == [2, 3, 4]
    status = json.loads(run_command("fractal-agent", "status", "--data", data, "--json").stdout)
    assert (status["pending"], status["accepted"], status["escalated"]) == (3, 1, 1)
    verified = run_command("fractal-lba", "wal", "verify", data / FOLDER)
    assert verified.returncode == 0, verified.stderr


def test_the_agent_goes_on_where_typescript_stopped(driver: Driver, tmp_path: Path) -> None:
    data = tmp_path / "data"
    driver.ask("outbox.open", folder=str(data))
    seqs = append(driver, 0, 1)
    driver.ask("outbox.close")

    async def go_on() -> int:
        async with opened(data) as outbox:
            assert list(outbox.contents.pending) == seqs
            assert outbox.contents.next_epoch("press-7", is_live=False) == 2
            await accept(outbox, seqs[0])
            meta = WindowMeta(source="x", shard_id="press-7", next_epoch=3, position=None)
            return await outbox.append(meta, parse_record(body(2)))

    third = asyncio.run(go_on())
    assert third > seqs[1]
    assert driver.ask("outbox.open", folder=str(data)) == {"pending": 2}
    assert pending(driver) == {seqs[1]: body(1), third: body(2)}
    driver.ask("outbox.close")


def test_what_a_compaction_of_the_agent_wrote_is_read(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small(monkeypatch)
    data = tmp_path / "data"
    asyncio.run(written_by_the_agent(data))
    expected = {
        item: body(epoch)
        for epoch in range(0, EPOCHS, 3)
        for item in Contents.read(scan_folder(RealDisk(), data / FOLDER, STREAM)).pending
        if body(epoch) in held_by_number(data).get(item, b"")
    }
    assert len(expected) == EPOCHS // 3
    assert driver.ask("outbox.open", folder=str(data)) == {"pending": len(expected)}
    assert pending(driver) == expected
    driver.ask("outbox.close")


def held_by_number(data: Path) -> dict[int, bytes]:
    """Return the payload of each window that waits, whichever copy of it is the last."""
    found: dict[int, bytes] = {}
    for item in scan_folder(RealDisk(), data / FOLDER, STREAM):
        if isinstance(item, tuple) and item[1].payload:
            meta = json.loads(item[1].meta)
            found[meta["seq"] if meta["kind"] == "carried" else item[1].seq] = item[1].payload
    return found


def bent(data: Path, rng: random.Random) -> None:
    """Cut a segment, flip bits of it, or take it away."""
    segments = sorted((data / FOLDER).glob("*.seg"))
    path = segments[-1] if rng.random() < 0.5 else rng.choice(segments)
    whole = bytearray(path.read_bytes())
    match rng.randrange(4):
        case 0:
            del whole[rng.randrange(len(whole)) :]
        case 1:
            whole[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        case 2:
            start = rng.randrange(len(whole))
            for at in range(start, min(len(whole), start + rng.randrange(2_000))):
                whole[at] = rng.randrange(256)
        case _:
            if len(segments) > 1 and rng.random() < 0.5:
                path.unlink()
                return
            whole += rng.randbytes(rng.randrange(200))
    path.write_bytes(whole)


@pytest.mark.parametrize("seed", range(int(os.environ.get("FLBA_SDK_SEEDS", "1"))))
def test_both_find_the_same_in_damaged_files(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    make_small(monkeypatch)
    assert SMALL_SEGMENT_BYTES < 10_000  # several segments
    source = tmp_path / "source"
    asyncio.run(written_by_the_agent(source))
    lost = 0
    for number in range(IMAGES):
        rng = random.Random(seed * 1_000 + number)  # noqa: S311 - a seed that is printed
        one, other = tmp_path / f"one-{number}", tmp_path / f"other-{number}"
        shutil.copytree(source, one)
        for _ in range(rng.randrange(1, 4)):
            bent(one, rng)
        shutil.copytree(one, other)
        expected = asyncio.run(recovered(one))
        said = driver.ask("outbox.open", folder=str(other))
        where = f"seed {seed}, image {number}"
        if "error" in said:
            assert expected is None, f"{where}: {said}"
            continue
        assert expected is not None, where
        told = driver.ask("outbox.damage")
        found = Found(sorted(pending(driver)), told["damage"], told["lost"])
        assert found == expected, where
        driver.ask("outbox.close")
        assert names(other) == names(one), where
        lost += EPOCHS // 3 - len(expected.pending)
    assert lost > IMAGES / 4  # the images do hold damage


class Found(NamedTuple):
    """What an opening finds: the numbers that wait, what is damaged, how many frames are lost."""

    pending: list[int]
    damage: list[str]
    lost: int


async def recovered(data: Path) -> Found | None:
    """Return what the Python side finds when it opens a folder; None where it refuses to."""
    try:
        async with opened(data) as outbox:
            contents = outbox.contents
            return Found(sorted(contents.pending), contents.damage, contents.lost)
    except Exception:  # noqa: BLE001 - whatever it is: the other must refuse, too
        return None


def names(data: Path) -> list[str]:
    """Return what recovery made of a folder: kinds and ordinals; ids are random."""
    return sorted(path.name[:10] + "".join(path.suffixes) for path in (data / FOLDER).glob("0*"))
