import errno
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.failing_disk import Effect, FailingDisk
from tests.support.wal_streams import (
    NAME,
    damage_of,
    frames_of,
    labels_of,
    new_frame,
    open_stream,
    segments_of,
    snapshot,
)
from typing_extensions import override

from fractal_lba.protocol.errors import (
    ContractError,
    CorruptionError,
    DurabilityError,
    FencedError,
    LockedError,
)
from fractal_lba.wal import (
    Damage,
    NewFrame,
    Placed,
    Position,
    RealDisk,
    Recovery,
    Stream,
)
from fractal_lba.wal.framing import RECEIVED_NS_MAX


def test_a_new_stream_is_empty(tmp_path: Path) -> None:
    stream = open_stream(tmp_path / "a" / "b" / "s")
    assert stream.recovery == Recovery(0, 0, 0, (), ())
    assert stream.next_seq == 1
    assert stream.name == NAME
    assert not stream.is_fenced
    assert list(stream.scan()) == []
    stream.close()


def test_frames_are_numbered_placed_and_read_back(tmp_path: Path) -> None:
    stream = open_stream(tmp_path / "s")
    frames = [NewFrame(5, b"meta", b"payload"), NewFrame(RECEIVED_NS_MAX, b"", b"")]
    placed = stream.append(frames)
    assert list(placed) == [Placed(1, Position(1, 264)), Placed(2, Position(1, 301))]
    assert list(stream.append([])) == []
    assert stream.next_seq == 3
    for new, place in zip(frames, placed, strict=True):
        frame = stream.read(place.position)
        assert (frame.seq, frame.received_ns, frame.meta, frame.payload) == (
            place.seq,
            new.received_ns,
            new.meta,
            new.payload,
        )
    stream.close()


def test_numbers_go_on_over_segments_and_openings(tmp_path: Path) -> None:
    expected = {}
    for opening in range(4):
        stream = open_stream(tmp_path / "s")
        for index in range(5):
            label = f"{opening}-{index}"
            (placed,) = stream.append([new_frame(label, 200)])
            expected[placed.seq] = label
        assert labels_of(stream) == expected
        stream.close()
    assert list(expected) == list(range(1, 21))


def test_opening_and_closing_leaves_one_empty_segment(tmp_path: Path) -> None:
    for _ in range(5):
        open_stream(tmp_path / "s").close()
    assert [len(data) for data in snapshot(tmp_path / "s").values()] == [232]
    stream = open_stream(tmp_path / "s")
    stream.append([new_frame("one")])
    stream.close()
    for _ in range(5):
        open_stream(tmp_path / "s").close()
    assert len(snapshot(tmp_path / "s")) == 2


def test_a_folder_of_another_stream_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    open_stream(tmp_path / "s").close()
    before = snapshot(tmp_path / "s")
    for _ in range(2):
        with pytest.raises(ContractError, match=f"expected stream other, got stream {NAME}"):
            Stream.open(RealDisk(), tmp_path / "s", "other")
    assert snapshot(tmp_path / "s") == before
    open_stream(tmp_path / "s").close()


def test_a_scan_begins_where_it_is_asked_to(tmp_path: Path) -> None:
    stream = open_stream(tmp_path / "s")
    for index in range(12):
        stream.append([new_frame(f"{index}", 200)])
    for from_seq in range(1, 15):
        assert list(frames_of(stream, from_seq=from_seq)) == list(range(from_seq, 13))
    stream.close()


def test_a_scan_reads_no_segment_that_holds_only_earlier_frames(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk())
    stream = open_stream(tmp_path / "s", disk)
    placed = [stream.append([new_frame(f"{index}", 200)])[0] for index in range(12)]
    for place in placed:
        before = len(disk.calls)
        list(stream.scan(from_seq=place.seq))
        opened = [call.path for call in disk.calls[before:] if call.name == "open"]
        ordinals = {int(name[:10]) for name in opened}
        assert ordinals == set(range(place.position.segment, placed[-1].position.segment + 1))
    stream.close()


