"""Whole segments that a durable cursor skips go, and nothing is missed afterwards."""

from pathlib import Path

import pytest
from tests.support.failing_disk import FailingDisk
from tests.support.wal_streams import (
    NAME,
    damage_of,
    flipped,
    folder_labels,
    labels_of,
    new_frame,
    open_stream,
    restore,
    segments_of,
    snapshot,
)

from fractal_lba.protocol.errors import ContractError, CorruptionError, FencedError
from fractal_lba.wal import RealDisk, Stream, scan_folder

LABELS = {seq: f"{seq}" for seq in range(1, 8)}


def filled(folder: Path, disk: FailingDisk | None = None) -> Stream:
    """Return a stream of seven frames, two in each segment, one in the last."""
    stream = open_stream(folder, disk)
    for label in LABELS.values():
        stream.append([new_frame(label, 300)])
    return stream


def kept(first: int) -> dict[int, str]:
    return {seq: label for seq, label in LABELS.items() if seq >= first}


def beside(folder: Path) -> list[object]:
    return list(scan_folder(RealDisk(), folder, NAME))


def test_segments_below_a_number_go_and_the_others_stay(tmp_path: Path) -> None:
    stream = filled(tmp_path / "s")
    names = segments_of(snapshot(tmp_path / "s"))
    sizes = [(tmp_path / "s" / name).stat().st_size for name in names]
    assert stream.first_seq == 1
    retained = stream.retain_from(6, cursor_seq=7)
    # Frame 5 stands in one segment with 6.
    assert (retained.first_seq, retained.removed, retained.set_aside) == (5, 2, ())
    assert retained.removed_bytes == sum(sizes[:2])
    assert stream.first_seq == 5
    assert segments_of(snapshot(tmp_path / "s"))[:2] == names[2:]
    assert labels_of(stream) == folder_labels(tmp_path / "s") == kept(5)
    assert [placed.seq for placed in stream.append([new_frame("next")])] == [8]
    stream.close()


def test_everything_but_the_cursor_can_go(tmp_path: Path) -> None:
    stream = filled(tmp_path / "s")
    assert stream.retain_from(7, cursor_seq=7).first_seq == 7
    assert labels_of(stream) == kept(7)
    stream.close()
    stream = open_stream(tmp_path / "s")
    assert labels_of(stream) == kept(7)
    assert (stream.first_seq, stream.next_seq) == (7, 8)
    stream.close()


@pytest.mark.parametrize(
    ("seq", "cursor_seq"),
    [
        pytest.param(5, 8, id="cursor not appended"),
        pytest.param(7, 6, id="cursor given up with the rest"),
        pytest.param(8, 8, id="more than there is"),
        pytest.param(1, 0, id="no cursor"),
    ],
)
def test_a_cursor_that_does_not_stand_in_the_stream_is_refused(
    tmp_path: Path, seq: int, cursor_seq: int
) -> None:
    stream = filled(tmp_path / "s")
    before = snapshot(tmp_path / "s")
    with pytest.raises(ContractError, match="expected a cursor that was appended"):
        stream.retain_from(seq, cursor_seq=cursor_seq)
    assert snapshot(tmp_path / "s") == before
    assert not stream.is_fenced
    stream.close()


def test_where_nothing_can_go_nothing_is_written(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk())
    stream = filled(tmp_path / "s", disk)
    before = len(disk.calls)
    assert stream.retain_from(2, cursor_seq=7).removed == 0
    assert len(disk.calls) == before
    stream.retain_from(7, cursor_seq=7)
    before = len(disk.calls)
    assert stream.retain_from(7, cursor_seq=7).first_seq == 7
    assert len(disk.calls) == before
    stream.close()
    with pytest.raises(FencedError, match="got a closed one"):
        open_and_close(tmp_path / "t").retain_from(5, cursor_seq=7)


def open_and_close(folder: Path) -> Stream:
    stream = filled(folder)
    stream.close()
    return stream


def test_the_bound_is_durable_before_the_first_segment_goes(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk())
    stream = filled(tmp_path / "s", disk)
    old = segments_of(snapshot(tmp_path / "s"))
    before = len(disk.calls)
    stream.retain_from(5, cursor_seq=7)
    fresh = segments_of(snapshot(tmp_path / "s"))[-1]
    assert [(call.name, call.path) for call in disk.calls[before:]] == [
        ("write_at", f"{old[3]}.new"),  # the footer; files are known by the name they were made as
        ("datasync", f"{old[3]}.new"),
        ("create", f"{fresh}.new"),
        ("write_at", f"{fresh}.new"),
        ("datasync", f"{fresh}.new"),
        ("rename", fresh),
        ("sync_dir", "s"),
        ("close", f"{old[3]}.new"),
        ("unlink", old[0]),
        ("unlink", old[1]),
    ]
    stream.close()


