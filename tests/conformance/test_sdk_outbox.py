"""The outbox of an SDK and the agent's are one format: each goes on with what the other left."""

import json
import shutil
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from crc32c import crc32c
from tests.support.outboxes import (
    accept,
    contents_of,
    make_small,
    observe,
    opened,
    position_after,
    record,
    windows,
)
from tests.support.sdk_drivers import Driver
from tests.support.virtual_time import run_virtual
from tests.support.wal_streams import snapshot

from fractal_lba.agent.cli import cli as agent_cli
from fractal_lba.agent.opening import FOLDER, STREAM
from fractal_lba.cli.app import fractal_lba
from fractal_lba.protocol import Delivery, LockedError, sent_bytes, stored_bytes
from fractal_lba.wal import RealDisk, Stream, framing

EPOCHS = 30
FOREIGN = {"go": "damaged", "typescript": "newer", "rust": "contract"}
"""Which of its kinds each has for a folder of another stream."""

SHARD = "s"


def virtual(test: Callable[..., Coroutine[object, object, None]]) -> Callable[..., None]:
    """Run a test on virtual time; what it asks of a driver blocks."""

    @wraps(test)
    def run(**given: object) -> None:
        run_virtual(test(**given))

    return run


def stored(epoch: int) -> bytes:
    return stored_bytes(record(epoch))


def image(data: Path, to: Path) -> Path:
    """Copy a folder as a process that ends now would leave it."""
    return shutil.copytree(data, to)


def acknowledge(sdk: Driver, seq: int, status: int = 200, *, replayed: bool = False) -> None:
    said = sdk.ask("outbox.acknowledge", seq=seq, status=status, replayed=replayed)
    assert said == {"ok": True}


def told(*words: str) -> dict[str, Any]:
    """Return what a command says in JSON, which must end well."""
    command = {"fractal-agent": agent_cli, "fractal-lba": fractal_lba}[words[0]]
    done = CliRunner().invoke(command, [*words[1:], "--json"])
    assert done.exit_code == 0, done.output
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@virtual
async def test_an_sdk_goes_on_where_the_agent_ended_or_was_killed(
    sdk: Driver, tmp_path: Path
) -> None:
    ended, killed = tmp_path / "ended", tmp_path / "killed"
    async with opened(ended) as outbox:
        seqs = await outbox.append_all(windows(0, 4))
        await outbox.acknowledge(seqs[1], status=200, replayed=False)
        await outbox.acknowledge(seqs[3], status=202, replayed=True)
        seqs += await outbox.append_all(windows(4, 1))  # which the answers are written with
        image(ended, killed)
    for data in (ended, killed):
        assert sdk.open_outbox(data) == 3
        assert sdk.pending() == {seqs[at]: stored(at) for at in (0, 2, 4)}
        added = sdk.append(stored(5), stored(6), source="api:")
        assert added[0] > seqs[-1]
        acknowledge(sdk, seqs[0], 409)
        sdk.close_outbox()
        contents = contents_of(data)
        assert list(contents.pending) == [seqs[2], seqs[4], *added]
        # What only an agent writes is still there.
        assert contents.position("x", SHARD) == position_after(4)
        assert contents.next_epoch(SHARD, is_live=False) == 7
        assert contents.windows == 7
        assert [*contents.fates.values()] == [1, 1, 1]
        assert (contents.repeats, contents.lost, contents.damage) == (1, 0, [])


@virtual
async def test_the_agent_goes_on_where_an_sdk_ended_or_was_killed(
    sdk: Driver, tmp_path: Path
) -> None:
    ended, killed = tmp_path / "ended", tmp_path / "killed"
    sdk.open_outbox(ended)
    seqs = sdk.append(*map(stored, range(40)))
    acknowledge(sdk, seqs[0])
    seqs += sdk.append(stored(40))  # which the answer is written with
    image(ended, killed)
    sdk.close_outbox()
    for data in (ended, killed):
        async with opened(data) as outbox:
            kept = {seq: stored_bytes(await outbox.read(seq)) for seq in outbox.contents.pending}
            assert kept == {seq: stored(at) for at, seq in enumerate(seqs) if at}
            contents = outbox.contents
            assert contents.next_epoch(SHARD, is_live=True) == 41
            assert (contents.windows, contents.lost, contents.damage) == (41, 0, [])
            await accept(outbox, seqs[1])
            (more,) = await outbox.append_all(windows(41, 1))
            assert more > seqs[-1]
        assert not contents_of(data).damage
        # And the SDK where the agent ended.
        assert sdk.open_outbox(data) == 40
        assert sdk.pending() == {**{seq: kept[seq] for seq in seqs[2:]}, more: stored(41)}
        sdk.close_outbox()


