"""A shard that decides, forgets and lets go, and everything its ledger ever said."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from msgspec.structs import replace
from tests.support.failing_disk import FailingDisk
from tests.support.stored_folder import (
    MAP_BYTES,
    SHARD,
    StoredFolder,
    decided,
)

from fractal_lba.server.core.entry import (
    Decision,
    Entry,
    Resolution,
    Written,
    decode_written,
)
from fractal_lba.server.core.forgetting import Forgotten, kept
from fractal_lba.server.core.known import Known, RecordKey
from fractal_lba.server.core.problems import Report
from fractal_lba.server.core.ring import Ring
from fractal_lba.server.core.run import NewEntry
from fractal_lba.server.core.usage import NO_USAGE, Usage, day_of, usage_of
from fractal_lba.server.storage.fsck import check_shard
from fractal_lba.server.storage.index import LmdbIndex
from fractal_lba.server.storage.replay import open_shard
from fractal_lba.server.storage.shard import ShardStore
from fractal_lba.server.telemetry.metrics import Metrics
from fractal_lba.wal import Damage, Disk, RealDisk, scan_folder
from fractal_lba.wal.group_commit import Bounds

DAY_MS = 86_400_000
HOUR_S = 3_600
START_MS = 1_793_534_400_000
SEGMENT_BYTES = 300_000
SEGMENT_AGE_S = 1e-9
"""Each batch has a segment of its own, so that there is always one to let go."""
BOUNDS = Bounds(items_max=4, bytes_max=1 << 20, queue_items_max=64, queue_bytes_max=1 << 24)


def a_decision(epoch: int, *, at_ms: int, days: int, is_escalated: bool = False) -> Decision:
    made = decided(epoch=epoch, regime="sticky") if is_escalated else decided(epoch=epoch)
    span = kept(created_ms=at_ms, received_ns=at_ms * 1_000_000, horizon_days=days)
    return replace(made, kept=span)


def key_of(entry: Decision) -> RecordKey:
    return RecordKey(entry.tenant, entry.family, entry.pcs_id)


@dataclass
class Shard:
    """A shard that is used as a server does, and everything its ledger ever said."""

    folder: StoredFolder
    disk: Disk = field(default_factory=lambda: FailingDisk(RealDisk()))
    now_ms: int = START_MS
    at_s: float = 0.0
    said: dict[int, tuple[int, Written]] = field(default_factory=dict)
    decisions: dict[int, Decision] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.store.close()

    async def open(self) -> None:
        files = open_shard(
            self.disk,
            self.folder.shard,
            segment_bytes_max=SEGMENT_BYTES,
            segment_age_max_s=SEGMENT_AGE_S,
            map_bytes=MAP_BYTES,
            data_id=self.folder.shards.data_id,
        )
        self.store = ShardStore(files, meter=Metrics(), bounds=BOUNDS, flush_records=3)

    def known(self, entry: Decision) -> Known | None:
        """Return what is remembered of a decision's id."""
        (known,) = self.store.lookup([key_of(entry)])
        assert not isinstance(known, Exception)
        return known

    async def write(self, entry: Entry, *, received_ns: int | None = None) -> None:
        """Append an entry as a server does that looked it up."""
        of = RecordKey(entry.tenant, entry.family, entry.pcs_id)
        at_ns = self.now_ms * 1_000_000 if received_ns is None else received_ns
        (end,) = await self.store.append([NewEntry(of, entry, at_ns)])
        if isinstance(end, Exception):
            raise end

    async def decide(self, epoch: int, days: int = 1, *, is_escalated: bool = False) -> None:
        entry = a_decision(epoch, at_ms=self.now_ms, days=days, is_escalated=is_escalated)
        if self.known(entry) is None:
            await self.write(entry)
            self.decisions[epoch] = entry

    async def append_to(self, epoch: int, make: Callable[[Decision], Entry]) -> None:
        entry = self.decisions.get(epoch)
        if entry is not None and self.known(entry) is not None:
            await self.write(make(entry))

    async def forget(self, *, records_max: int = 100) -> int:
        count, _ = await self.store.forget(
            now_ns=self.now_ms * 1_000_000, at_s=self.at_s, records_max=records_max
        )
        return count

    async def pass_days(self, days: float) -> None:
        """Let time pass, the clock of nobody's setting with it."""
        self.now_ms += int(days * DAY_MS)
        self.at_s += days * 86_400

    def read(self) -> None:
        """Take over what the ledger says by now; what it lets go is remembered here."""
        for item in scan_folder(self.disk, self.folder.ledger, f"{SHARD}/ledger"):
            if isinstance(item, Damage):
                assert not item.is_loss, item
                continue
            frame = item[1]
            entry = decode_written(frame.meta, frame.payload)
            self.said.setdefault(frame.seq, (frame.received_ns, entry))

    def remembered(self) -> dict[RecordKey, int]:
        """Return the number of each decision that the ledger says is remembered."""
        held: dict[RecordKey, tuple[int, Decision, bool]] = {}
        for seq, (_, entry) in sorted(self.said.items()):
            if isinstance(entry, Decision):
                held.setdefault(key_of(entry), (seq, entry, entry.status != 202))
            elif isinstance(entry, Resolution):
                of = RecordKey(entry.tenant, entry.family, entry.pcs_id)
                held[of] = (*held[of][:2], True)
            elif isinstance(entry, Forgotten) and entry.count:
                place = (entry.until_ms, entry.until_seq)
                for each, (number, decision, is_settled) in list(held.items()):
                    if decision.kept and is_settled and (decision.kept.until_ms, number) <= place:
                        del held[each]
        return {each: seq for each, (seq, _, _) in held.items()}

    def hold(self) -> None:
        """Hold the index to the ledger."""
        self.read()
        index = self.store.index
        index.flush()
        found = dict(index.items())
        expected = self.remembered()
        assert {each: known.place.seq for each, known in found.items()} == expected
        usage: dict[tuple[str, int], Usage] = {}
        for each, seq in expected.items():
            received_ns, entry = self.said[seq]
            assert isinstance(entry, Decision)
            of = (each.tenant, day_of(received_ns))
            usage[of] = usage.get(of, NO_USAGE) + usage_of(entry)
        assert {(tenant, day): used for tenant, day, used in index.usages()} == usage
        report = Report()
        assert isinstance(index, LmdbIndex)
        ring = Ring(self.folder.shards.shards)
        for _ in check_shard(self.disk, self.folder.shard, report, index=index, ring=ring):
            pass
        assert report.problems == []
