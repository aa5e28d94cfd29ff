"""What the logs of a simulated server hold on the platter: what a power cut would leave now."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.memory_disk import MemoryDisk
from tests.support.memory_nodes import Directory, Inode
from tests.support.power_runs import Invariant, hold

from fractal_lba.server.core import names
from fractal_lba.server.core.entry import Conflict, Decision, Entry, decode_written
from fractal_lba.server.core.forgetting import Forgotten, Kept
from fractal_lba.server.core.known import Place, RecordKey
from fractal_lba.server.core.listing import ESCALATED_STATUS
from fractal_lba.server.core.usage import NO_USAGE, Usage, day_of, usage_of
from fractal_lba.wal import Damage, scan_folder


class Said(NamedTuple):
    """A decision as it was answered."""

    content: str
    status: int
    body: bytes
    received_ns: int


class Found(NamedTuple):
    """A decision as it is on disk."""

    said: Said
    kid: str
    record: bytes
    place: Place
    kept: Kept | None


@dataclass(slots=True)
class Ledger:
    """What one ledger holds: of what its marks forget only ``forgotten`` and ``numbers`` tell."""

    decisions: dict[RecordKey, Found] = field(default_factory=dict)
    forgotten: list[tuple[RecordKey, Found]] = field(default_factory=list)
    conflicts: dict[RecordKey, set[str]] = field(default_factory=dict)
    numbers: dict[int, tuple[str, str]] = field(default_factory=dict)
    usage: dict[tuple[str, int], Usage] = field(default_factory=dict)
    is_twice: list[RecordKey] = field(default_factory=list)


NOTHING: Final = Ledger()
NOBODY: Final = frozenset[str]()
_Version = list[tuple[str, Inode, int]]
"""Of a ledger's files: changes whenever one of them does."""


class Ledgers:
    """Those of one machine, read again where they have changed.

    Args:
        disk: The machine's.
        data: The data folder.
    """

    def __init__(self, disk: MemoryDisk, data: Path) -> None:
        self._disk = disk
        self._data = data
        self._read: dict[str, tuple[_Version, Ledger]] = {}

    def of(self, shard: str) -> Ledger:
        """Return what a shard's holds; the same object as long as nothing changes."""
        folder = _durable(self._disk, self._data, shard).get(names.LEDGER)
        nodes = folder.platter if isinstance(folder, Directory) else {}
        version: _Version = [
            (name, node, node.version) for name, node in nodes.items() if isinstance(node, Inode)
        ]
        before = self._read.get(shard)
        if before is not None and before[0] == version:
            return before[1]
        files = {name: node.platter for name, node, _ in version}
        ledger = _ledger_of(files, f"{shard}/{names.LEDGER}")
        self._read[shard] = version, ledger
        return ledger

    def is_logged(self, whole: bytes) -> bool:
        """Tell whether a body is in an inbox."""
        data = _durable(self._disk, self._data)
        inboxes = (each for name, each in data.items() if name.startswith("inbox-"))
        return any(
            whole in file.platter
            for inbox in inboxes
            if isinstance(inbox, Directory)
            for file in inbox.platter.values()
            if isinstance(file, Inode)
        )


def _durable(disk: MemoryDisk, data: Path, *names: str) -> Mapping[str, Inode | Directory]:
    node = disk.tree
    for part in (*data.parts[len(disk.root.parts) :], *names):
        below = node.platter.get(part)
        if not isinstance(below, Directory):
            return {}
        node = below
    return node.platter


def _ledger_of(files: Mapping[str, bytearray], name: str) -> Ledger:
    ledger = Ledger()
    root = Path("/platter")
    disk = MemoryDisk(root, random.Random(0))  # noqa: S311 - decides nothing
    if not files:
        return ledger
    for file, data in files.items():
        disk.put(root / file, bytes(data))
    for item in scan_folder(disk, root, name):
        if isinstance(item, Damage):
            hold(not item.is_loss, Invariant.NOTHING_LOST, item)
            continue
        position, frame = item
        entry = decode_written(frame.meta, frame.payload)
        if isinstance(entry, Forgotten):
            _forget(ledger, entry)
            continue
        place = Place(seq=frame.seq, segment=position.segment, offset=position.offset)
        _read(ledger, entry, place, frame.received_ns)
    return ledger


def _read(ledger: Ledger, entry: Entry, place: Place, received_ns: int) -> None:
    key = RecordKey(entry.tenant, entry.family, entry.pcs_id)
    if isinstance(entry, Decision):
        said = Said(entry.content_digest, entry.status, entry.answer, received_ns)
        if key in ledger.decisions:
            ledger.is_twice.append(key)
        else:
            ledger.decisions[key] = Found(said, entry.kid, entry.record, place, entry.kept)
            day = key.tenant, day_of(received_ns)
            ledger.usage[day] = ledger.usage.get(day, NO_USAGE) + usage_of(entry)
        ledger.numbers[place.seq] = key.pcs_id, entry.content_digest
    elif isinstance(entry, Conflict) and key in ledger.decisions:
        ledger.conflicts.setdefault(key, set()).add(entry.content_digest)


def _forget(ledger: Ledger, mark: Forgotten) -> None:
    """Forget what a mark says: what is not behind it in the order of deadlines, and looked at."""
    if not mark.count:
        return
    for key, found in list(ledger.decisions.items()):
        if found.kept is None or found.said.status == ESCALATED_STATUS:
            continue
        if (found.kept.until_ms, found.place.seq) <= (mark.until_ms, mark.until_seq):
            del ledger.decisions[key]
            ledger.conflicts.pop(key, None)
            ledger.forgotten.append((key, found))
            day = key.tenant, day_of(found.said.received_ns)
            ledger.usage[day] -= Usage(records=1, bytes=len(found.record))
