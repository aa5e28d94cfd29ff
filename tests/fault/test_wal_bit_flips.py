"""A flipped bit at every byte of what was acknowledged, through the real recovery."""

import bisect
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.failing_disk import FailingDisk
from tests.support.wal_streams import (
    NAME,
    damage_of,
    flipped,
    frames_of,
    label_of,
    labels_of,
    new_frame,
    open_stream,
    restore,
    segments_of,
    snapshot,
)

from fractal_lba.protocol.errors import CorruptionError
from fractal_lba.wal import RealDisk, Stream, scan_folder

HEADER_BYTES = 232
BATCHES = [["a1", "a2"], ["b1", "b2", "b3"], ["c1"], ["d1", "d2", "d3"]]
LABELS = dict(enumerate([label for batch in BATCHES for label in batch], start=1))


def batch_extents() -> list[tuple[int, list[int]]]:
    """Return the offset of each batch, and of each frame in it with the batch's end last."""
    extents = []
    offset = HEADER_BYTES
    for batch in BATCHES:
        edges = [offset + 32]
        for label in batch:
            frame = new_frame(label)
            edges.append(edges[-1] + 26 + len(frame.meta) + len(frame.payload))
        extents.append((offset, edges))
        offset = edges[-1]
    return extents


def write_all(stream: Stream) -> None:
    for batch in BATCHES:
        stream.append([new_frame(label) for label in batch])
    stream.mark()


def made_by_a_process_that_died(folder: Path) -> tuple[str, dict[str, bytes]]:
    disk = FailingDisk(RealDisk())
    write_all(open_stream(folder, disk))
    disk.abandon()
    files = snapshot(folder)
    return segments_of(files)[0], files


def made_by_a_process_that_closed(folder: Path) -> tuple[str, dict[str, bytes]]:
    stream = open_stream(folder)
    write_all(stream)
    stream.close()
    files = snapshot(folder)
    return segments_of(files)[0], files


def lost_to(offset: int) -> list[int]:
    """Return the seqs whose bytes hold an offset."""
    seq = 1
    for start, edges in batch_extents():
        if start <= offset < edges[-1]:
            if offset < edges[0]:
                return []
            return [seq + bisect.bisect_right(edges, offset) - 1]
        seq += len(edges) - 1
    return []


@pytest.mark.parametrize("made", [made_by_a_process_that_died, made_by_a_process_that_closed])
@pytest.mark.parametrize("batch", [1, 3], ids=["a middle batch", "the very last batch"])
def test_a_bit_flipped_at_any_byte_of_an_acknowledged_batch_costs_one_frame_at_most(
    ram_path: Path, made: Callable[[Path], tuple[str, dict[str, bytes]]], batch: int
) -> None:
    name, files = made(ram_path / "made")
    start, edges = batch_extents()[batch]
    folder = ram_path / "flipped"
    for offset in range(start, edges[-1]):
        damaged = flipped(files[name], offset)
        restore(folder, files | {name: damaged})
        lost = lost_to(offset)
        expected = {seq: label for seq, label in LABELS.items() if seq not in lost}

        seen_without_lock = damage_of(scan_folder(RealDisk(), folder, NAME))
        stream = open_stream(folder)
        try:
            # Noticed, counted, and named by its place and by what it cost.
            seen = damage_of(stream.scan())
            assert seen == seen_without_lock
            assert len(seen) == 1, offset
            assert seen[0].segment == name
            assert seen[0].is_loss
            assert seen[0].offset <= offset < seen[0].offset + seen[0].length
            named = [seq for seq in (seen[0].first_seq, seen[0].last_seq) if seq is not None]
            assert sorted(set(named)) == lost
            if made is made_by_a_process_that_died:
                assert stream.recovery.damage == tuple(seen)
            # Never cut.
            assert stream.recovery.torn_bytes == 0
            assert (folder / name).read_bytes()[: edges[-1]] == damaged[: edges[-1]]
            # Everything else is served, and writing goes on.
            assert labels_of(stream) == expected, offset
            (placed,) = stream.append([new_frame("after")])
            assert placed.seq == len(LABELS) + 1
        finally:
            stream.close()
        again = open_stream(folder)
        assert labels_of(again) == expected | {placed.seq: "after"}, offset
        assert damage_of(again.scan()) == seen
        again.close()