@virtual
async def test_the_commands_read_what_an_sdk_wrote_also_beside_it(
    sdk: Driver, tmp_path: Path
) -> None:
    sdk.open_outbox(tmp_path)
    seqs = sdk.append(*map(stored, range(5)))
    acknowledge(sdk, seqs[0])
    acknowledge(sdk, seqs[1], 202, replayed=True)
    seqs += sdk.append(stored(5))  # which the answers are written with
    for states in (["open"], ["sealed", "open"]):
        shown = told("fractal-agent", "outbox", "inspect", "--data", str(tmp_path))["windows"]
        expected = list(zip(seqs[2:], range(2, 6), strict=True))
        assert [(each["outbox_seq"], each["epoch"]) for each in shown] == expected
        status = told("fractal-agent", "status", "--data", str(tmp_path))
        assert (status["pending"], status["accepted"], status["escalated"]) == (4, 1, 1)
        verified = told("fractal-lba", "wal", "verify", str(tmp_path / FOLDER))
        assert [each["state"] for each in verified["segments"]] == states
        if states == ["open"]:
            sdk.close_outbox()


@virtual
async def test_each_refuses_the_folder_that_the_other_holds(sdk: Driver, tmp_path: Path) -> None:
    async with opened(tmp_path):
        assert sdk.open_outbox(tmp_path) == "locked"
    assert sdk.open_outbox(tmp_path) == 0
    with Driver(sdk.name) as second:
        assert second.open_outbox(tmp_path) == "locked"
    with pytest.raises(LockedError, match=f"got pid {sdk.process.pid}"):
        Stream.open(RealDisk(), tmp_path / FOLDER, STREAM)
    sdk.close_outbox()


@virtual
async def test_an_sdk_refuses_a_newer_format_and_another_stream(
    sdk: Driver, tmp_path: Path
) -> None:
    newer, other = tmp_path / "newer", tmp_path / "other"
    async with opened(newer) as outbox:
        await outbox.append_all(windows(0, 1))
    path = min((newer / FOLDER).glob("*.seg"))
    preface = framing._PREFACE.pack(framing.SEGMENT_MAGIC, 2, 9, 8)
    bent = preface + crc32c(preface).to_bytes(4, "little")
    path.write_bytes(bent + path.read_bytes()[len(bent) :])
    assert sdk.open_outbox(newer) == "newer"
    Stream.open(RealDisk(), other / FOLDER, "inbox").close()
    before = snapshot(other / FOLDER)
    assert sdk.open_outbox(other) == FOREIGN[sdk.name]
    assert snapshot(other / FOLDER) == before


@virtual
async def test_what_a_compaction_of_the_agent_wrote_is_read(
    sdk: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_small(monkeypatch)
    expected = {}
    async with opened(tmp_path) as outbox:
        for epoch in range(EPOCHS):
            seq = await observe(outbox)
            if epoch % 3:
                await accept(outbox, seq)
            else:
                expected[seq] = stored(epoch)
            if epoch == EPOCHS // 2:
                await outbox.compact()
    assert sdk.open_outbox(tmp_path) == EPOCHS // 3
    assert sdk.pending() == expected
    sdk.close_outbox()


@virtual
async def test_an_sdk_reads_back_what_was_sent_with_its_delivery(
    sdk: Driver, tmp_path: Path
) -> None:
    delivery = Delivery(attempt=1, sent_at="2026-11-21T06:00:00.000Z", outbox_seq=1)
    sent = sent_bytes(record(0), delivery)
    sdk.open_outbox(tmp_path)
    (seq,) = sdk.append(sent)
    # Rust's, which reads no more of a record than it must, keeps it as it came.
    assert sdk.pending() == {seq: sent if sdk.name == "rust" else stored(0)}
    sdk.close_outbox()
    async with opened(tmp_path) as outbox:
        assert stored_bytes(await outbox.read(seq)) == stored(0)
