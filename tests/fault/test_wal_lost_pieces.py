"""Pieces of a stream that are gone, stale or lie about themselves."""

import os
import struct
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from crc32c import crc32c
from tests.support.failing_disk import Crash, Effect, FailingDisk
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

from fractal_lba.protocol.errors import CorruptionError
from fractal_lba.wal import Damage, NewFrame, RealDisk, framing, scan_folder
from fractal_lba.wal.framing import (
    BATCH_MAGIC,
    HEADER_BYTES,
    SegmentKey,
    unpack_header,
)


def closed_stream(folder: Path, count: int = 12) -> tuple[dict[str, bytes], dict[int, str]]:
    """Return the files of a closed stream of several segments."""
    stream = open_stream(folder)
    labels = {}
    for index in range(count):
        (placed,) = stream.append([new_frame(f"frame-{index}", 150)])
        labels[placed.seq] = f"frame-{index}"
    stream.close()
    return snapshot(folder), labels


def first_seq(files: dict[str, bytes], name: str) -> int:
    header = unpack_header(files[name])
    assert header is not None
    return header.first_seq


def without(labels: dict[int, str], first: int, last: int) -> dict[int, str]:
    return {seq: label for seq, label in labels.items() if not first <= seq <= last}


@pytest.mark.parametrize("gone", [[0], [1], [1, 2], [0, 1]], ids=str)
def test_segments_that_are_gone_are_named_with_the_frames_they_held(
    ram_path: Path, gone: list[int]
) -> None:
    files, labels = closed_stream(ram_path / "made")
    names = segments_of(files)
    first = first_seq(files, names[gone[0]])
    last = first_seq(files, names[gone[-1] + 1]) - 1
    folder = ram_path / "s"
    restore(
        folder,
        {
            name: data
            for name, data in files.items()
            if name not in {names[index] for index in gone}
        },
    )
    stream = open_stream(folder)
    expected = Damage(f"{gone[0] + 1:010d}", 0, 0, first, last, "segments are missing")
    assert stream.recovery.damage == (expected,)
    assert damage_of(stream.scan()) == [expected]
    assert labels_of(stream) == without(labels, first, last)
    assert stream.next_seq == len(labels) + 1
    # Who asks for what comes behind the loss is not told of it.
    assert damage_of(stream.scan(from_seq=last + 1)) == []
    assert damage_of(stream.scan(from_seq=last)) == [expected]
    stream.close()


def test_a_position_in_a_segment_that_is_gone_is_corruption(ram_path: Path) -> None:
    stream = open_stream(ram_path / "s")
    (placed,) = stream.append([new_frame("one")])
    stream.close()
    stream = open_stream(ram_path / "s")
    path = next((ram_path / "s").glob("0000000001-*"))
    path.unlink()
    with pytest.raises(CorruptionError, match="got no file"):
        stream.read(placed.position)
    stream.close()
    stream = open_stream(ram_path / "s")
    with pytest.raises(CorruptionError, match="got no such segment"):
        stream.read(placed.position)
    stream.close()


def test_a_durable_region_cut_short_anywhere_is_corruption(ram_path: Path) -> None:
    files, labels = closed_stream(ram_path / "made", count=5)
    names = segments_of(files)
    folder = ram_path / "s"
    for name, following in pairwise(names):
        first, last = first_seq(files, name), first_seq(files, following) - 1
        whole = len(files[name])
        for cut in range(0, whole, 5):
            restore(folder, files | {name: files[name][:cut]})
            stream = open_stream(folder)
            found = labels_of(stream)
            seen = damage_of(stream.scan())
            assert seen
            assert all(item.segment == name and item.is_loss for item in seen)
            assert max(item.offset + item.length for item in seen) == whole
            assert stream.recovery.damage == tuple(seen)
            lost = {seq for seq in labels if seq not in found}
            assert lost <= set(range(first, last + 1))
            assert found == {seq: label for seq, label in labels.items() if seq not in lost}
            named: set[int] = set()
            for item in seen:
                if item.first_seq is not None:
                    assert item.last_seq is not None
                    named |= set(range(item.first_seq, item.last_seq + 1))
            assert named == lost
            assert stream.recovery.torn_bytes == 0
            assert (folder / name).stat().st_size == cut
            assert stream.next_seq == len(labels) + 1
            stream.close()