def test_what_retention_removed_is_no_damage_and_what_was_lost_is(tmp_path: Path) -> None:
    stream = filled(tmp_path / "s")
    stream.retain_from(3, cursor_seq=7)
    assert damage_of(stream.scan()) == damage_of(beside(tmp_path / "s")) == []
    stream.close()
    disk = FailingDisk(RealDisk())
    stream = open_stream(tmp_path / "s", disk)
    assert stream.recovery.damage == ()
    first, *_ = segments_of(snapshot(tmp_path / "s"))
    # Nothing of the first one but its header had to be read to know: at opening, and after it.
    assert [call.name for call in disk.calls if call.path == first].count("read_at") == 2
    assert damage_of(stream.scan()) == []
    stream.close()

    (tmp_path / "s" / segments_of(snapshot(tmp_path / "s"))[0]).unlink()
    (seen,) = damage_of(beside(tmp_path / "s"))
    assert (seen.first_seq, seen.last_seq, seen.what) == (3, 4, "segments are missing")
    stream = open_stream(tmp_path / "s")
    assert stream.recovery.damage == (seen,)
    assert damage_of(stream.scan()) == [seen]
    assert labels_of(stream) == kept(5)
    stream.close()


def test_the_bound_outlives_rotations_crashes_and_the_header_it_came_in(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk())
    stream = filled(tmp_path / "s", disk)
    stream.retain_from(5, cursor_seq=7)
    for label in ("8", "9", "10"):
        stream.append([new_frame(label, 300)])
    assert stream.first_seq == 5
    disk.abandon()
    labels = kept(5) | {8: "8", 9: "9", 10: "10"}
    stream = open_stream(tmp_path / "s")
    assert stream.first_seq == 5
    stream.close()
    files = snapshot(tmp_path / "s")
    for name in segments_of(files)[2:]:
        restore(tmp_path / "s", files | {name: flipped(files[name], 90)})
        assert folder_labels(tmp_path / "s") == labels
        (seen,) = damage_of(beside(tmp_path / "s"))
        assert (seen.what, seen.first_seq) == ("segment header does not verify", None)
        stream = open_stream(tmp_path / "s")
        assert (stream.first_seq, labels_of(stream)) == (5, labels)
        stream.close()


def test_what_a_crash_brings_back_is_passed_over_and_removed(tmp_path: Path) -> None:
    stream = filled(tmp_path / "s")
    before = snapshot(tmp_path / "s")
    stream.retain_from(7, cursor_seq=7)
    stream.close()
    after = snapshot(tmp_path / "s")
    gone = sorted(before.keys() - after.keys())
    assert len(gone) == 3
    cases = [gone, gone[:1], gone[1:2], gone[::2]]
    for names in cases:
        # The middle one may come back damaged too: it is not of the stream any more.
        for bad in (None, gone[1]):
            back = {name: before[name] for name in names}
            if bad in back:
                back[bad] = flipped(back[bad], 30)
            restore(tmp_path / "s", after | back)
            assert folder_labels(tmp_path / "s") == kept(7)
            assert damage_of(beside(tmp_path / "s")) == []
            stream = open_stream(tmp_path / "s")
            assert labels_of(stream) == kept(7)
            assert stream.recovery.damage == ()
            assert not set(snapshot(tmp_path / "s")) & set(gone)
            stream.close()


def test_a_damaged_segment_is_set_aside(tmp_path: Path) -> None:
    filled(tmp_path / "s").close()
    first, second, *_ = segments_of(snapshot(tmp_path / "s"))
    damaged = flipped((tmp_path / "s" / second).read_bytes(), 400)
    (tmp_path / "s" / second).write_bytes(damaged)
    stream = open_stream(tmp_path / "s")
    assert [each.segment for each in damage_of(stream.scan())] == [second]
    stream.append([new_frame("cursor")])
    retained = stream.retain_from(7, cursor_seq=8)
    assert (retained.removed, retained.set_aside) == (3, (f"{second}.bad",))
    assert (tmp_path / "s" / f"{second}.bad").read_bytes() == damaged
    assert not (tmp_path / "s" / first).exists()
    assert labels_of(stream) == kept(7) | {8: "cursor"}
    assert damage_of(stream.scan()) == []
    stream.close()
    stream = open_stream(tmp_path / "s")
    assert stream.recovery.damage == ()
    assert (tmp_path / "s" / f"{second}.bad").exists()
    stream.close()


def test_a_damaged_header_at_the_front_does_not_keep_the_rest(tmp_path: Path) -> None:
    filled(tmp_path / "s").close()
    _, second, *_ = segments_of(snapshot(tmp_path / "s"))
    path = tmp_path / "s" / second
    path.write_bytes(flipped(path.read_bytes(), 30))
    stream = open_stream(tmp_path / "s")
    # Where it begins nobody can say: both go when the one behind them may stay alone.
    assert stream.retain_from(3, cursor_seq=7).removed == 0
    retained = stream.retain_from(5, cursor_seq=7)
    assert (retained.first_seq, retained.removed, retained.set_aside) == (5, 2, (f"{second}.bad",))
    assert labels_of(stream) == kept(5)
    stream.close()


def test_a_frame_that_is_gone_is_told_so(tmp_path: Path) -> None:
    stream = open_stream(tmp_path / "s")
    (first,) = stream.append([new_frame("1", 300)])
    for label in ("2", "3"):
        stream.append([new_frame(label, 300)])
    stream.retain_from(3, cursor_seq=3)
    with pytest.raises(CorruptionError, match="got no such segment"):
        stream.read(first.position)
    stream.close()