def test_a_scan_gives_only_what_is_durable(tmp_path: Path) -> None:
    stream = open_stream(tmp_path / "s")
    stream.append([new_frame("one")])
    (path,) = (tmp_path / "s").glob("*.seg")
    with path.open("ab") as file:
        file.write(b"half a batch")
    assert labels_of(stream) == {1: "one"}
    assert damage_of(stream.scan()) == []
    stream._active._file.truncate(path.stat().st_size - 12)
    stream.close()


@pytest.mark.parametrize(
    "position", [Position(1, 0), Position(1, 249), Position(1, 10_000), Position(9, 248)]
)
def test_a_position_where_no_frame_stands_is_corruption(tmp_path: Path, position: Position) -> None:
    stream = open_stream(tmp_path / "s")
    stream.append([new_frame("one")])
    with pytest.raises(CorruptionError, match=f"segment {position.segment}, offset"):
        stream.read(position)
    stream.close()


def test_a_read_that_fails_fences_nothing(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk())
    stream = open_stream(tmp_path / "s", disk)
    (placed,) = stream.append([new_frame("one")])
    for call in (1, 2, 3):
        disk.fail_next(call, error=errno.EIO, effect=Effect.NONE)
        with pytest.raises(DurabilityError, match="expected a working disk, got Input") as failed:
            stream.read(placed.position)
        assert not isinstance(failed.value, CorruptionError)
    disk.fail_next(1, error=errno.EIO, effect=Effect.NONE)
    with pytest.raises(DurabilityError, match=r"segment 0000000001-.*: expected a working disk"):
        list(stream.scan())
    assert not stream.is_fenced
    assert labels_of(stream) == {1: "one"}
    stream.close()


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda stream: stream.append([new_frame("two")]), id="append"),
        pytest.param(lambda stream: stream.mark(), id="mark"),
        pytest.param(lambda stream: stream.append([new_frame("two", 300)] * 2), id="rotate"),
    ],
)
def test_a_failed_write_fences_and_only_reopening_helps(
    tmp_path: Path, act: Callable[[Stream], None]
) -> None:
    disk = FailingDisk(RealDisk())
    stream = open_stream(tmp_path / "s", disk)
    (placed,) = stream.append([new_frame("one", 300)])
    disk.fail_next(2, error=errno.EIO, effect=Effect.NONE)
    with pytest.raises(DurabilityError, match=f"^stream {NAME}: expected a working disk"):
        act(stream)
    assert stream.is_fenced
    for refused in (stream.mark, lambda: stream.append([new_frame("three")])):
        with pytest.raises(FencedError, match="expected an open stream, got a fenced one"):
            refused()
    # What was acknowledged is served all the while.
    assert stream.read(placed.position).seq == 1
    assert stream.reopen() is stream.recovery
    assert labels_of(stream)[1] == "one"
    stream.append([new_frame("four")])
    stream.close()


def test_the_frames_that_moved_are_the_last_ones(tmp_path: Path) -> None:
    stream = open_stream(tmp_path / "s")
    kept = stream.append([new_frame("one")])
    stream.mark()
    moved = stream.append([new_frame("two"), new_frame("three")])
    recovery = stream.reopen()
    assert recovery == Recovery(3, 2, 0, (), ())
    again = {item[1].seq: item[0] for item in stream.scan() if not isinstance(item, Damage)}
    assert again[1] == kept[0].position
    for place in moved:
        assert place.seq >= stream.next_seq - recovery.copied
        assert again[place.seq] > place.position
        with pytest.raises(CorruptionError):
            stream.read(place.position)
    stream.close()


def test_a_closed_stream_refuses_everything_that_writes(tmp_path: Path) -> None:
    stream = open_stream(tmp_path / "s")
    (placed,) = stream.append([new_frame("one")])
    stream.close()
    stream.close()
    assert not stream.is_fenced
    for refused in (stream.mark, stream.reopen, lambda: stream.append([new_frame("two")])):
        with pytest.raises(FencedError, match="expected an open stream, got a closed one"):
            refused()
    assert stream.read(placed.position).seq == 1


