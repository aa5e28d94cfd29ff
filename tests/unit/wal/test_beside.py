"""A reader without the lock, while the writer does something between any two of its calls."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.support.failing_disk import Effect, FailingDisk
from tests.support.wal_streams import NAME, damage_of, label_of, new_frame, open_stream
from typing_extensions import override

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.wal import Damage, File, RealDisk, Stream, scan_folder
from fractal_lba.wal.beside import LISTINGS_MAX


class Watched(RealDisk):
    """A disk that lets the writer act before the n-th call of the reader."""

    def __init__(self, act: Callable[[], object], *, at: int) -> None:
        self.calls = 0
        self._act = act
        self._at = at

    def _count(self) -> None:
        self.calls += 1
        if self.calls == self._at:
            self._act()

    @override
    def open(self, path: Path, *, is_writable: bool = False) -> File:
        assert not is_writable
        self._count()
        return WatchedFile(super().open(path), self)

    @override
    def names(self, folder: Path) -> list[str]:
        self._count()
        return super().names(folder)

    @override
    def create(self, path: Path) -> File:
        raise AssertionError(path)


class WatchedFile:
    def __init__(self, inner: File, disk: Watched) -> None:
        self._inner = inner
        self._disk = disk

    def read_at(self, offset: int, size: int) -> bytes:
        self._disk._count()
        return self._inner.read_at(offset, size)

    def size(self) -> int:
        self._disk._count()
        return self._inner.size()

    def close(self) -> None:
        self._inner.close()

    def write_at(self, offset: int, data: bytes) -> None:
        raise AssertionError(offset, data)

    def truncate(self, size: int) -> None:
        raise AssertionError(size)

    def reserve(self, offset: int, size: int) -> bool:
        raise AssertionError(offset, size)

    def datasync(self) -> None:
        raise AssertionError


def append(stream: Stream, count: int) -> None:
    for _ in range(count):
        stream.append([new_frame(f"frame {stream.next_seq}")])


def fail_and_reopen(stream: Stream, disk: FailingDisk, effect: Effect) -> None:
    """Fail an append at its write, which leaves a part of it, and mend the stream."""
    disk.fail_next(1 if effect is Effect.PART else 2, error=5, effect=effect)
    with pytest.raises(DurabilityError):
        append(stream, 1)
    stream.reopen()
    append(stream, 1)


ACTIONS: dict[str, Callable[[Stream, FailingDisk], object]] = {
    "appends": lambda stream, _: append(stream, 2),
    "rotates": lambda stream, _: append(stream, 12),
    "rotates many times": lambda stream, _: append(stream, 80),
    "marks": lambda stream, _: stream.mark(),
    "closes": lambda stream, _: stream.close(),
    "mends a part": lambda stream, disk: fail_and_reopen(stream, disk, Effect.PART),
    "mends a whole": lambda stream, disk: fail_and_reopen(stream, disk, Effect.WHOLE),
    "reopens": lambda stream, _: stream.reopen(),
}


@pytest.mark.parametrize("frames", [0, 1, 20])
@pytest.mark.parametrize("is_marked_only", [False, True])
@pytest.mark.parametrize("action", ACTIONS)
def test_a_reader_meets_no_damage_whatever_the_writer_does_between_two_of_its_calls(
    tmp_path: Path, frames: int, action: str, *, is_marked_only: bool
) -> None:
    at, calls = 1, 1
    while at <= calls:
        folder = tmp_path / f"{at}"
        disk = FailingDisk(RealDisk())
        stream = open_stream(folder, disk)
        append(stream, frames)
        stream.mark()
        watched = Watched(partial(ACTIONS[action], stream, disk), at=at)
        items = list(scan_folder(watched, folder, NAME, is_marked_only=is_marked_only))
        assert [each for each in damage_of(items) if each.is_loss] == []
        assert not (is_marked_only and damage_of(items))
        found = [item[1] for item in items if not isinstance(item, Damage)]
        # Everything that was marked before is there, in order, once, and as it was written.
        assert [frame.seq for frame in found] == list(range(1, len(found) + 1))
        assert len(found) >= frames
        assert all(label_of(frame) == f"frame {frame.seq}" for frame in found)
        stream.close()
        at, calls = at + 1, watched.calls
    assert at > 3


def test_what_no_batch_marks_is_left_out_where_only_marked_frames_are_asked_for(
    tmp_path: Path,
) -> None:
    stream = open_stream(tmp_path / "made")
    append(stream, 3)

    def seen(*, is_marked_only: bool) -> list[int]:
        items = scan_folder(RealDisk(), stream._folder, NAME, is_marked_only=is_marked_only)
        return [item[1].seq for item in items if not isinstance(item, Damage)]

    assert seen(is_marked_only=True) == [1, 2]
    assert seen(is_marked_only=False) == [1, 2, 3]
    stream.mark()
    assert seen(is_marked_only=True) == [1, 2, 3]
    stream.close()


def test_a_reader_leaves_the_folder_as_it_found_it(tmp_path: Path) -> None:
    stream = open_stream(tmp_path / "made")
    append(stream, 20)

    def contents() -> dict[str, tuple[int, int]]:
        return {
            path.name: (path.stat().st_size, path.stat().st_mtime_ns)
            for path in stream._folder.iterdir()
        }

    before = contents()
    assert len(list(scan_folder(RealDisk(), stream._folder, NAME))) == 20
    assert contents() == before
    stream.close()


def test_a_segment_that_is_gone_is_a_loss_and_a_name_that_stays_gone_an_error(
    tmp_path: Path,
) -> None:
    stream = open_stream(tmp_path / "made")
    append(stream, 40)
    stream.close()
    segments = sorted(stream._folder.glob("*.seg"))
    segments[1].unlink()
    (loss,) = damage_of(scan_folder(RealDisk(), stream._folder, NAME))
    assert loss.is_loss
    assert loss.what == "segments are missing"

    class Phantom(RealDisk):
        listed = 0

        @override
        def names(self, folder: Path) -> list[str]:
            self.listed += 1
            return sorted([*super().names(folder), segments[1].name])

    phantom = Phantom()
    with pytest.raises(DurabilityError, match="No such file"):
        list(scan_folder(phantom, stream._folder, NAME))
    assert phantom.listed >= LISTINGS_MAX


def test_damage_is_told_once_though_the_folder_is_listed_again(tmp_path: Path) -> None:
    stream = open_stream(tmp_path / "made")
    append(stream, 40)
    stream.mark()
    segments = sorted(stream._folder.glob("*.seg"))
    data = bytearray(segments[0].read_bytes())
    data[300] ^= 1
    segments[0].write_bytes(bytes(data))

    class Once(RealDisk):
        """The last segment is gone the first time it is read for its frames."""

        opened = 0

        @override
        def open(self, path: Path, *, is_writable: bool = False) -> File:
            if path == segments[-1]:
                self.opened += 1
                if self.opened == 2:
                    raise FileNotFoundError(2, "No such file", str(path))
            return super().open(path)

    disk = Once()
    found: Iterator[object] = scan_folder(disk, stream._folder, NAME)
    items = list(found)
    assert disk.opened > 2
    assert len(damage_of(items)) == 1
    seqs = [item[1].seq for item in items if isinstance(item, tuple)]
    assert seqs == sorted(set(seqs))
    assert len(seqs) == 39
    stream.close()
