"""Read a ledger beside a server that may run: its entries, as far as they are marked durable.

What is forgotten is left out, also where its bytes are still there.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fractal_lba.server.core import names
from fractal_lba.server.core.entry import Conflict, Decision, Entry, Resolution, decode_written
from fractal_lba.server.core.forgetting import Due, Forgotten, Mark, is_forgotten, with_mark
from fractal_lba.server.core.known import RecordKey
from fractal_lba.server.core.listing import ESCALATED_STATUS
from fractal_lba.server.storage.data_folder import ShardSet
from fractal_lba.server.storage.ledgers import check_ledger
from fractal_lba.wal import Damage, Disk, scan_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEntry:
    """An entry with the shard that has it, its number there and its receipt."""

    shard: str
    number: int
    received_ns: int
    entry: Entry | Forgotten


@dataclass(slots=True, kw_only=True)
class Appended:
    """What was appended to one decided id."""

    conflicts: list[tuple[int, Conflict]] = field(default_factory=list)
    resolutions: list[tuple[int, Resolution]] = field(default_factory=list)
    settled_seq: int | None = None
    """The number of the first resolution."""


@dataclass(slots=True, kw_only=True)
class StoredRecords:
    """The decisions of a data folder with what was appended to them, read twice: once for each.

    Attributes:
        appended: By id, with the receipts in ns; about 2 KiB for each entry.
        damage: What could not be read, for a person.
        marks: What is forgotten, by shard.
    """

    disk: Disk
    data: Path
    shards: ShardSet
    appended: dict[RecordKey, Appended] = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)
    marks: dict[str, tuple[Mark, ...]] = field(default_factory=dict)

    def read_appended(self) -> None:
        """Read every conflict, resolution and mark, and note the damage.

        Raises:
            ContractError: A segment is of a format this release does not read.
            DurabilityError: The disk refused to be read, or an entry is none.
        """
        for item in self._entries():
            if isinstance(item, Damage):
                self.damage.append(str(item))
                continue
            entry = item.entry
            if isinstance(entry, Decision):
                continue
            if isinstance(entry, Forgotten):
                if entry.count:
                    mark = Mark(item.number, entry.until_ms, entry.until_seq)
                    self.marks[item.shard] = with_mark(self.marks.get(item.shard, ()), mark)
                continue
            to = self.appended.setdefault(_key(entry), Appended())
            if isinstance(entry, Conflict):
                to.conflicts.append((item.received_ns, entry))
            else:
                to.resolutions.append((item.received_ns, entry))
                to.settled_seq = to.settled_seq or item.number

    def decisions(self) -> Iterator[tuple[StoredEntry, Decision, Appended]]:
        """Yield each decision with what was appended to it, each shard's in their order.

        Of the shards' next ones the one that was received first comes first.

        Raises:
            ContractError: See ``read_appended``.
            DurabilityError: See ``read_appended``.
        """
        nothing = Appended()
        shards = [self._entries_of(name) for name in self.shards.names]
        for item in heapq.merge(*shards, key=_received):
            if isinstance(item, Damage) or not isinstance(item.entry, Decision):
                continue
            appended = self.appended.get(_key(item.entry), nothing)
            if not self._is_forgotten(item, item.entry, appended):
                yield item, item.entry, appended

    def _is_forgotten(self, item: StoredEntry, decision: Decision, appended: Appended) -> bool:
        if decision.kept is None:
            return False
        is_escalated = decision.status == ESCALATED_STATUS
        return is_forgotten(
            self.marks.get(item.shard, ()),
            Due(decision.kept.until_ms, item.number),
            settled_seq=appended.settled_seq if is_escalated else item.number,
        )

    def _entries(self) -> Iterator[StoredEntry | Damage]:
        for name in self.shards.names:
            yield from self._entries_of(name)

    def _entries_of(self, shard: str) -> Iterator[StoredEntry | Damage]:
        folder = self.data / shard / names.LEDGER
        check_ledger(self.disk, self.data / shard)
        stream = f"{shard}/{names.LEDGER}"
        for item in scan_folder(self.disk, folder, stream, is_marked_only=True):
            if isinstance(item, Damage):
                yield item
                continue
            _, frame = item
            yield StoredEntry(
                shard=shard,
                number=frame.seq,
                received_ns=frame.received_ns,
                entry=decode_written(frame.meta, frame.payload),
            )


def _received(item: StoredEntry | Damage) -> int:
    return 0 if isinstance(item, Damage) else item.received_ns


def _key(entry: Entry) -> RecordKey:
    return RecordKey(entry.tenant, entry.family, entry.pcs_id)
