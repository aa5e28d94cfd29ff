"""Check a ledger: its bytes, its entries, its signatures, and its index against each entry.

One entry after the other, some hundreds at a time; what is kept of each is 8 bytes, and what it
counts for. Ids that the index does not hold yet (or where there is none) are kept as digests.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from fractal_lba.protocol.authenticate import verify_stored
from fractal_lba.protocol.errors import ContractError, FractalError, Refusal, RefusalCode
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.server.core import names
from fractal_lba.server.core.entry import Conflict, Decision, Entry, Resolution, decode_written
from fractal_lba.server.core.forgetting import Due, Forgotten, Mark, is_forgotten, with_mark
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
    _marks: tuple[Mark, ...] = ()
    _marks_read: tuple[Mark, ...] = ()
    _first_seq: int = 0

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
        self._marks = self._read_marks() if self.view is None else self.view.marks
        batch: list[_Read] = []
        size = 0
        damaged: set[str] = set()
        for item in scan_folder(self.disk, self.folder / names.LEDGER, self.stream):
            if isinstance(item, Damage):
                damaged.add(item.segment)
                self._note_damage(item)
                continue
            position, frame = item
            self._first_seq = self._first_seq or frame.seq
            self.last_seq = max(self.last_seq, frame.seq)
            size += len(frame.payload)
            try:
                entry = decode_written(frame.meta, frame.payload)
            except FractalError as error:
                self._add(Kind.ENTRY_UNREADABLE, f"entry {frame.seq}", str(error))
                self.is_whole = False  # nobody can tell whose it is
                continue
            if isinstance(entry, Forgotten):
                self._note_mark(frame.seq, entry)
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
        self._compare_marks()
        for read, damage in check_footers(
            self.disk, self.folder / names.LEDGER, self.stream, damaged
        ):
            if damage is not None:
                self._add(Kind.FOOTER_DIFFERS, damage.segment, damage.what)
            yield read

    def _read_marks(self) -> tuple[Mark, ...]:
        """Return what is forgotten, where no index says it: the ledger is read once more."""
        marks: tuple[Mark, ...] = ()
        for item in scan_folder(self.disk, self.folder / names.LEDGER, self.stream):
            if isinstance(item, Damage):
                continue
            try:
                entry = decode_written(item[1].meta, item[1].payload)
            except FractalError:
                continue  # told where it is read for what it says
            if isinstance(entry, Forgotten) and entry.count:
                marks = with_mark(marks, Mark(item[1].seq, entry.until_ms, entry.until_seq))
        return marks

    def _note_mark(self, seq: int, mark: Forgotten) -> None:
        if mark.count and self.view is not None and seq <= self.view.through:
            self._marks_read = with_mark(self._marks_read, Mark(seq, mark.until_ms, mark.until_seq))

    def _compare_marks(self) -> None:
        """Compare what the index says is forgotten with what the ledger does."""
        if self.view is None or not self.is_whole:
            return
        # What stood before the first segment that there is was about nothing that is there.
        held = tuple(mark for mark in self.view.marks if mark.seq >= self._first_seq)
        if held != self._marks_read:
            self._add_index(Kind.INDEX_DIFFERS, "what is forgotten as the ledger says")

    def _is_forgotten(self, read: _Read, decision: Decision, known: Known | None) -> bool:
        """Tell whether the marks say that a decision is forgotten.

        Of an escalated one that the index does not hold it is taken that somebody resolved it.
        """
        if decision.kept is None:
            return False
        seq = read.place.seq
        is_held = known is not None and known.place.seq == seq
        due = Due(decision.kept.until_ms, seq)
        if known is not None and is_held and self.view is not None:
            # Held after the view was made: by what came later it may be forgotten since.
            return is_forgotten(self.view.marks, due, settled_seq=known.settled_seq)
        return is_forgotten(self._marks, due, settled_seq=seq)

    def _see_new_marks(self, batch: list[_Read], found: Sequence[Found]) -> None:
        """Look again at what is forgotten where the index lacks what it held a moment ago."""
        if self.view is None:
            return
        for read, under in zip(batch, found, strict=True):
            if (
                isinstance(read.entry, Decision)
                and read.place.seq <= self.view.through
                and under.known is None
                and not self._is_forgotten(read, read.entry, None)
            ):
                self._marks = self.view.marks_now()
                return

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
        self._see_new_marks(batch, found)
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
        if self._counts_as_forgotten(read, decision, under.known):
            return False
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

    def _counts_as_forgotten(self, read: _Read, decision: Decision, known: Known | None) -> bool:
        if not self._is_forgotten(read, decision, known):
            return False
        self.numbers.put(read.place.seq, read.key, is_decision=True)
        if known is not None and known.place.seq == read.place.seq:
            self._add_index(Kind.INDEX_DIFFERS, f"{read.key.pcs_id} forgotten")
            return False
        self.report.forgotten += 1
        if self.view is not None and self._marks != self.view.marks:
            # Perhaps forgotten only since the counters were read.
            day = (read.key.tenant, day_of(read.received_ns))
            self.most[day] = self.most.get(day, NO_USAGE) + usage_of(decision)
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
        if (known is None or known.place.seq > seq) and (
            self._first_seq > 1 or any(mark.seq > seq for mark in self._marks)
        ):
            return  # what it is about may be forgotten
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
        size=len(decision.record),
        kept=decision.kept,
    )


def _digest(key: RecordKey) -> bytes:
    return hashlib.blake2b("\0".join(key).encode(), digest_size=16).digest()
