"""Numbers a stream goes past: reported where they were given, not missed where they were not."""

from pathlib import Path

import pytest
from tests.support.wal_streams import damage_of, labels_of, new_frame, open_stream

from fractal_lba.wal import Damage, Follower, RealDisk
from fractal_lba.wal.inspection import verify_folder


def test_skipped_numbers_are_never_given_and_always_reported(tmp_path: Path) -> None:
    stream = open_stream(tmp_path / "s")
    stream.append([new_frame("one"), new_frame("two")])
    stream.skip_to(2)
    assert stream.next_seq == 3
    stream.skip_to(10)
    assert stream.next_seq == 10
    assert labels_of(stream) == {1: "one", 2: "two"}
    (placed,) = stream.append([new_frame("ten")])
    assert placed.seq == 10
    seen = damage_of(stream.scan())
    assert [(item.first_seq, item.last_seq, item.length) for item in seen] == [(3, 9, 0)]
    stream.close()
    stream = open_stream(tmp_path / "s")
    assert damage_of(stream.scan()) == seen
    assert labels_of(stream) == {1: "one", 2: "two", 10: "ten"}
    stream.close()


def test_numbers_skipped_by_an_empty_stream_stay_skipped(tmp_path: Path) -> None:
    stream = open_stream(tmp_path / "s")
    stream.skip_to(7)
    stream.close()
    for _ in range(2):
        stream = open_stream(tmp_path / "s")
        assert stream.next_seq == 7
        assert [(item.first_seq, item.last_seq) for item in damage_of(stream.scan())] == [(1, 6)]
        stream.close()


def test_numbers_that_are_passed_over_are_never_given_and_never_missed(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    stream = open_stream(folder)
    stream.append([new_frame("one"), new_frame("two")])
    stream.skip_to(10, were_given=False)
    assert damage_of(stream.scan()) == []
    for _ in range(2):  # a recovery replaces the empty segment that says so
        stream.close()
        assert verify_folder(RealDisk(), folder).damage == ()
        stream = open_stream(folder)
        assert (stream.next_seq, stream.recovery.damage) == (10, ())
    stream.append([new_frame("ten")])
    stream.close()
    stream = open_stream(folder)
    stream.append([new_frame("eleven")])
    expected = {1: "one", 2: "two", 10: "ten", 11: "eleven"}
    assert labels_of(stream) == expected
    assert damage_of(stream.scan()) == []
    follower = Follower(RealDisk(), folder, stream.name)
    stream.mark()
    assert [item[1].seq for item in follower.look() if not isinstance(item, Damage)] == [*expected]
    stream.close()
    assert verify_folder(RealDisk(), folder).damage == ()


@pytest.mark.parametrize("is_whole", [True, False])
def test_frames_lost_before_passed_over_numbers_are_still_reported(
    tmp_path: Path, *, is_whole: bool
) -> None:
    folder = tmp_path / "s"
    stream = open_stream(folder)
    stream.append([new_frame("one")])
    stream.append([new_frame("two")])
    stream.skip_to(10, were_given=False)
    stream.append([new_frame("ten")])
    stream.close()
    first = min(folder.glob("*.seg"))
    if is_whole:
        first.unlink()
    else:
        with first.open("r+b") as file:
            file.truncate(first.stat().st_size - 100)
    lost = (1, 2) if is_whole else (2, 2)
    found = verify_folder(RealDisk(), folder).damage
    assert [(item.first_seq, item.last_seq) for item in found if item.first_seq] == [lost]
    stream = open_stream(folder)
    assert [
        (item.first_seq, item.last_seq) for item in stream.recovery.damage if item.first_seq
    ] == [lost]
    stream.close()
