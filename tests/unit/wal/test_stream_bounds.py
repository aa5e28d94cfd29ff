from pathlib import Path

import pytest
from tests.support.failing_disk import FailingDisk
from tests.support.wal_streams import (
    FRAME_BYTES_MAX,
    NAME,
    SEGMENT_BYTES_MAX,
    frames_of,
    labels_of,
    new_frame,
    open_stream,
    snapshot,
)

from fractal_lba.protocol.errors import (
    ContractError,
)
from fractal_lba.wal import (
    NewFrame,
    RealDisk,
    Stream,
)
from fractal_lba.wal.framing import META_BYTES_MAX, RECEIVED_NS_MAX


def test_a_frame_longer_than_the_first_read_comes_whole(tmp_path: Path) -> None:
    stream = open_stream(tmp_path / "s", segment_bytes_max=40_000, frame_bytes_max=30_000)
    for size in (4069, 4070, 4071, 20_000):
        (placed,) = stream.append([NewFrame(1, b"", b"x" * size)])
        assert stream.read(placed.position).payload == b"x" * size
    stream.close()


def test_segments_stay_within_their_bound(tmp_path: Path) -> None:
    stream = open_stream(tmp_path / "s")
    for index in range(40):
        stream.append([new_frame(f"{index}", 10 * index % 330)])
        stream.mark()
    stream.close()
    sizes = [len(data) for data in snapshot(tmp_path / "s").values()]
    assert max(sizes) <= SEGMENT_BYTES_MAX
    assert len(sizes) > 5


def test_what_does_not_fit_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    disk = FailingDisk(RealDisk())
    stream = open_stream(tmp_path / "s", disk)
    before = len(disk.calls)
    longest = FRAME_BYTES_MAX - 26
    with pytest.raises(ContractError, match=r"frame of at most 400 bytes.*got 401 bytes with 1"):
        stream.append([new_frame("fits"), NewFrame(1, b"m", bytes(longest))])
    with pytest.raises(ContractError, match="expected a batch of at most 744 bytes, got 832"):
        stream.append([NewFrame(1, b"", bytes(longest))] * 2)
    with pytest.raises(ContractError, match="expected received_ns from 0 to"):
        stream.append([NewFrame(-1, b"", b"")])
    with pytest.raises(ContractError, match="expected received_ns from 0 to"):
        stream.append([NewFrame(RECEIVED_NS_MAX + 1, b"", b"")])
    assert len(disk.calls) == before
    assert not stream.is_fenced
    stream.append([NewFrame(1, b"", bytes(longest))])
    rest = 744 - 32 - 26 - FRAME_BYTES_MAX
    stream.append([NewFrame(1, b"", bytes(longest)), NewFrame(1, b"", bytes(rest))])
    stream.close()
    stream = open_stream(tmp_path / "t", segment_bytes_max=1 << 20, frame_bytes_max=1 << 19)
    with pytest.raises(ContractError, match="meta block of at most 65535"):
        stream.append([NewFrame(1, bytes(META_BYTES_MAX + 1), b"")])
    stream.append([NewFrame(1, bytes(META_BYTES_MAX), b"")])
    assert len(frames_of(stream)[1].meta) == META_BYTES_MAX
    stream.close()


@pytest.mark.parametrize(
    ("name", "segment_bytes_max", "frame_bytes_max"),
    [
        ("", 1000, 400),
        ("x" * 129, 1000, 400),
        ("ü" * 65, 1000, 400),
        (NAME, 232 + 64 + 44 + 399, 400),
        (NAME, (1 << 30) + 1, 400),
    ],
)
def test_a_setting_out_of_range_is_refused_before_anything_is_made(
    tmp_path: Path, name: str, segment_bytes_max: int, frame_bytes_max: int
) -> None:
    with pytest.raises(ContractError, match="expected"):
        Stream.open(
            RealDisk(),
            tmp_path / "s",
            name,
            segment_bytes_max=segment_bytes_max,
            frame_bytes_max=frame_bytes_max,
        )
    assert not (tmp_path / "s").exists()


def test_settings_at_their_bounds_are_taken(tmp_path: Path) -> None:
    stream = Stream.open(
        RealDisk(),
        tmp_path / "s",
        "x" * 128,
        segment_bytes_max=232 + 64 + 44 + 400,
        frame_bytes_max=400,
    )
    for _ in range(3):
        stream.append([NewFrame(1, b"", bytes(400 - 26))])
    assert len(frames_of(stream)) == 3
    stream.close()


def test_smaller_bounds_still_read_what_larger_ones_wrote(tmp_path: Path) -> None:
    stream = open_stream(tmp_path / "s", segment_bytes_max=10_000, frame_bytes_max=5000)
    stream.append([new_frame("large", 4000)])
    stream.append([new_frame("larger", 4500)])
    stream.mark()
    stream.append([new_frame("one", 300)])
    stream._lock.release()
    stream = open_stream(tmp_path / "s")
    assert labels_of(stream) == {1: "large", 2: "larger", 3: "one"}
    stream.append([new_frame("after")])
    stream.close()