@pytest.mark.parametrize("call", range(1, 11))
def test_a_close_that_fails_lets_the_stream_go_and_loses_nothing(tmp_path: Path, call: int) -> None:
    disk = FailingDisk(RealDisk())
    stream = open_stream(tmp_path / "s", disk)
    stream.append([new_frame("one")])
    disk.fail_next(call, error=errno.EIO, effect=Effect.NONE)
    with pytest.raises(DurabilityError):
        stream.close()
    stream.close()
    again = open_stream(tmp_path / "s")
    assert labels_of(again) == {1: "one"}
    again.close()


def test_a_fenced_stream_can_be_closed(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk())
    stream = open_stream(tmp_path / "s", disk)
    stream.append([new_frame("one")])
    disk.fail_next(1, error=errno.EIO, effect=Effect.PART)
    with pytest.raises(DurabilityError):
        stream.append([new_frame("two")])
    stream.close()
    again = open_stream(tmp_path / "s")
    assert labels_of(again) == {1: "one"}
    assert again.recovery.torn_bytes > 0
    again.close()


def test_an_opening_that_fails_gives_the_lock_back(tmp_path: Path) -> None:
    open_stream(tmp_path / "s").close()
    for call in range(5, 20):
        with pytest.raises(DurabilityError):
            open_stream(tmp_path / "s", FailingDisk(RealDisk(), fail_at=call))
        open_stream(tmp_path / "s").close()


def test_something_other_than_the_disk_that_goes_wrong_in_a_write_fences_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = open_stream(tmp_path / "s")

    def interrupted(_: object, __: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stream._active._file, "write_at", interrupted, raising=True)
        with pytest.raises(KeyboardInterrupt):
            stream.append([new_frame("one")])
    assert stream.is_fenced
    stream.reopen()
    stream.append([new_frame("two")])
    stream.close()


def test_any_thread_reads_while_another_appends(tmp_path: Path) -> None:
    stream = open_stream(tmp_path / "s")
    (first,) = stream.append([new_frame("0")])
    known = [first]
    wrong: list[object] = []
    is_over = threading.Event()

    def read() -> None:
        while not is_over.is_set():
            for place in list(known):
                try:
                    frame = stream.read(place.position)
                except DurabilityError as error:
                    wrong.append(error)
                else:
                    if frame.seq != place.seq:
                        wrong.append(frame)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for index in range(1, 60):
        known += stream.append([new_frame(str(index), 150)])
    is_over.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert known[-1].position.segment > 10
    stream.close()


def test_an_open_stream_is_held_until_it_is_closed(tmp_path: Path) -> None:
    stream = open_stream(tmp_path / "s")
    stream.reopen()
    with pytest.raises(LockedError):
        open_stream(tmp_path / "s")
    stream.close()
    open_stream(tmp_path / "s").close()
    assert len(segments_of(snapshot(tmp_path / "s"))) == 1


class Clock(RealDisk):
    now_ns = 1_000

    @override
    def stamp(self) -> tuple[int, bytes]:
        return self.now_ns, super().stamp()[1]


def sealed_numbers(stream: Stream) -> list[tuple[int, int]]:
    return [(each.first_seq, each.next_seq) for each in stream.sealed]


def test_a_segment_is_closed_when_it_is_old_and_holds_something(tmp_path: Path) -> None:
    disk = Clock()
    stream = Stream.open(disk, tmp_path / "s", NAME, segment_age_max_s=60)
    disk.now_ns += 61_000_000_000
    stream.append([new_frame("1")])  # into the old one first: it was empty
    stream.append([new_frame("2")])
    assert sealed_numbers(stream) == [(1, 2)]
    disk.now_ns += 60_000_000_000
    stream.rotate_aged()
    stream.append([new_frame("3")])
    assert sealed_numbers(stream) == [(1, 2)]
    disk.now_ns += 1
    stream.rotate_aged()
    assert sealed_numbers(stream) == [(1, 2), (2, 4)]
    disk.now_ns += 61_000_000_000
    stream.rotate_aged()
    assert len(sealed_numbers(stream)) == 2
    assert [each.size for each in stream.sealed] == [
        (tmp_path / "s" / name).stat().st_size
        for name in segments_of(snapshot(tmp_path / "s"))[:-1]
    ]
    assert stream.sealed[0].created_ns == 1_000
    assert labels_of(stream) == {1: "1", 2: "2", 3: "3"}
    stream.close()