def test_a_segment_put_in_the_place_of_another_is_not_believed(ram_path: Path) -> None:
    files, labels = closed_stream(ram_path / "made")
    names = segments_of(files)
    folder = ram_path / "s"
    restore(folder, files | {names[1]: files[names[2]]})
    stream = open_stream(folder)
    first, last = first_seq(files, names[1]), first_seq(files, names[2]) - 1
    assert labels_of(stream) == without(labels, first, last)
    assert [(item.first_seq, item.last_seq) for item in damage_of(stream.scan())] == [
        (None, None),
        (first, last),
    ]
    stream.close()


def test_stale_blocks_of_another_segment_never_verify(ram_path: Path) -> None:
    # The same place of a file that was deleted: same layout, same numbers, another id.
    files, labels = closed_stream(ram_path / "made")
    other, _ = closed_stream(ram_path / "other")
    name, stale = segments_of(files)[0], other[segments_of(other)[0]]
    assert len(files[name]) == len(stale)
    folder = ram_path / "s"
    start = HEADER_BYTES + 32
    for end in (len(stale), start + 230):
        data = files[name][:start] + stale[start:end] + files[name][end:]
        restore(folder, files | {name: data})
        stream = open_stream(folder)
        found = labels_of(stream)
        assert found.items() <= labels.items()
        assert 1 not in found
        assert damage_of(stream.scan())[0].first_seq == 1
        stream.close()


def test_a_batch_of_the_same_segment_in_a_later_place_is_not_given_again(ram_path: Path) -> None:
    files, labels = closed_stream(ram_path / "made")
    name = segments_of(files)[0]
    first_batch = slice(HEADER_BYTES, HEADER_BYTES + 32 + 26 + len("meta of frame-0") + 150)
    size = first_batch.stop - first_batch.start
    data = bytearray(files[name])
    data[first_batch.stop : first_batch.stop + size] = data[first_batch]
    restore(ram_path / "s", files | {name: bytes(data)})
    stream = open_stream(ram_path / "s")
    assert labels_of(stream) == without(labels, 2, 2)
    assert [(item.first_seq, item.last_seq) for item in damage_of(stream.scan())] == [(2, 2)]
    stream.close()


