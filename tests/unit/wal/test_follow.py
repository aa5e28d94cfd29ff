"""A follower gives every durable frame once, whatever the writer does between two looks."""

import random
from pathlib import Path

import pytest
from tests.support.failing_disk import Effect, FailingDisk
from tests.support.wal_streams import (
    NAME,
    damage_of,
    flipped,
    label_of,
    new_frame,
    open_stream,
    segments_of,
    snapshot,
)
from typing_extensions import override

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.wal import Damage, File, Follower, RealDisk, Stream


def looked(follower: Follower) -> list[str]:
    """Return the labels of what one look gives; there may be no damage."""
    items = list(follower.look())
    assert damage_of(items) == []
    return [label_of(item[1]) for item in items if not isinstance(item, Damage)]


def test_what_is_appended_shows_up_once_it_is_marked(tmp_path: Path) -> None:
    follower = Follower(RealDisk(), tmp_path / "s", NAME)
    assert looked(follower) == []  # not even the folder is there
    stream = open_stream(tmp_path / "s")
    assert looked(follower) == []
    stream.append([new_frame("1"), new_frame("2")])
    assert looked(follower) == []  # durable, and nothing on disk says so yet
    stream.append([new_frame("3")])
    assert looked(follower) == ["1", "2"]
    assert looked(follower) == []
    stream.mark()
    assert looked(follower) == ["3"]
    assert follower.next_seq == 4
    # The same where it reads on in a segment it knows.
    stream.append([new_frame("4")])
    assert looked(follower) == []
    stream.append([new_frame("5")])
    assert looked(follower) == ["4"]
    stream.close()
    assert looked(follower) == ["5"]


def test_it_begins_where_it_is_told_to(tmp_path: Path) -> None:
    stream = open_stream(tmp_path)
    for label in "12345":
        stream.append([new_frame(label, 300)])
    stream.mark()
    assert looked(Follower(RealDisk(), tmp_path, NAME, from_seq=4)) == ["4", "5"]
    later = Follower(RealDisk(), tmp_path, NAME, from_seq=7)
    assert looked(later) == []
    stream.append([new_frame("6"), new_frame("7")])
    stream.mark()
    assert looked(later) == ["7"]
    stream.close()


def test_a_retention_is_passed_over_and_a_loss_is_told_once(tmp_path: Path) -> None:
    stream = open_stream(tmp_path)
    follower = Follower(RealDisk(), tmp_path, NAME)
    stream.append([new_frame("1", 300)])
    stream.append([new_frame("2", 300)])
    assert looked(follower) == ["1"]
    for label in "34567":
        stream.append([new_frame(label, 300)])
    stream.retain_from(5, cursor_seq=7)
    assert looked(follower) == ["5", "6", "7"]
    for label in "890":
        stream.append([new_frame(label, 300)])
    stream.close()
    name = segments_of(snapshot(tmp_path))[-3]
    path = tmp_path / name
    path.write_bytes(flipped(path.read_bytes(), 300))
    items = list(follower.look())
    assert [(each.segment, each.is_loss) for each in damage_of(items)] == [(name, True)]
    assert len(items) == 3
    assert follower.next_seq == 11
    assert list(follower.look()) == []


def test_damage_where_it_reads_is_told_once_however_often_it_looks(tmp_path: Path) -> None:
    stream = open_stream(tmp_path)
    (path,) = tmp_path.glob("*.seg")
    path.write_bytes(flipped(path.read_bytes(), 30))
    follower = Follower(RealDisk(), tmp_path, NAME)
    (seen,) = follower.look()
    assert isinstance(seen, Damage)
    assert seen.what == "segment header does not verify"
    stream.append([new_frame("1")])
    assert list(follower.look()) == []
    stream.mark()
    assert looked(follower) == ["1"]
    stream.close()


def test_an_iteration_that_is_left_goes_on_with_the_next_look(tmp_path: Path) -> None:
    stream = open_stream(tmp_path)
    follower = Follower(RealDisk(), tmp_path, NAME)
    stream.append([new_frame("1")])
    stream.mark()
    assert looked(follower) == ["1"]
    stream.append([new_frame(label) for label in "234"])
    stream.append([new_frame("5")])
    stream.mark()
    given = []
    while follower.next_seq <= 5:
        item = next(follower.look())
        assert not isinstance(item, Damage)
        given.append(label_of(item[1]))
    assert given == ["2", "3", "4", "5"]
    assert looked(follower) == []
    stream.close()


class CountingDisk(RealDisk):
    """A disk that counts the bytes that are read."""

    read = 0

    @override
    def open(self, path: Path, *, is_writable: bool = False) -> File:
        return CountingFile(super().open(path, is_writable=is_writable), self)


class CountingFile:
    def __init__(self, inner: File, disk: CountingDisk) -> None:
        self._inner = inner
        self._disk = disk
        self.write_at = inner.write_at
        self.size = inner.size
        self.truncate = inner.truncate
        self.reserve = inner.reserve
        self.datasync = inner.datasync
        self.close = inner.close

    def read_at(self, offset: int, size: int) -> bytes:
        data = self._inner.read_at(offset, size)
        self._disk.read += len(data)
        return data


def test_only_what_is_new_is_read(tmp_path: Path) -> None:
    stream = Stream.open(RealDisk(), tmp_path, NAME)
    for index in range(300):
        stream.append([new_frame(f"{index}", 1_000)])
    stream.mark()
    disk = CountingDisk()
    follower = Follower(disk, tmp_path, NAME)
    assert len(looked(follower)) == 300
    disk.read = 0
    assert looked(follower) == []
    assert disk.read == 0
    stream.append([new_frame("new", 1_000)])
    stream.mark()
    assert looked(follower) == ["new"]
    assert disk.read < 2_000
    stream.close()


def append(stream: Stream, labels: list[str], count: int, size: int) -> None:
    made = [f"{len(labels) + index + 1}" for index in range(count)]
    stream.append([new_frame(label, size) for label in made])
    labels += made


@pytest.mark.parametrize("seed", range(12))
def test_whatever_a_writer_does_each_frame_comes_once_in_order(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    disk = FailingDisk(RealDisk())
    stream = open_stream(tmp_path, disk)
    follower = Follower(RealDisk(), tmp_path, NAME)
    labels: list[str] = []
    given: list[str] = []

    def fail() -> None:
        disk.fail_next(chance.randint(1, 2), error=5, effect=chance.choice(list(Effect)))
        before = len(labels)
        try:
            append(stream, labels, 1, 100)
        except DurabilityError:
            stream.reopen()
            del labels[before:]
            if stream.next_seq == before + 2:  # it reached the disk all the same
                labels.append(f"{before + 1}")
        disk.heal()

    def mark() -> None:
        stream.mark()

    def crash() -> None:
        nonlocal stream
        disk.abandon()
        stream = open_stream(tmp_path, disk)

    def retain() -> None:
        if given:
            stream.retain_from(len(given), cursor_seq=len(labels))

    acts = [
        lambda: append(stream, labels, chance.randint(1, 3), chance.choice([5, 150])),
        lambda: append(stream, labels, 1, 300),
        mark,
        fail,
        crash,
        retain,
    ]
    for _ in range(120):
        chance.choice(acts)()
        if chance.random() < 0.5:
            given += looked(follower)
            # In order, each once, and nothing that was not acknowledged.
            assert given == labels[: len(given)]
    stream.close()
    given += looked(follower)
    assert given == labels
