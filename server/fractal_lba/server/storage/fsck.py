"""Read everything on disk and say what is wrong with it; change nothing, take no lock.

Ledger against itself (every frame, entry, id, digest, answer; one decision for each id), index
against ledger, inbox against its marks. A server may be writing all of them. The index is opened
first: what its checkpoint names was in the ledger before, so the scan that follows must meet it,
and what the index gets after that is not looked at. A recovery moves the last entries while it is
watched: a problem counts only if a second look finds it too.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec

from fractal_lba.protocol.errors import ContractError, DurabilityError, FractalError
from fractal_lba.protocol.legacy_record import LEGACY_VERSION
from fractal_lba.protocol.undecodable import UNDECODABLE
from fractal_lba.protocol.versions import read_stored
from fractal_lba.server.core import entry as entries
from fractal_lba.server.core import inbox_frame, names
from fractal_lba.server.core.entry import Decision, Entry, Resolution
from fractal_lba.server.core.known import Place, RecordKey, family_of
from fractal_lba.server.core.usage import NO_USAGE, Usage, day_name, day_of, usage_of
from fractal_lba.server.storage.data_folder import ShardSet
from fractal_lba.server.storage.index import LmdbIndex
from fractal_lba.wal import Damage, Disk, Frame, Position, scan_folder

PROBLEMS_NAMED_MAX = 100
"""Problems are all counted, and so many are named: a report stays readable."""

_STATUS_NAMES = {200: "accepted", 202: "escalated", 422: "not_accepted"}
_ACCEPTED = (200, 202)


class Report(msgspec.Struct, kw_only=True):
    """What was read and what is wrong.

    ``accepted`` does not count the escalated. ``torn_bytes`` were never acknowledged and
    ``undecided_inbox`` bodies are decided by the next start: neither is a problem.
    """

    records: int = 0
    accepted: int = 0
    escalated: int = 0
    not_accepted: int = 0
    conflicts: int = 0
    resolutions: int = 0
    stored_twice: int = 0
    inbox_bodies: int = 0
    undecided_inbox: int = 0
    torn_bytes: int = 0
    damage: list[str] = msgspec.field(default_factory=list)
    problem_count: int = 0
    problems: list[str] = msgspec.field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problem_count

    def add(self, problem: str) -> None:
        """Count a problem, and name it while there is room."""
        self.problem_count += 1
        if len(self.problems) < PROBLEMS_NAMED_MAX:
            self.problems.append(problem)


_Counted = dict[tuple[str, int], Usage]
"""What the index says that tenants sent, by tenant and day."""


class _Decided(NamedTuple):
    """The first decision of an id: where it is, a frame without its bytes, what it counts for."""

    tenant: str
    position: Position
    frame: Frame
    content_digest: str
    usage: Usage


def check_folder(
    disk: Disk, data: Path, *, worker: int, shards: ShardSet, map_bytes: int
) -> Report:
    """Check a data folder, whether a server holds it or not.

    Returns:
        The report; memory grows with the number of records (about 300 bytes each), not with their
        size.

    Raises:
        DurabilityError: The disk refused to be read.
    """
    report = _look(disk, data, worker=worker, shards=shards, map_bytes=map_bytes)
    if report.is_sound:
        return report
    again = _look(disk, data, worker=worker, shards=shards, map_bytes=map_bytes)
    if again.problem_count <= PROBLEMS_NAMED_MAX:
        again.problems = [each for each in again.problems if each in report.problems]
        again.problem_count = len(again.problems)
        again.damage = [each for each in again.damage if each in report.damage]
    return again


def _look(disk: Disk, data: Path, *, worker: int, shards: ShardSet, map_bytes: int) -> Report:
    report = Report()
    for name in shards.names:
        if disk.is_folder(data / name / names.LEDGER):  # it has run
            _check_shard(disk, data / name, report, map_bytes=map_bytes, data_id=shards.data_id)
    if disk.is_folder(data / names.inbox(worker)):  # nor was it emptied by its operator
        _check_inbox(disk, data / names.inbox(worker), names.inbox(worker), report)
    return report


def _check_shard(disk: Disk, folder: Path, report: Report, *, map_bytes: int, data_id: str) -> None:
    index: LmdbIndex | None = None
    try:
        if (folder / names.INDEX / "data.mdb").exists():  # derived: the next start builds it
            index = LmdbIndex(
                folder / names.INDEX, map_bytes=map_bytes, data_id=data_id, is_read_only=True
            )
    except DurabilityError as error:
        report.add(f"{folder.name}: {error}")
    try:
        counted = {} if index is None else {each[:2]: each[2] for each in index.usages()}
        ledger = _check_ledger(disk, folder, report)
        if index is not None:
            _check_index(index, folder.name, ledger, counted, report)
    except DurabilityError as error:
        report.add(f"{folder.name}: {error}")
    finally:
        if index is not None:
            index.close()


@dataclass(slots=True)
class _Ledger:
    """What the index is compared with.

    ``appended`` are the numbers of an id's conflicts and resolutions.
    """

    decisions: dict[RecordKey, _Decided] = field(default_factory=dict)
    appended: dict[RecordKey, set[int]] = field(default_factory=dict)
    is_whole: bool = True


def _check_ledger(disk: Disk, folder: Path, report: Report) -> _Ledger:
    stream = f"{folder.name}/{names.LEDGER}"
    ledger = _Ledger()
    for item in scan_folder(disk, folder / names.LEDGER, stream):
        if isinstance(item, Damage):
            ledger.is_whole = ledger.is_whole and not item.is_loss
            _note_damage(stream, item, report)
            continue
        position, frame = item
        where = f"{stream} entry {frame.seq}"
        try:
            entry = entries.decode_entry(frame.meta, frame.payload)
            check_entry(entry)
        except FractalError as error:
            report.add(f"{where}: {error}")
            continue
        key = RecordKey(entry.tenant, entry.family, entry.pcs_id)
        if isinstance(entry, Decision):
            report.records += 1
            kind = _STATUS_NAMES[entry.status]
            setattr(report, kind, getattr(report, kind) + 1)
            if key in ledger.decisions:
                report.stored_twice += 1
                report.add(f"{where}: expected one decision of {key.pcs_id}, got a second")
                continue
            bare = Frame(seq=frame.seq, received_ns=frame.received_ns, meta=b"", payload=b"")
            ledger.decisions[key] = _Decided(
                entry.tenant, position, bare, entry.content_digest, usage_of(entry)
            )
            continue
        if isinstance(entry, Resolution):
            report.resolutions += 1
        else:
            report.conflicts += 1
        ledger.appended.setdefault(key, set()).add(frame.seq)
        if key not in ledger.decisions and ledger.is_whole:
            report.add(f"{where}: expected a decision before what is appended to it, got none")
    return ledger


def check_entry(entry: Entry) -> None:
    """Check what an entry of a ledger says against the record it holds.

    Raises:
        ContractError: They differ, or the record is none.
    """
    if isinstance(entry, Resolution):
        return  # its id is looked for among the decisions before it
    stored = read_stored(entry.record)
    expected: dict[str, object] = {
        "family": family_of(stored.version),
        "pcs_id": stored.pcs_id,
        "kid": entry.kid if stored.kid is None else stored.kid,
        "record_digest": stored.record_digest,
        "content_digest": stored.content_digest,
    }
    for name, value in expected.items():
        if getattr(entry, name) != value:
            raise ContractError(f"{name}: expected the record's own, got another")
    if isinstance(entry, Decision):
        if stored.version == LEGACY_VERSION and entry.status not in _ACCEPTED:
            # It could be another's doing: most of such a record is not signed.
            raise ContractError(f"status: expected one that accepts, got {entry.status}")
        _check_answer(entry)


def _check_answer(decision: Decision) -> None:
    try:
        answer = msgspec.json.decode(decision.answer, type=dict[str, object])
    except UNDECODABLE as error:
        raise ContractError("answer: expected a JSON object, got something else") from error
    expected = {
        200: (True, False),
        202: (True, True),
        422: (False, False),
    }.get(decision.status)
    if expected is None:
        raise ContractError(f"status: expected 200, 202 or 422, got {decision.status}")
    if (answer.get("accepted"), answer.get("escalated")) != expected:
        raise ContractError(f"answer: expected the one of status {decision.status}, got another")
    for name in ("pcs_id", "record_digest", "params_version"):
        if answer.get(name) != getattr(decision, name):
            raise ContractError(f"answer: expected the decision's own {name}, got another")


def _check_index(
    index: LmdbIndex, shard: str, ledger: _Ledger, counted: _Counted, report: Report
) -> None:
    where = f"{shard} index"
    through = index.checkpoint.seq if index.checkpoint else 0
    seen = 0
    for key, known in index.items():
        expected = ledger.decisions.get(key)
        if known.place.seq > through:
            continue  # it came while the ledger was read
        if expected is None:
            if ledger.is_whole:
                report.add(f"{where}: expected a decision of {key.pcs_id}, got none in the ledger")
            continue
        seen += 1
        if _known(expected) != (known.content_digest, known.received_ns, known.place):
            report.add(f"{where}: expected {key.pcs_id} where the ledger has it, got another place")
        appended = {each.place.seq for each in known.conflicts}
        appended |= {each.place.seq for each in known.resolutions}
        held = ledger.appended.get(key, set())
        if ledger.is_whole and any(seq <= through and seq not in held for seq in appended):
            report.add(
                f"{where}: expected the ledger's conflicts and resolutions of {key.pcs_id},"
                " got others"
            )
    due = sum(1 for each in ledger.decisions.values() if each.frame.seq <= through)
    if seen < due:
        report.add(f"{where}: expected the first {due} decisions, got {seen}")
    if ledger.is_whole:
        _check_usage(where, ledger, counted, through, report)
    for first, last in index.losses:
        report.add(
            f"{shard}: expected every decision, got damage over the numbers {first} to {last}"
        )


def _check_usage(
    where: str, ledger: _Ledger, counted: _Counted, through: int, report: Report
) -> None:
    # What the index counted lies between its checkpoint and what was scanned after it was read.
    least: _Counted = {}
    most: _Counted = {}
    for each in ledger.decisions.values():
        key = (each.tenant, day_of(each.frame.received_ns))
        most[key] = most.get(key, NO_USAGE) + each.usage
        if each.frame.seq <= through:
            least[key] = least.get(key, NO_USAGE) + each.usage
    for tenant, day in sorted(most.keys() | counted.keys()):
        low, got, high = (found.get((tenant, day), NO_USAGE) for found in (least, counted, most))
        if not (
            low.records <= got.records <= high.records and low.bytes <= got.bytes <= high.bytes
        ):
            report.add(
                f"{where}: expected the usage of {tenant} on {day_name(day)} as the ledger has it,"
                " got another"
            )


def _known(expected: _Decided) -> tuple[str, int, Place]:
    frame, position = expected.frame, expected.position
    place = Place(seq=frame.seq, segment=position.segment, offset=position.offset)
    return expected.content_digest, frame.received_ns, place


def _check_inbox(disk: Disk, folder: Path, stream: str, report: Report) -> None:
    undecided: set[int] = set()
    for item in scan_folder(disk, folder, stream):
        if isinstance(item, Damage):
            _note_damage(stream, item, report)
            continue
        _, frame = item
        try:
            if inbox_frame.decode_received(frame.meta) is not None:
                report.inbox_bodies += 1
                undecided.add(frame.seq)
            else:
                undecided.difference_update(inbox_frame.decode_finished(frame.payload))
        except FractalError as error:
            report.add(f"{stream} frame {frame.seq}: {error}")
    report.undecided_inbox += len(undecided)


def _note_damage(stream: str, damage: Damage, report: Report) -> None:
    if not damage.is_loss:
        report.torn_bytes += damage.length
        return
    text = f"{stream}: {damage}"
    report.damage.append(text)
    report.add(text)
