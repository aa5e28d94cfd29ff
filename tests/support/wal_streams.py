"""Streams for tests: small bounds, frames that name themselves, folders as dicts of bytes."""

from collections.abc import Iterable
from pathlib import Path

from tests.support.failing_disk import FailingDisk

from fractal_lba.wal import Damage, Disk, Frame, NewFrame, RealDisk, Stream, scan_folder

NAME = "inbox"
SEGMENT_BYTES_MAX = 1052
FRAME_BYTES_MAX = 400


def new_frame(label: str, size: int = 20) -> NewFrame:
    """Return a frame whose payload begins with its label."""
    payload = label.encode().ljust(size, b".")
    return NewFrame(received_ns=len(label), meta=f"meta of {label}".encode(), payload=payload)


def label_of(frame: Frame | NewFrame) -> str:
    return frame.payload.decode().rstrip(".")


def open_stream(
    folder: Path,
    disk: Disk | None = None,
    *,
    segment_bytes_max: int = SEGMENT_BYTES_MAX,
    frame_bytes_max: int = FRAME_BYTES_MAX,
) -> Stream:
    return Stream.open(
        disk if disk is not None else FailingDisk(RealDisk()),
        folder,
        NAME,
        segment_bytes_max=segment_bytes_max,
        frame_bytes_max=frame_bytes_max,
    )


def frames_of(stream: Stream, *, from_seq: int = 1) -> dict[int, Frame]:
    """Return what a scan gives, by seq; asserts order, and that every position reads back."""
    found: dict[int, Frame] = {}
    for item in stream.scan(from_seq=from_seq):
        if not isinstance(item, Damage):
            position, frame = item
            assert not found or frame.seq > max(found)
            assert stream.read(position) == frame
            found[frame.seq] = frame
    return found


def labels_of(stream: Stream) -> dict[int, str]:
    return {seq: label_of(frame) for seq, frame in frames_of(stream).items()}


def damage_of(items: Iterable[object]) -> list[Damage]:
    return [item for item in items if isinstance(item, Damage)]


def folder_labels(folder: Path) -> dict[int, str]:
    """Return what a reader without the lock finds, by seq."""
    return {
        item[1].seq: label_of(item[1])
        for item in scan_folder(RealDisk(), folder, NAME)
        if not isinstance(item, Damage)
    }


def snapshot(folder: Path) -> dict[str, bytes]:
    """Return a stream's files but for its lock."""
    return {
        path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")
    }


def restore(folder: Path, files: dict[str, bytes]) -> None:
    """Make a folder hold these files and nothing else."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def segments_of(files: dict[str, bytes]) -> list[str]:
    return sorted(name for name in files if name.endswith(".seg"))


def flipped(data: bytes, offset: int, bit: int | None = None) -> bytes:
    """Return the bytes with one bit flipped; by default another one at each offset."""
    changed = bytearray(data)
    changed[offset] ^= 1 << (offset % 8 if bit is None else bit)
    return bytes(changed)
