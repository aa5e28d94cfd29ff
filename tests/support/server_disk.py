"""A server's data folder, taken apart on disk: where its records are, and ways to damage them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.failing_disk import FailingDisk
from tests.support.load import id_of

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.server.core.entry import Decision, Entry, decode_entry
from fractal_lba.server.core.known import Known, RecordKey
from fractal_lba.server.storage.replay import ShardFiles, open_shard
from fractal_lba.wal import Damage, Position, RealDisk, scan_folder

LEDGER: Final = "shard-0/ledger"
BATCH_HEADER_BYTES: Final = 32
FRAME_HEADER_BYTES: Final = 26


@dataclass(frozen=True)
class Batch:
    """The bytes of a batch that holds one frame."""

    path: Path
    seq: int
    start: int
    end: int
    received_ns: int
    pcs_id: str = ""


def batches(data: Path, stream: str) -> list[Batch]:
    """Return where the frames of a stream are; each is the only one of its batch."""
    found = []
    for item in scan_folder(RealDisk(), data / stream, stream):
        assert not isinstance(item, Damage), item
        position, frame = item
        (path,) = (data / stream).glob(f"{position.segment:010d}-*.seg")
        size = FRAME_HEADER_BYTES + len(frame.meta) + len(frame.payload)
        pcs_id = decode_entry(frame.meta, frame.payload).pcs_id if stream == LEDGER else ""
        start = position.offset - BATCH_HEADER_BYTES
        end = position.offset + size
        found.append(Batch(path, frame.seq, start, end, frame.received_ns, pcs_id))
    return found


def flip(path: Path, offset: int) -> None:
    """Flip one bit of a byte, another one at each offset."""
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 1 << offset % 8]))


class Snapshot:
    """The files of a shard, put back as they were as often as needed."""

    def __init__(self, folder: Path, target: Path) -> None:
        self.folder = target
        self._files = {
            path.relative_to(folder): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and path.name != "lock.mdb"
        }

    def restore(self) -> None:
        if self.folder.exists():
            shutil.rmtree(self.folder)
        for name, data in self._files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def moved(self, path: Path) -> Path:
        """Return where a file of the original is in the restored folder."""
        (name,) = (name for name in self._files if name.name == path.name)
        return self.folder / name


@contextmanager
def opened(folder: Path) -> Iterator[ShardFiles]:
    """Open a shard through the server's own recovery and replay."""
    files = open_shard(
        FailingDisk(RealDisk()), folder, segment_bytes_max=1 << 20, map_bytes=1 << 24
    )
    try:
        yield files
    finally:
        files.index.close()
        files.stream.close()


def known(files: ShardFiles, pcs_id: str) -> Known | None:
    return files.index.lookup(RecordKey("acme", "1.x", pcs_id))


def read(files: ShardFiles, found: Known) -> Entry | None:
    """Return the entry of a known id, ``None`` where it does not verify."""
    try:
        frame = files.stream.read(Position(found.place.segment, found.place.offset))
    except DurabilityError:
        return None
    if frame.seq != found.place.seq:
        return None
    return decode_entry(frame.meta, frame.payload)


def readable(files: ShardFiles, epochs: list[int]) -> set[int]:
    """Return the epochs that answer; every one must be known, and none with another's decision."""
    answering = set()
    for epoch in epochs:
        found = known(files, id_of(epoch))
        assert found is not None, epoch
        entry = read(files, found)
        if entry is not None:
            assert isinstance(entry, Decision)
            assert entry.pcs_id == id_of(epoch)
            answering.add(epoch)
    return answering