def test_what_a_recovery_copied_is_acknowledged_like_anything_else(ram_path: Path) -> None:
    # It may be answered from at once, before anything is appended behind it.
    disk = FailingDisk(RealDisk())
    stream = open_stream(ram_path / "made", disk)
    stream.append([new_frame("a1"), new_frame("a2")])
    disk.abandon()
    stream = open_stream(ram_path / "made", disk)
    assert stream.recovery.copied == 2
    disk.abandon()
    files = snapshot(ram_path / "made")
    (name,) = segments_of(files)
    folder = ram_path / "flipped"
    for offset in range(HEADER_BYTES, len(files[name]) - 32):
        restore(folder, {name: flipped(files[name], offset)})
        stream = open_stream(folder)
        assert len(stream.recovery.damage) == 1, offset
        assert stream.recovery.torn_bytes == 0
        assert len(frames_of(stream)) == (2 if offset < HEADER_BYTES + 32 else 1)
        assert stream.next_seq == 3
        stream.close()


def test_a_frame_that_was_damaged_under_a_running_stream_is_not_read(ram_path: Path) -> None:
    stream = open_stream(ram_path / "s")
    placed = stream.append([new_frame("one"), new_frame("two")])
    (path,) = (ram_path / "s").glob("*.seg")
    whole = path.read_bytes()
    for offset in range(placed[0].position.offset, placed[1].position.offset):
        path.write_bytes(flipped(whole, offset))
        with pytest.raises(
            CorruptionError, match=f"segment 1, offset {placed[0].position.offset}:"
        ):
            stream.read(placed[0].position)
        assert label_of(stream.read(placed[1].position)) == "two"
        assert len(damage_of(stream.scan())) == 1
    path.write_bytes(whole)
    stream.close()


@pytest.mark.parametrize(
    "which", ["the first segment", "the last segment with frames", "an empty last segment"]
)
def test_a_bit_flipped_at_any_byte_of_a_segment_header_costs_no_frame(
    ram_path: Path, which: str
) -> None:
    stream = open_stream(ram_path / "made")
    labels = {}
    for index in range(12):
        (placed,) = stream.append([new_frame(f"frame-{index}", 200)])
        labels[placed.seq] = f"frame-{index}"
    stream.close()
    files = snapshot(ram_path / "made")
    names = segments_of(files)
    assert len(names) >= 4
    if which == "the last segment with frames":
        del files[names.pop()]
    name = names[0] if which == "the first segment" else names[-1]
    folder = ram_path / "flipped"
    for offset in range(HEADER_BYTES):
        restore(folder, files | {name: flipped(files[name], offset)})
        stream = open_stream(folder)
        try:
            assert stream.recovery.torn_bytes == 0
            (seen,) = stream.recovery.damage
            assert (seen.segment, seen.offset, seen.length) == (name, 0, HEADER_BYTES)
            assert labels_of(stream) == labels, offset
            assert damage_of(stream.scan()) == [seen]
            (placed,) = stream.append([new_frame("after")])
            assert placed.seq == len(labels) + 1
        finally:
            stream.close()
        again = open_stream(folder)
        assert labels_of(again) == labels | {placed.seq: "after"}
        assert damage_of(again.scan()) == [seen]
        again.close()


def test_every_damaged_frame_is_lost_alone(ram_path: Path) -> None:
    name, files = made_by_a_process_that_died(ram_path / "made")
    data = files[name]
    for _, edges in batch_extents():
        for edge in edges[:-1]:
            data = flipped(data, edge + 30)
    folder = ram_path / "flipped"
    restore(folder, {name: data})
    stream = open_stream(folder)
    assert frames_of(stream) == {}
    lost = [(item.first_seq, item.last_seq) for item in damage_of(stream.scan())]
    assert lost[0][0] == 1
    assert lost[-1][1] == len(LABELS)
    assert stream.next_seq == len(LABELS) + 1
    stream.close()


@pytest.mark.parametrize("size", [1, 32, 100, 150])
def test_a_range_overwritten_anywhere_costs_only_what_it_touches(ram_path: Path, size: int) -> None:
    name, files = made_by_a_process_that_closed(ram_path / "made")
    end = batch_extents()[-1][1][-1]
    folder = ram_path / "overwritten"
    for start in range(HEADER_BYTES, end - size, 7):
        data = files[name][:start] + bytes(size) + files[name][start + size :]
        if data == files[name]:
            continue
        restore(folder, files | {name: data})
        lost = {
            seq
            for offset in range(start, start + size)
            for seq in lost_to(offset)
            if data[offset] != files[name][offset]
        }
        stream = open_stream(folder)
        try:
            assert labels_of(stream) == {
                seq: label for seq, label in LABELS.items() if seq not in lost
            }, start
            named: set[int] = set()
            for item in damage_of(stream.scan()):
                if item.first_seq is not None:
                    assert item.last_seq is not None
                    named |= set(range(item.first_seq, item.last_seq + 1))
            assert named == lost
        finally:
            stream.close()
