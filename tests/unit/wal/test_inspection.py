"""What inspecting and verifying a folder say, of a sound stream and of every kind of damage."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from crc32c import crc32c
from tests.support.failing_disk import FailingDisk
from tests.support.wal_streams import (
    NAME,
    flipped,
    new_frame,
    open_stream,
    restore,
    segments_of,
    snapshot,
)
from typing_extensions import override

from fractal_lba.protocol.errors import ContractError, DurabilityError
from fractal_lba.wal import Damage, File, RealDisk
from fractal_lba.wal.footer import FOOTER_BYTES, footer_at, pack_footer
from fractal_lba.wal.framing import SegmentKey
from fractal_lba.wal.inspection import SegmentState, check_footers, inspect_folder, verify_folder


def made(folder: Path) -> list[str]:
    """Make a stream with two sealed segments, one that a crash ended and an open one."""
    disk = FailingDisk(RealDisk())
    stream = open_stream(folder, disk)
    for index in range(1, 6):
        stream.append([new_frame(f"{index}", 300)])
    disk.abandon()
    disk = FailingDisk(RealDisk())
    stream = open_stream(folder, disk)
    stream.append([new_frame("6")])
    stream.mark()
    disk.abandon()
    return segments_of(snapshot(folder))


def test_segments_are_listed_with_how_they_ended(tmp_path: Path) -> None:
    names = made(tmp_path)
    before = snapshot(tmp_path)
    report = inspect_folder(RealDisk(), tmp_path)
    assert (report.stream, report.kept_from, report.others) == (NAME, 1, ())
    assert [each.name for each in report.segments] == names
    assert [(each.state, each.first_seq, each.next_seq) for each in report.segments] == [
        (SegmentState.SEALED, 1, 3),
        (SegmentState.SEALED, 3, 5),
        (SegmentState.OPEN, 5, 7),
    ]
    assert [each.size for each in report.segments] == [len(before[name]) for name in names]
    assert report.size == sum(map(len, before.values()))
    assert all((each.sealed_ns is None) == (each.next_seq == 7) for each in report.segments)
    assert snapshot(tmp_path) == before


def test_what_is_beside_the_stream_is_named(tmp_path: Path) -> None:
    names = made(tmp_path)
    for name in ("x.seg.cut", "y.seg.bad", "z.seg.new", "other"):
        (tmp_path / name).write_bytes(b"")
    assert inspect_folder(RealDisk(), tmp_path).others == ("x.seg.cut", "y.seg.bad", "z.seg.new")
    path = tmp_path / names[1]
    path.write_bytes(flipped(path.read_bytes(), 30))
    states = [each.state for each in inspect_folder(RealDisk(), tmp_path).segments]
    assert states == [SegmentState.SEALED, SegmentState.DAMAGED, SegmentState.OPEN]


def test_a_segment_that_a_crash_ended_is_called_so(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk())
    stream = open_stream(tmp_path, disk)
    stream.append([new_frame("1")])
    stream.mark()
    stream.append([new_frame("2")])
    disk.abandon()
    open_stream(tmp_path, FailingDisk(RealDisk()))
    first, last = inspect_folder(RealDisk(), tmp_path).segments
    assert (first.state, first.next_seq) == (SegmentState.ENDED, 2)
    assert (last.state, last.next_seq) == (SegmentState.OPEN, 3)


@pytest.mark.parametrize("look", [inspect_folder, verify_folder])
def test_what_is_no_stream_cannot_be_looked_at(
    tmp_path: Path, look: Callable[[RealDisk, Path], object]
) -> None:
    with pytest.raises(ContractError, match="expected segments of a stream, got none"):
        look(RealDisk(), tmp_path)
    with pytest.raises(DurabilityError, match="No such file"):
        look(RealDisk(), tmp_path / "gone")
    (tmp_path / ("0000000001-" + "ab" * 16 + ".seg")).write_bytes(b"nothing sound")
    with pytest.raises(ContractError, match="got 1 segments without a sound header"):
        look(RealDisk(), tmp_path)


def test_a_sound_stream_verifies_and_nothing_changes(tmp_path: Path) -> None:
    made(tmp_path)
    before = snapshot(tmp_path)
    verified = verify_folder(RealDisk(), tmp_path)
    assert (verified.frames, verified.first_seq, verified.last_seq) == (6, 1, 6)
    assert verified.damage == verified.unfinished == ()
    assert snapshot(tmp_path) == before


def test_a_retention_is_no_damage_and_a_lost_front_is(tmp_path: Path) -> None:
    made(tmp_path)
    stream = open_stream(tmp_path)
    stream.retain_from(3, cursor_seq=6)
    stream.close()
    verified = verify_folder(RealDisk(), tmp_path)
    assert (verified.report.kept_from, verified.first_seq, verified.damage) == (3, 3, ())
    (tmp_path / verified.report.segments[0].name).unlink()
    (seen,) = verify_folder(RealDisk(), tmp_path).damage
    assert (seen.first_seq, seen.last_seq) == (3, 4)


def test_each_damage_is_named_with_its_place_and_its_frames(tmp_path: Path) -> None:
    names = made(tmp_path)
    files = snapshot(tmp_path)
    restore(tmp_path, files | {names[0]: flipped(files[names[0]], 300)})
    (seen,) = verify_folder(RealDisk(), tmp_path).damage
    assert (seen.segment, seen.offset, seen.first_seq, seen.last_seq) == (names[0], 264, 1, 1)
    restore(tmp_path, files | {names[1]: files[names[1]][:-100]})
    damage = verify_folder(RealDisk(), tmp_path).damage
    assert {each.segment for each in damage} == {names[1]}
    assert [each.first_seq for each in damage if each.first_seq] == [4]
    restore(tmp_path, files | {names[2]: files[names[2]] + b"torn"})
    verified = verify_folder(RealDisk(), tmp_path)
    assert verified.damage == ()
    assert [each.what for each in verified.unfinished] == ["torn tail"]


def test_a_footer_of_other_bytes_is_damage(tmp_path: Path) -> None:
    names = made(tmp_path)
    path = tmp_path / names[0]
    data = path.read_bytes()
    key = SegmentKey(bytes.fromhex(names[0][11:43]))
    at = len(data) - FOOTER_BYTES
    footer = footer_at(data, at, len(data), key)
    assert footer is not None
    assert footer.whole == crc32c(data[:at])
    path.write_bytes(data[:at] + pack_footer(key, footer._replace(whole=footer.whole ^ 1)))
    (seen,) = verify_folder(RealDisk(), tmp_path).damage
    assert (seen.segment, seen.length) == (names[0], at)
    assert seen.what == "bytes differ from the footer's checksum"


def test_segments_that_go_while_they_are_looked_at_are_no_damage(tmp_path: Path) -> None:
    made(tmp_path)
    writer = open_stream(tmp_path)
    writer.append([new_frame("7")])

    class Retaining(RealDisk):
        """A disk on which a retention happens between a listing and the opening that follows."""

        opens = 0

        @override
        def open(self, path: Path, *, is_writable: bool = False) -> File:
            self.opens += 1
            if self.opens == at:
                writer.retain_from(5, cursor_seq=7)
            return super().open(path, is_writable=is_writable)

    files = snapshot(tmp_path)
    for at in range(1, 20):
        verified = verify_folder(Retaining(), tmp_path)
        assert verified.damage == (), at
        assert verified.last_seq == 7
        writer.close()
        restore(tmp_path, files)
        writer = open_stream(tmp_path)
    writer.close()


class Troubled(RealDisk):
    """A disk on which one opening of a file, counted from 1, does not go well."""

    def __init__(self, at: int, trouble: Callable[[Path], None]) -> None:
        self.opens = 0
        self._at = at
        self._trouble = trouble

    @override
    def open(self, path: Path, *, is_writable: bool = False) -> File:
        self.opens += 1
        if self.opens == self._at:
            self._trouble(path)
        return super().open(path, is_writable=is_writable)


def checked(disk: RealDisk, folder: Path) -> list[tuple[int, Damage | None]]:
    return list(check_footers(disk, folder, NAME, set()))


def test_a_segment_that_goes_before_its_footer_is_checked_is_left_out(tmp_path: Path) -> None:
    made(tmp_path)
    files = snapshot(tmp_path)
    sound = Troubled(0, Path.unlink)
    sizes = checked(sound, tmp_path)
    for at in range(1, sound.opens + 1):
        seen = checked(Troubled(at, Path.unlink), tmp_path)
        assert set(seen) <= set(sizes), at
        assert len(seen) >= len(sizes) - 1, at
        restore(tmp_path, files)


@pytest.mark.parametrize("look", [verify_folder, checked])
def test_a_disk_that_fails_at_any_opening_is_told_of(
    tmp_path: Path, look: Callable[[RealDisk, Path], object]
) -> None:
    def fail(_path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    made(tmp_path)
    sound = Troubled(0, fail)
    look(sound, tmp_path)
    assert sound.opens > 6
    for at in range(1, sound.opens + 1):
        with pytest.raises(DurabilityError, match="Input/output error"):
            look(Troubled(at, fail), tmp_path)
