"""Bring an index up to its ledger: what a shard does before it serves, and after it was fenced.

The ledger is the system of record; whatever the index does not hold of it is put, in order, and
committed with the checkpoint. Numbers that are missing are decisions whose ids nobody knows; those
before the first that the ledger keeps were all forgotten before it let them go.
"""

import logging
import math
from dataclasses import dataclass
from pathlib import Path

from crc32c import crc32c
from msgspec.structs import replace

from fractal_lba.protocol.errors import CorruptionError, DurabilityError
from fractal_lba.server.core import entry as entries
from fractal_lba.server.core import names
from fractal_lba.server.core.entry import Conflict, Decision, Entry, Resolution
from fractal_lba.server.core.forgetting import Forgotten
from fractal_lba.server.core.known import (
    Known,
    KnownConflict,
    KnownResolution,
    Place,
    RecordKey,
)
from fractal_lba.server.core.listing import summary_of
from fractal_lba.server.core.usage import day_of, usage_of
from fractal_lba.server.storage.index import LmdbIndex
from fractal_lba.server.storage.index_port import Index, OpenIndex
from fractal_lba.server.storage.index_state import Checkpoint
from fractal_lba.wal import Damage, Disk, Frame, Position, Stream

REPLAY_FLUSH = 16_384
"""Entries put between two commits while an index is rebuilt. In a large one each touches a page of
4 KiB of its own, and LMDB keeps the pages of its largest commit: 64 MiB, and 20 MiB of entries."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFiles:
    """A shard's opened files: recovered, replayed, and consistent with each other.

    ``damage`` is what recovery and replay met of the ledger.
    """

    stream: Stream
    index: Index
    damage: tuple[Damage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """How many entries a replay put, and the damage that it and the recovery before it met."""

    count: int
    damage: tuple[Damage, ...]


def open_shard(  # noqa: PLR0913 - each is a setting of its own, named at the call
    disk: Disk,
    folder: Path,
    *,
    segment_bytes_max: int,
    map_bytes: int,
    data_id: str | None = None,
    segment_age_max_s: float = math.inf,
    reserve_bytes: int = 0,
    open_index: OpenIndex = LmdbIndex,
) -> ShardFiles:
    """Open a shard's ledger and bring its index up to it. Blocks; runs before the shard serves.

    Raises:
        ContractError: A later release wrote an entry or a segment that this one does not read.
        LockedError: Another process has it.
        DurabilityError: The disk or LMDB failed.
    """
    # The ledger's lock first: an index has none of its own, and its writer may still be there.
    stream = Stream.open(
        disk,
        folder / names.LEDGER,
        f"{folder.name}/{names.LEDGER}",
        segment_bytes_max=segment_bytes_max,
        frame_bytes_max=names.FRAME_BYTES_MAX,
        segment_age_max_s=segment_age_max_s,
        reserve_bytes=reserve_bytes,
    )
    try:
        index = open_index(folder / names.INDEX, map_bytes=map_bytes, data_id=data_id)
        checkpoint = index.checkpoint
        given_seq = max(checkpoint.seq if checkpoint else 0, index.accepted_seq)
        if stream.next_seq <= given_seq:
            # It lost its end: the numbers of what it lost must not go to other decisions.
            stream.skip_to(given_seq + 1)
        try:
            damage = replay(stream, index).damage
        except DurabilityError:
            if not index.is_damaged:
                raise
            damage = replay(stream, index).damage
    except BaseException:
        stream.close()
        raise
    return ShardFiles(stream=stream, index=index, damage=damage)


def replay(stream: Stream, index: Index) -> Replayed:
    """Put what the index does not hold of the ledger, and commit it.

    Everything in segments younger than the checkpoint's is put again even where its number is
    older: a recovery may have copied it there. What the index forgot since is not revived by that.

    Raises:
        ContractError: A later release wrote an entry that this one does not read.
        DurabilityError: LMDB failed, or a frame holds no entry.
    """
    damage = dict.fromkeys(stream.recovery.damage)
    index.reopen()
    checkpoint = index.checkpoint
    if index.is_damaged or (checkpoint is not None and not _is_of(checkpoint, stream)):
        _log.warning("index does not match its ledger, rebuilding", extra={"stream": stream.name})
        index.discard()
        checkpoint = None
    count = 0
    held_seq = checkpoint.seq if checkpoint else 0
    expected = held_seq + 1 if checkpoint else stream.first_seq
    for item in stream.scan(from_seq=checkpoint.segment_first_seq if checkpoint else 1):
        if isinstance(item, Damage):
            if item.is_loss:
                damage[item] = None  # what it took shows in the numbers that are missing
            continue
        position, frame = item
        # Asked of what the index holds already too: a downgrade is met before anything is decided.
        entries.require_readable(frame.meta)
        if checkpoint and position.segment == checkpoint.segment and frame.seq <= held_seq:
            continue
        if frame.seq > expected:
            index.lose(expected, frame.seq - 1)
        expected = max(expected, frame.seq + 1)
        count += _put(index, frame, position, held_seq=held_seq, first_seq=stream.first_seq)
        if index.unflushed >= REPLAY_FLUSH:
            index.flush()
    if expected < stream.next_seq:
        index.lose(expected, stream.next_seq - 1)
    index.flush()
    return Replayed(count=count, damage=tuple(damage))


def _put(index: Index, frame: Frame, position: Position, *, held_seq: int, first_seq: int) -> bool:
    """Put what a frame holds; tell whether an entry was put.

    ``held_seq`` is the last number that the index held before, ``first_seq`` the first that the
    ledger keeps.
    """
    entry = entries.decode_written(frame.meta, frame.payload)
    if isinstance(entry, Forgotten):
        if frame.seq > held_seq:
            put_mark(index, entry, frame, position)
        return False
    key = key_of(entry)
    if frame.seq <= held_seq and not is_held(index.lookup(key), frame.seq):
        return False  # forgotten since
    if is_of_none(entry, key, index, first_seq=first_seq):
        return False
    put_entry(index, key, entry, frame, position)
    return True


def key_of(entry: Entry) -> RecordKey:
    """Return under what the record of an entry is remembered."""
    return RecordKey(entry.tenant, entry.family, entry.pcs_id)


def is_held(known: Known | None, seq: int) -> bool:
    """Tell whether what is remembered of an id is of the entry with that number, too."""
    return known is not None and seq in {
        known.place.seq,
        *(each.place.seq for each in known.conflicts),
        *(each.place.seq for each in known.resolutions),
    }


def is_of_none(entry: Entry, key: RecordKey, index: Index, *, first_seq: int) -> bool:
    """Tell whether an entry is about a decision that the ledger lost, or forgot and let go."""
    return (
        not isinstance(entry, Decision)
        and (first_seq > 1 or bool(index.losses))
        and index.lookup(key) is None
    )


def _is_of(checkpoint: Checkpoint, stream: Stream) -> bool:
    """Whether the ledger holds no other entry in the checkpoint's place, and let none go behind it.

    One that is not there at all was lost to damage, which does not unsay what the index holds.
    """
    if checkpoint.seq + 1 < stream.first_seq:
        return False
    for item in stream.scan(from_seq=checkpoint.segment_first_seq):
        if not isinstance(item, Damage) and item[1].seq == checkpoint.seq:
            return crc32c(item[1].payload) == checkpoint.payload_crc32c
    return True


def put_mark(index: Index, mark: Forgotten, frame: Frame, position: Position) -> None:
    """Forget what a mark says that is on disk at a position.

    Raises:
        DurabilityError: The index failed, or is not sound.
    """
    index.forget(mark, _checkpoint(index, frame, position))


def _checkpoint(index: Index, frame: Frame, position: Position) -> Checkpoint:
    last = index.checkpoint
    is_same_segment = last is not None and last.segment == position.segment
    return Checkpoint(
        seq=frame.seq,
        segment=position.segment,
        segment_first_seq=last.segment_first_seq if last and is_same_segment else frame.seq,
        payload_crc32c=crc32c(frame.payload),
    )


def put_entry(
    index: Index, key: RecordKey, entry: Entry, frame: Frame, position: Position
) -> Known:
    """Put an entry that is on disk at a position, and return what is remembered of its id now.

    Raises:
        CorruptionError: A conflict or a resolution with no decision before it.
        DurabilityError: LMDB failed.
    """
    place = Place(seq=frame.seq, segment=position.segment, offset=position.offset)
    before = index.lookup(key)
    if before is not None and isinstance(entry, Decision) and before.place.seq < frame.seq:
        # First write wins even against a ledger that says otherwise; fsck names the second one.
        known = before
    elif isinstance(entry, Decision):
        known = Known(
            content_digest=entry.content_digest,
            received_ns=frame.received_ns,
            place=place,
            status=entry.status,
            summary=summary_of(entry.record),
            size=len(entry.record),
            kept=entry.kept,
            conflicts=before.conflicts if before else (),
            resolutions=before.resolutions if before else (),
        )
    elif before is None:
        raise CorruptionError(
            f"ledger: expected a decision of {entry.pcs_id} before its {_kind(entry)}, got none"
        )
    elif isinstance(entry, Conflict):
        known = _with_conflict(before, entry, place, frame.received_ns)
    else:
        known = _with_resolution(before, place, frame.received_ns)
    if before is None and isinstance(entry, Decision):
        # Once for each id, however often a replay puts it: both are committed together.
        index.charge(key.tenant, day_of(frame.received_ns), usage_of(entry))
    index.put(key, known, _checkpoint(index, frame, position))
    return known


def _kind(entry: Conflict | Resolution) -> str:
    return "conflict" if isinstance(entry, Conflict) else "resolution"


def _with_resolution(before: Known, place: Place, received_ns: int) -> Known:
    # By its number: a replay puts it again, from another place.
    others = tuple(each for each in before.resolutions if each.place.seq != place.seq)
    resolution = KnownResolution(received_ns=received_ns, place=place)
    return replace(before, resolutions=(*others, resolution))


def _with_conflict(before: Known, entry: Conflict, place: Place, received_ns: int) -> Known:
    others = tuple(
        conflict for conflict in before.conflicts if conflict.content_digest != entry.content_digest
    )
    conflict = KnownConflict(
        content_digest=entry.content_digest, received_ns=received_ns, place=place
    )
    return replace(before, conflicts=(*others, conflict))
