"""Check a ledger: its bytes, its entries, its signatures, and its index against each entry.

One entry after the other, some hundreds at a time; what is kept of each is 8 bytes, and what it
counts for. Ids that the index does not hold yet (or where there is none) are kept as digests.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from fractal_lba.protocol.authenticate import verify_stored
from fractal_lba.protocol.errors import ContractError, FractalError, Refusal, RefusalCode
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.server.core import names
from fractal_lba.server.core.entry import Conflict, Decision, Entry, Resolution, decode_entry
from fractal_lba.server.core.known import Known, Place, RecordKey
from fractal_lba.server.core.listing import summary_of
from fractal_lba.server.core.problems import Kind, Report
from fractal_lba.server.core.ring import Ring
from fractal_lba.server.core.usage import NO_USAGE, day_of, usage_of
from fractal_lba.server.storage.check_entry import check_entry
from fractal_lba.server.storage.check_index import Counted, Numbers
from fractal_lba.server.storage.index_view import NOTHING, Found, IndexView
from fractal_lba.wal import Damage, Disk, scan_folder
from fractal_lba.wal.inspection import check_footers

_ENTRIES_AT_ONCE = 64
"""Looked up in one transaction; about 10 ms of a core, which a scrub takes between two waits."""
_KIDS_NAMED_MAX = 100

_STATUS_NAMES = {200: "accepted", 202: "escalated", 422: "not_accepted"}


class _Read(NamedTuple):
    place: Place
    received_ns: int
    key: RecordKey
    entry: Entry


@dataclass(slots=True, kw_only=True)
class LedgerCheck:
    """The check of one ledger.

    Args:
        disk: Where it is.
        folder: Of the shard.
        report: Gets what is found.
        view: Of the shard's index, made before the ledger is read; ``None``: there is none.
        keyring: To verify signatures with; ``None``: they are not looked at.
        ring: Which shard each record belongs to.

    Attributes:
        is_whole: Whether nothing of it was lost to damage.
        last_seq: The last number that was read or is known to be lost.
        least: What the decisions up to the index's checkpoint count for.
        most: What all of them count for.
    """

    disk: Disk
    folder: Path
    report: Report
    view: IndexView | None
    ring: Ring
    keyring: Keyring | None = None
    is_whole: bool = True
    last_seq: int = 0
    numbers: Numbers = field(default_factory=Numbers)
    least: Counted = field(default_factory=dict)
    most: Counted = field(default_factory=dict)
    _unindexed: set[bytes] = field(default_factory=set)

    @property
    def stream(self) -> str:
        """The ledger's name."""
        return f"{self.folder.name}/{names.LEDGER}"

    def read(self) -> Iterator[int]:
        """Read all of it, yielding the bytes of each piece.

        Raises:
            ContractError: A segment is another stream's, or of a newer format.
            DurabilityError: The disk or the index refused to be read.
        """
        batch: list[_Read] = []
        size = 0
        damaged: set[str] = set()
        for item in scan_folder(self.disk, self.folder / names.LEDGER, self.stream):
            if isinstance(item, Damage):
                damaged.add(item.segment)
                self._note_damage(item)
                continue
            position, frame = item
            self.last_seq = max(self.last_seq, frame.seq)
            size += len(frame.payload)
            try:
                entry = decode_entry(frame.meta, frame.payload)
            except FractalError as error:
                self._add(Kind.ENTRY_UNREADABLE, f"entry {frame.seq}", str(error))
                self.is_whole = False  # nobody can tell whose it is
                continue
            place = Place(seq=frame.seq, segment=position.segment, offset=position.offset)
            key = RecordKey(entry.tenant, entry.family, entry.pcs_id)
            batch.append(_Read(place, frame.received_ns, key, entry))
            if len(batch) == _ENTRIES_AT_ONCE:
                self._check(batch)
                yield size
                batch, size = [], 0
        self._check(batch)
        yield size
        for read, damage in check_footers(
            self.disk, self.folder / names.LEDGER, self.stream, damaged
        ):
            if damage is not None:
                self._add(Kind.FOOTER_DIFFERS, damage.segment, damage.what)
            yield read

    def _note_damage(self, damage: Damage) -> None:
        if not damage.is_loss:
            self.report.torn_bytes += damage.length
            return
        self.report.damage.append(f"{self.stream}: {damage}")
        self._add(Kind.LEDGER_DAMAGED, damage.segment, str(damage))
        self.is_whole = False
        self.last_seq = max(self.last_seq, damage.last_seq or 0)

    def _check(self, batch: list[_Read]) -> None:
        keys = [read.key for read in batch]
        found = [NOTHING] * len(keys) if self.view is None else self.view.find(keys)
        for read, under in zip(batch, found, strict=True):
            where = f"entry {read.place.seq}"
            is_sound = True
            owner = self.ring.owner_of(read.key.tenant, read.key.pcs_id)
            if owner != self.folder.name:
                what = f"expected an id of {self.folder.name}, got {read.key.pcs_id} of {owner}"
                self._add(Kind.WRONG_SHARD, where, what)
            try:
                check_entry(read.entry)
            except ContractError as error:
                self._add(Kind.ENTRY_DIFFERS, where, str(error))
                is_sound = False
            if self.keyring is not None and not isinstance(read.entry, Resolution):
                self._check_signature(where, read.entry, self.keyring)
            if isinstance(read.entry, Decision):
                if self._counts(where, read, read.entry, under) and is_sound:
                    self._compare(read, read.entry, under)
            else:
                self._check_appended(where, read, read.entry, under)

    def _check_signature(self, where: str, entry: Decision | Conflict, keyring: Keyring) -> None:
        try:
            key = verify_stored(entry.record, entry.kid, keyring)
        except Refusal as error:
            if error.code is not RefusalCode.UNKNOWN_KEY:
                self._add(Kind.SIGNATURE_DIFFERS, where, str(error))
                return
            self.report.signatures_unchecked += 1
            kids = self.report.kids_unknown
            if entry.kid not in kids and len(kids) < _KIDS_NAMED_MAX:
                kids.append(entry.kid)
            return
        except ContractError:
            return  # it is no record: said already
        self.report.signatures_checked += 1
        if key.tenant != entry.tenant:
            what = f"expected a key of tenant {entry.tenant}, got one of {key.tenant}"
            self._add(Kind.SIGNATURE_DIFFERS, where, what)

    def _counts(self, where: str, read: _Read, decision: Decision, under: Found) -> bool:
        """Count a decision; tell whether it is the first of its id, as it should be."""
        report = self.report
        report.records += 1
        outcome = _STATUS_NAMES.get(decision.status)
        if outcome is not None:
            setattr(report, outcome, getattr(report, outcome) + 1)
        seq, key, known = read.place.seq, read.key, under.known
        is_second = known is not None and self._is_earlier(known, seq, key)
        is_indexed = known is not None and known.place.seq <= seq
        if self._unindexed or not is_indexed:
            digest = _digest(key)
            is_second = is_second or digest in self._unindexed
            if not is_indexed:
                self._unindexed.add(digest)
        self.numbers.put(seq, key, is_decision=True)
        if is_second:
            report.stored_twice += 1
            what = f"expected one decision of {key.pcs_id}, got a second"
            self._add(Kind.DECIDED_TWICE, where, what)
            return False
        day = (key.tenant, day_of(read.received_ns))
        self.most[day] = self.most.get(day, NO_USAGE) + usage_of(decision)
        if self.view is None or seq > self.view.through:
            return False
        self.least[day] = self.least.get(day, NO_USAGE) + usage_of(decision)
        return True

    def _compare(self, read: _Read, decision: Decision, under: Found) -> None:
        """Compare a decision with what the index holds of it."""
        seq, pcs_id, known = read.place.seq, read.key.pcs_id, under.known
        if not under.is_sound:
            self._add_index(Kind.INDEX_UNREADABLE, f"a value of {pcs_id} that verifies")
        elif known is None:
            self._add_index(Kind.INDEX_LACKS, f"decision {seq}, of {pcs_id}")
        elif replace(known, conflicts=(), resolutions=()) != _known(read, decision):
            self._add_index(Kind.INDEX_DIFFERS, f"{pcs_id} as decision {seq} has it")
        elif not under.is_listed:
            self._add_index(Kind.INDEX_ORDERS_DIFFER, f"decision {seq} in its orders")

    def _is_earlier(self, known: Known, seq: int, key: RecordKey) -> bool:
        """Tell whether the ledger really holds the earlier decision that the index names."""
        first = known.place.seq
        return first < seq and self.numbers.is_of(first, key, is_decision=True)

    def _check_appended(
        self, where: str, read: _Read, entry: Conflict | Resolution, under: Found
    ) -> None:
        if isinstance(entry, Resolution):
            self.report.resolutions += 1
        else:
            self.report.conflicts += 1
        seq, key, known = read.place.seq, read.key, under.known
        self.numbers.put(seq, key, is_decision=False)
        has_decision = (known is not None and known.place.seq < seq) or (
            _digest(key) in self._unindexed
        )
        if not has_decision and self.is_whole and under.is_sound:
            what = "expected a decision before what is appended to it, got none"
            self._add(Kind.APPENDED_ALONE, where, what)
            return
        if self.view is None or known is None or seq > self.view.through:
            return
        held = known.resolutions if isinstance(entry, Resolution) else known.conflicts
        if read.place not in [each.place for each in held]:
            self._add_index(Kind.INDEX_DIFFERS, f"what is appended to {key.pcs_id} as {seq}")

    def _add(self, kind: Kind, where: str, what: str) -> None:
        self.report.add(kind, f"{self.stream} {where}", what)

    def _add_index(self, kind: Kind, expected: str) -> None:
        where = f"{self.folder.name}/{names.INDEX}"
        self.report.add(kind, where, f"expected {expected}, got something else")


def _known(read: _Read, decision: Decision) -> Known:
    return Known(
        content_digest=decision.content_digest,
        received_ns=read.received_ns,
        place=read.place,
        status=decision.status,
        summary=summary_of(decision.record),
    )


def _digest(key: RecordKey) -> bytes:
    return hashlib.blake2b("\0".join(key).encode(), digest_size=16).digest()