@pytest.mark.parametrize("length", [0, 17, 18, 1000, 1 << 20, 0xFFFF_FFFF])
def test_a_length_that_lies_is_not_believed(
    ram_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    stream = open_stream(ram_path / "s")
    placed = stream.append([new_frame("one"), new_frame("two"), new_frame("three")])
    (path,) = (ram_path / "s").glob("*.seg")
    offset = placed[1].position.offset
    data = bytearray(path.read_bytes())
    data[offset : offset + 4] = struct.pack("<I", length)
    path.write_bytes(bytes(data))
    read = os.pread
    asked: list[int] = []

    def noted(fd: int, size: int, offset: int) -> bytes:
        asked.append(size)
        return read(fd, size, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", noted)
        with pytest.raises(CorruptionError, match="do not verify"):
            stream.read(placed[1].position)
    # Not even for a moment is memory taken for it.
    assert max(asked) <= 4096
    assert labels_of(stream) == {1: "one", 3: "three"}
    stream.close()
    assert folder_labels(ram_path / "s") == {1: "one", 3: "three"}


def test_a_whole_segment_of_zeros_costs_its_frames_and_no_others(ram_path: Path) -> None:
    files, labels = closed_stream(ram_path / "made")
    names = segments_of(files)
    for name, following in pairwise(names):
        restore(ram_path / "s", files | {name: bytes(len(files[name]))})
        stream = open_stream(ram_path / "s")
        first, last = first_seq(files, name), first_seq(files, following) - 1
        assert labels_of(stream) == without(labels, first, last)
        assert stream.next_seq == len(labels) + 1
        stream.close()


def test_neighbouring_damaged_headers_cost_no_frame(ram_path: Path) -> None:
    files, labels = closed_stream(ram_path / "made")
    names = segments_of(files)
    for count in (2, len(names)):
        broken = {name: flipped(files[name], 100) for name in names[-count:]}
        restore(ram_path / "s", files | broken)
        stream = open_stream(ram_path / "s")
        assert labels_of(stream) == labels
        assert stream.next_seq == len(labels) + 1
        assert {item.segment for item in stream.recovery.damage} == set(broken)
        stream.close()


def test_a_loss_before_a_damaged_header_is_named_by_the_frames_behind_it(ram_path: Path) -> None:
    files, labels = closed_stream(ram_path / "made")
    names = segments_of(files)
    first, last = first_seq(files, names[1]), first_seq(files, names[2]) - 1
    broken = {name: data for name, data in files.items() if name != names[1]}
    restore(ram_path / "s", broken | {names[2]: flipped(files[names[2]], 100)})
    stream = open_stream(ram_path / "s")
    assert labels_of(stream) == without(labels, first, last)
    seen = damage_of(stream.scan())
    assert [(item.segment, item.first_seq, item.last_seq) for item in seen] == [
        (names[2], None, None),
        (names[2], first, last),
    ]
    stream.close()


@pytest.mark.parametrize("call", range(1, 60))
def test_a_fresh_segment_that_lost_its_header_gives_no_frame_twice(
    ram_path: Path, call: int
) -> None:
    # The process ends somewhere in a recovery, then the header of what it had made is damaged.
    disk = FailingDisk(RealDisk())
    stream = open_stream(ram_path / "s", disk)
    stream.append([new_frame("one"), new_frame("two")])
    stream.append([new_frame("three"), new_frame("four")])
    disk.abandon()
    disk.fail_next(call, error=None, effect=Effect.NONE)
    with suppress(Crash):
        stream = open_stream(ram_path / "s", disk)
        stream.append([new_frame("five")])
    disk.abandon()
    files = snapshot(ram_path / "s")
    names = segments_of(files)
    restore(ram_path / "s", files | {names[-1]: flipped(files[names[-1]], 33)})
    expected = {1: "one", 2: "two", 3: "three", 4: "four"}
    for _ in range(2):
        stream = open_stream(ram_path / "s")
        found = labels_of(stream)
        assert expected.items() <= found.items()
        assert found.items() <= (expected | {5: "five"}).items()
        assert stream.next_seq == len(found) + 1
        what = {item.what for item in damage_of(stream.scan())}
        assert what <= {"segment header does not verify"}
        stream.close()


def test_a_number_that_only_an_uncut_segment_still_tells_is_not_given_again(
    ram_path: Path,
) -> None:
    # As above, and of what was copied only the first frame is left: the second is in the old one.
    disk = FailingDisk(RealDisk())
    stream = open_stream(ram_path / "s", disk)
    stream.append([new_frame("one")])
    placed = stream.append([new_frame("two"), new_frame("three")])
    disk.abandon()
    files = snapshot(ram_path / "s")
    (old,) = files.values()
    for call in range(1, 60):
        disk.fail_next(call, error=None, effect=Effect.NONE)
        with suppress(Crash):
            open_stream(ram_path / "s", disk)
        disk.abandon()
        files = snapshot(ram_path / "s")
        if len(segments_of(files)) == 2:
            break
    name, fresh = segments_of(files)
    assert files[name] == old
    cut = HEADER_BYTES + placed[1].position.offset - placed[0].position.offset + 32 + 7
    files[fresh] = flipped(files[fresh][:cut], 33)
    restore(ram_path / "s", files)
    stream = open_stream(ram_path / "s")
    assert labels_of(stream) == {1: "one", 2: "two", 3: "three"}
    (after,) = stream.append([new_frame("after")])
    assert after.seq == 4
    stream.close()


def hostile_payload(size: int, *, seqs: range, key: SegmentKey | None) -> bytes:
    """Return a payload full of batch headers and frames that look right but for the checksum.

    With ``key`` even the masked numbers are right, which only who reads the disk can do.
    """
    mask = 0 if key is None else key.mask
    piece = 26 + 32
    parts = []
    for index in range(size // piece):
        rest = size - index * piece
        seq = seqs[index % len(seqs)] ^ mask
        parts.append(struct.pack("<IIQQH", rest - 8, index, seq, 1, 0))
        parts.append(struct.pack("<4sIIIQQ", BATCH_MAGIC, index, 100, 1, seq, HEADER_BYTES))
    return b"".join(parts)


@pytest.mark.parametrize("is_id_known", [False, True], ids=["id unknown", "id known"])
def test_a_payload_full_of_false_starts_hides_nothing_and_costs_linear_work(
    ram_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_id_known: bool
) -> None:
    disk = FailingDisk(RealDisk())
    size = 1 << 20
    stream = open_stream(
        ram_path / "made", disk, segment_bytes_max=8 << 20, frame_bytes_max=2 << 20
    )
    stream.append([new_frame("before")])
    (path,) = (ram_path / "made").glob("*.seg")
    header = unpack_header(path.read_bytes())
    assert header is not None
    key = SegmentKey(header.segment_id) if is_id_known else None
    payload = hostile_payload(size, seqs=range(2, 6), key=key)
    placed = stream.append([NewFrame(1, b"", payload), new_frame("next"), new_frame("last")])
    stream.append([new_frame("after")])
    disk.abandon()

    summed = 0

    def counted(data: bytes, value: int = 0) -> int:
        nonlocal summed
        summed += len(data)
        return crc32c(data, value)

    monkeypatch.setattr(framing, "crc32c", counted)
    data = path.read_bytes()
    for offset in (placed[0].position.offset + 1, placed[0].position.offset + 500):
        path.write_bytes(flipped(data, offset, 3))
        summed = 0
        items = list(scan_folder(RealDisk(), ram_path / "made", NAME))
        assert summed < 12 * len(data)
        found = {item[1].seq: item[1] for item in items if not isinstance(item, Damage)}
        assert {1, 5} <= set(found) <= {1, 3, 4, 5}
        if not is_id_known:
            assert set(found) == {1, 3, 4, 5}
            assert summed < 2 * len(data)


def test_a_payload_that_holds_a_copy_of_its_own_segment_is_only_a_payload(ram_path: Path) -> None:
    # Bytes of this very segment, sent back by someone who could read them: whole batches, valid.
    stream = open_stream(ram_path / "s", segment_bytes_max=8000, frame_bytes_max=4000)
    stream.append([new_frame("one")])
    stream.append([new_frame("two")])
    (path,) = (ram_path / "s").glob("*.seg")
    copy = path.read_bytes()[HEADER_BYTES:]
    placed = stream.append([NewFrame(1, b"", copy), new_frame("four")])
    stream.append([new_frame("five")])
    data = path.read_bytes()
    for offset in range(placed[0].position.offset - 32, placed[1].position.offset):
        path.write_bytes(flipped(data, offset))
        found = {
            item[1].seq: item[1].payload.rstrip(b".")
            for item in stream.scan()
            if not isinstance(item, Damage)
        }
        assert found.items() >= {1: b"one", 2: b"two", 4: b"four", 5: b"five"}.items(), offset
        assert found.get(3, copy.rstrip(b".")) == copy.rstrip(b".")
    path.write_bytes(data)
    stream.close()
