"""Python's outbox and Rust's: each recovers what the other wrote, wherever it is damaged."""

import base64
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.forked import run_command
from tests.support.sdk_drivers import Driver, require
from tests.support.signed import body

from fractal_lba.agent.contents import Contents
from fractal_lba.agent.frames import AckMeta, WindowMeta, bare_frame, window_frame
from fractal_lba.agent.opening import open_log
from fractal_lba.agent.window import SourcePosition
from fractal_lba.protocol import CorruptionError
from fractal_lba.wal import RealDisk, Stream

WINDOWS = 6
ANSWERED = (2, 5)
SEED = 20_261_122
FLIPS = 40
CUTS = 40
POSITION = SourcePosition(offset=4_096, units=512, mark="ab" * 32)

Waiting = dict[int, bytes]


@pytest.fixture
def rust() -> Iterator[Driver]:
    require("rust")
    with Driver("rust") as driver:
        yield driver


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def opened_by_python(data: Path) -> tuple[Stream, Contents]:
    return open_log(RealDisk(), data, now_ns=7)


def read_by_python(data: Path) -> Waiting:
    stream, contents = opened_by_python(data)
    try:
        return waiting(stream, contents)
    finally:
        stream.close()


def waiting(stream: Stream, contents: Contents) -> Waiting:
    found: Waiting = {}
    for seq in sorted(contents.pending):
        try:
            found[seq] = stream.read(contents.pending[seq].position).payload
        except CorruptionError:
            found[seq] = b"damaged"
    return found


def read_by_rust(rust: Driver, data: Path) -> Waiting:
    said = rust.ask("outbox.open", folder=str(data))
    windows = rust.ask("outbox.pending")["windows"]
    rust.ask("outbox.close")
    assert said == {"pending": len(windows)}
    return {each["seq"]: base64.b64decode(each["body"]) for each in windows}


def written_by_python(data: Path) -> None:
    """An outbox as an agent leaves it that is killed: some windows, and answers to two of them."""
    stream, _ = opened_by_python(data)
    for epoch in range(WINDOWS):
        meta = WindowMeta(
            source="csv+file:///x.csv", shard_id="s", next_epoch=epoch + 1, position=POSITION
        )
        stream.append([window_frame(meta, body(epoch), received_ns=epoch)])
    for seq in ANSWERED:
        stream.append([bare_frame(AckMeta(seq=seq, status=200, replayed=False), received_ns=9)])
    shutil.copytree(data, data.with_name("left"))
    stream.close()


def written_by_rust(rust: Driver, data: Path) -> None:
    """As Python's, by a driver whose outbox is still open while it is copied."""
    rust.ask("outbox.open", folder=str(data))
    for epoch in range(WINDOWS):
        rust.ask("outbox.append", source="api:", bodies=[text(body(epoch))])
    for seq in ANSWERED:
        rust.ask("outbox.acknowledge", seq=seq, status=200, replayed=False)
    rust.ask("outbox.append", source="api:", bodies=[text(body(WINDOWS))])
    shutil.copytree(data, data.with_name("left"))
    rust.ask("outbox.close")


def last_segment(data: Path) -> Path:
    return max((data / "outbox").glob("*.seg"))


def copied(left: Path, name: str, damaged: bytes) -> Path:
    data = left.with_name(name)
    shutil.rmtree(data, ignore_errors=True)
    shutil.copytree(left, data)
    last_segment(data).write_bytes(damaged)
    return data


def damages(sound: bytes) -> Iterator[tuple[str, bytes]]:
    chance = random.Random(SEED)  # noqa: S311 - places of damage
    for _ in range(CUTS):
        length = chance.randrange(len(sound))
        yield f"cut at {length}", sound[:length]
    for _ in range(FLIPS):
        bit = chance.randrange(8 * len(sound))
        bent = bytearray(sound)
        bent[bit // 8] ^= 1 << bit % 8
        yield f"bit {bit} flipped", bytes(bent)


def test_rust_reads_goes_on_and_hands_back_what_python_wrote(rust: Driver, tmp_path: Path) -> None:
    data = tmp_path / "data"
    written_by_python(data)
    left = tmp_path / "left"
    expected = {at + 1: body(at) for at in range(WINDOWS) if at + 1 not in ANSWERED}
    assert read_by_rust(rust, data) == expected
    assert read_by_rust(rust, left) == expected
    stream, contents = opened_by_python(left)
    assert contents.position("csv+file:///x.csv", "s") == POSITION
    assert (contents.next_epoch("s", is_live=False), contents.lost) == (WINDOWS, 0)
    stream.close()


def test_python_inspects_verifies_and_goes_on_with_what_rust_wrote(
    rust: Driver, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    written_by_rust(rust, data)
    for kept in (data, tmp_path / "left"):
        shown = run_command("fractal-agent", "outbox", "inspect", "--data", kept, "--json")
        assert shown.returncode == 0, shown.stderr
        windows = json.loads(shown.stdout)["windows"]
        assert [each["epoch"] for each in windows] == [0, 2, 3, 5, 6]
        verified = run_command("fractal-lba", "wal", "verify", kept / "outbox")
        assert verified.returncode == 0, verified.stdout
        stream, contents = opened_by_python(kept)
        assert contents.next_epoch("press-7", is_live=True) == WINDOWS + 1
        assert (contents.windows, contents.lost, contents.damage) == (WINDOWS + 1, 0, [])
        assert [epoch_of(each) for each in waiting(stream, contents).values()] == [0, 2, 3, 5, 6]
        stream.close()


def epoch_of(record: bytes) -> int:
    epoch: int = json.loads(record)["epoch"]
    return epoch


@pytest.mark.parametrize("writer", ["python", "rust"])
def test_both_recover_the_same_windows_from_the_same_damage(
    writer: str, rust: Driver, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    if writer == "python":
        written_by_python(data)
    else:
        written_by_rust(rust, data)
    left = tmp_path / "left"
    sound = last_segment(left).read_bytes()
    for what, damaged in damages(sound):
        by_python = read_by_python(copied(left, "one", damaged))
        kept = copied(left, "two", damaged)
        assert read_by_rust(rust, kept) == by_python, what
        # What one of them recovered is the same to the other.
        assert read_by_python(kept) == by_python, what
        assert read_by_rust(rust, left.with_name("one")) == by_python, what


@pytest.mark.parametrize("writer", ["python", "rust"])
def test_both_read_past_the_same_damage_in_a_closed_segment(
    writer: str, rust: Driver, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    if writer == "python":
        written_by_python(data)
    else:
        written_by_rust(rust, data)
    closed = min((data / "outbox").glob("*.seg"))
    sound = closed.read_bytes()
    for what, damaged in damages(sound):
        kept = [tmp_path / "one", tmp_path / "two"]
        for each in kept:
            shutil.rmtree(each, ignore_errors=True)
            shutil.copytree(data, each)
            (each / "outbox" / closed.name).write_bytes(damaged)
        assert read_by_rust(rust, kept[1]) == read_by_python(kept[0]), what
