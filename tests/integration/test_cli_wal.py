"""``fractal-lba wal``: tables, JSON and exit codes, beside a server that writes."""

from pathlib import Path

import pytest
from tests.support.command_line import assert_unusable, fractal_lba
from tests.support.server_process import Folder, ServerProcess
from tests.support.signed import body
from tests.support.wal_streams import flipped, new_frame, open_stream, segments_of, snapshot


def test_a_stream_is_listed_and_verified_beside_its_server(folder: Folder) -> None:
    with ServerProcess(folder) as server:
        for epoch in range(3):
            assert server.submit(body(epoch)).status == 200
        for stream in ("inbox-0", "shard-0/ledger"):
            before = snapshot(folder.data / stream).keys()
            listed = fractal_lba("wal", "inspect", folder.data / stream)
            assert (listed.code, listed.err) == (0, "")
            head, titles, row, *_ = listed.out.decode().splitlines()
            assert head.startswith(f"stream {stream}: 1 segments, ")
            assert titles.split() == ["SEGMENT", "FRAMES", "BYTES", "STATE", "BEGUN", "SEALED"]
            assert row.split()[3:] == ["open", row.split()[4], "-"]
            verified = fractal_lba("wal", "verify", folder.data / stream)
            assert (verified.code, verified.err) == (0, "")
            assert f"stream {stream}: sound; 1 segments, ".encode() in verified.out
            assert snapshot(folder.data / stream).keys() == before
        assert server.stop() == 0


def test_json_says_the_same(tmp_path: Path) -> None:
    stream = open_stream(tmp_path)
    for index in range(1, 6):
        stream.append([new_frame(f"{index}", 300)])
    stream.retain_from(3, cursor_seq=5)
    stream.close()
    (tmp_path / "x.seg.cut").write_bytes(b"")
    listed = fractal_lba("wal", "inspect", tmp_path, "--json").json
    assert (listed["stream"], listed["kept_from"], listed["others"]) == ("inbox", 3, ["x.seg.cut"])
    assert [
        (each["state"], each["first_seq"], each["next_seq"]) for each in listed["segments"]
    ] == [("sealed", 3, 5), ("sealed", 5, 6), ("open", 6, 6)]
    assert listed["bytes"] == sum(each["bytes"] for each in listed["segments"])
    assert listed["segments"][0]["begun"] <= listed["segments"][0]["sealed"]
    assert listed["segments"][-1]["sealed"] is None
    text = fractal_lba("wal", "inspect", tmp_path).out.decode()
    assert "kept from frame 3 on" in text
    assert "beside it: x.seg.cut" in text
    assert " none " in text
    verified = fractal_lba("wal", "verify", tmp_path, "--json")
    found = verified.json
    assert (verified.code, found["is_sound"], found["damage"]) == (0, True, [])
    assert (found["frames"], found["first_seq"], found["last_seq"]) == (3, 3, 5)


def test_damage_is_named_and_ends_with_1(tmp_path: Path) -> None:
    stream = open_stream(tmp_path)
    for index in range(1, 4):
        stream.append([new_frame(f"{index}", 300)])
    stream.close()
    name, *_ = segments_of(snapshot(tmp_path))
    path = tmp_path / name
    whole = path.read_bytes()
    path.write_bytes(flipped(whole, 300))
    verified = fractal_lba("wal", "verify", tmp_path)
    assert verified.code == 1
    damaged, summary = verified.out.decode().splitlines()
    assert damaged.startswith(f"damaged: {name} at 264, ")
    assert damaged.endswith("frames 1 to 1 lost")
    assert "1 damaged places; " in summary
    found = fractal_lba("wal", "verify", tmp_path, "--json").json
    (damage,) = found["damage"]
    assert (damage["segment"], damage["offset"]) == (name, 264)
    assert (damage["first_lost"], damage["last_lost"]) == (1, 1)
    path.write_bytes(flipped(whole, 30))
    assert " ?" in fractal_lba("wal", "inspect", tmp_path).out.decode()


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_what_cannot_be_read_ends_with_2(tmp_path: Path, command: str) -> None:
    for folder, says in (
        (tmp_path, "expected segments of a stream, got none"),
        (tmp_path / "gone", "No such file or directory"),
    ):
        assert_unusable(fractal_lba("wal", command, folder), says)
