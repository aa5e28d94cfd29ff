"""What is acknowledged is durable by then, and every step comes after what it stands on."""

from pathlib import Path

import pytest
from tests.support.durability import at_risk
from tests.support.failing_disk import Call, FailingDisk
from tests.support.wal_streams import labels_of, new_frame, open_stream, segments_of, snapshot

from fractal_lba.wal import RealDisk


def test_the_reader_of_calls_sees_what_is_at_risk() -> None:
    calls = [
        Call("mkdir", "s"),
        Call("create", "a.new"),
        Call("write_at", "a.new"),
        Call("datasync", "a.new"),
        Call("rename", "a"),
        Call("sync_dir", "s"),
        Call("write_at", "a.new"),
    ]
    assert at_risk(calls[:1], "s") == {"name s"}
    assert at_risk(calls[:3], "s") == {"name s", "name a.new", "data of a.new"}
    assert at_risk(calls[:5], "s") == {"name s", "name a"}
    assert at_risk(calls[:6], "s") == {"name s"}
    assert at_risk([*calls[:6], Call("sync_dir", "parent")], "s") == set()
    assert at_risk(calls, "s") == {"name s", "data of a.new"}
    with pytest.raises(AssertionError, match="a was named before its bytes were durable"):
        at_risk([*calls[:3], calls[4]], "s")


def test_nothing_is_at_risk_when_a_call_returns(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk())
    stream = open_stream(tmp_path / "above" / "s", disk)
    assert at_risk(disk.calls, "s") == set()
    for index in range(6):
        stream.append([new_frame(f"{index}", 250)])
        assert at_risk(disk.calls, "s") == set(), index
    stream.mark()
    assert at_risk(disk.calls, "s") == set()
    stream.reopen()
    assert at_risk(disk.calls, "s") == set()
    stream.append([new_frame("last")])
    stream.close()
    assert at_risk(disk.calls, "s") == set()


def test_an_append_is_one_write_and_one_sync(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk())
    stream = open_stream(tmp_path / "s", disk)
    before = len(disk.calls)
    stream.append([new_frame("one"), new_frame("two"), new_frame("three")])
    assert [call.name for call in disk.calls[before:]] == ["write_at", "datasync"]
    stream.close()


def test_a_mark_is_written_once_and_only_when_it_says_something_new(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk())
    stream = open_stream(tmp_path / "s", disk)

    def calls_of_a_mark() -> list[str]:
        before = len(disk.calls)
        stream.mark()
        return [call.name for call in disk.calls[before:]]

    assert calls_of_a_mark() == []
    stream.append([new_frame("one")])
    assert calls_of_a_mark() == ["write_at", "datasync"]
    assert calls_of_a_mark() == []
    stream.append([])
    assert calls_of_a_mark() == []
    stream.append([new_frame("two")])
    stream.append([new_frame("three")])
    assert calls_of_a_mark() == ["write_at", "datasync"]
    stream.close()


def test_a_segment_is_marked_before_it_is_left(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk())
    stream = open_stream(tmp_path / "s", disk)
    stream.append([new_frame("one", 280)])
    before = len(disk.calls)
    stream.append([new_frame("two", 280)])
    assert [call.name for call in disk.calls[before:]] == ["write_at", "datasync"]
    before = len(disk.calls)
    stream.append([new_frame("three", 280)])
    assert [call.name for call in disk.calls[before:]] == [
        *["write_at", "datasync"],  # the mark
        *["create", "write_at", "datasync", "rename", "sync_dir", "close"],
        *["write_at", "datasync"],  # the batch
    ]
    stream.close()


def test_recovery_takes_its_steps_in_an_order_a_crash_cannot_break(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk())
    stream = open_stream(tmp_path / "s", disk)
    stream.append([new_frame("one")])
    stream.append([new_frame("two")])
    disk.abandon()
    (old,) = segments_of(snapshot(tmp_path / "s"))
    with (tmp_path / "s" / old).open("ab") as file:
        file.write(b"torn")
    (tmp_path / "s" / f"{old}.cut.new").write_bytes(b"an unfinished file")
    disk = FailingDisk(RealDisk())
    stream = open_stream(tmp_path / "s", disk)
    fresh = segments_of(snapshot(tmp_path / "s"))[-1]
    changing = {"unlink", "create", "write_at", "datasync", "rename", "sync_dir", "truncate"}
    steps = [(call.name, call.path) for call in disk.calls if call.name in changing]
    assert steps == [
        ("sync_dir", tmp_path.name),
        ("unlink", f"{old}.cut.new"),
        ("create", f"{old}.cut.new"),
        ("write_at", f"{old}.cut.new"),
        ("datasync", f"{old}.cut.new"),
        ("rename", f"{old}.cut"),
        ("sync_dir", "s"),
        ("create", f"{fresh}.new"),
        ("write_at", f"{fresh}.new"),
        ("datasync", f"{fresh}.new"),
        ("rename", fresh),
        ("sync_dir", "s"),
        ("truncate", old),
        ("datasync", old),
    ]
    assert labels_of(stream) == {1: "one", 2: "two"}
    stream.close()


def test_an_empty_segment_goes_only_after_the_fresh_one_is_durable(tmp_path: Path) -> None:
    open_stream(tmp_path / "s").close()
    (old,) = segments_of(snapshot(tmp_path / "s"))
    disk = FailingDisk(RealDisk())
    open_stream(tmp_path / "s", disk).close()
    names = [(call.name, call.path) for call in disk.calls]
    assert names.index(("unlink", old)) > names.index(("sync_dir", "s"))
    assert len(segments_of(snapshot(tmp_path / "s"))) == 1


def test_no_file_of_an_earlier_opening_is_appended_to(tmp_path: Path) -> None:
    stream = open_stream(tmp_path / "s")
    stream.append([new_frame("one")])
    stream.close()
    before = snapshot(tmp_path / "s")
    disk = FailingDisk(RealDisk())
    stream = open_stream(tmp_path / "s", disk)
    stream.append([new_frame("two")])
    stream.reopen()
    stream.append([new_frame("three")])
    stream.close()
    written = {call.path.removesuffix(".new") for call in disk.calls if call.name == "write_at"}
    assert written.isdisjoint(before)
    assert len(written) >= 3
    after = snapshot(tmp_path / "s")
    kept = [name for name in before if name in after]
    assert kept
    assert all(after[name] == before[name] for name in kept)
