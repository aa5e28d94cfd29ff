"""Status: what a data folder holds, read without its lock.

Reads only, so it may look at an outbox that an agent is writing; a batch that is being written at
that moment is not seen yet.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fractal_lba.agent.contents import Contents
from fractal_lba.agent.deadletters import read_dead_letters
from fractal_lba.agent.folder import check_used
from fractal_lba.agent.frames import AckMeta, AgainMeta, CarriedMeta, WindowMeta
from fractal_lba.agent.opening import FOLDER, STREAM
from fractal_lba.agent.verdict import Fate, fate_of
from fractal_lba.protocol import (
    DurabilityError,
    format_timestamp,
)
from fractal_lba.protocol.described import described
from fractal_lba.protocol.undecodable import UNDECODABLE
from fractal_lba.wal import Damage, Disk, Frame, Position, scan_folder

# An agent's recovery moves files once; each further attempt would need one more restart.
_ATTEMPTS_MAX = 5

# Torn tails and damaged segments (``fractal_lba.wal.folder``), and what was torn of a letter.
_EVIDENCE = (".cut", ".bad")

_STATES = {Fate.ACCEPTED: "acknowledged", Fate.ESCALATED: "acknowledged", Fate.DEAD: "dead"}


@described
class _Id(msgspec.Struct):
    """The member of a record that names it."""

    pcs_id: str | None = None


@dataclass(slots=True, kw_only=True)
class WindowState:
    """One window: its id, None where its payload is no record, and how far it got."""

    pcs_id: str | None
    shard_id: str
    epoch: int
    state: str = "pending"
    status: int | None = None
    replayed: bool = False


@dataclass(slots=True, kw_only=True)
class Status:
    """What was found.

    Attributes:
        contents: The outbox, added up.
        dead_letters: Lines of the dead letters that can be read, each window once.
        unreadable_letters: Lines that cannot.
        evidence_bytes: Bytes of files that were set aside, and that nobody reads again.
        ids: Every window that is still in the outbox by its number; None where they were not asked
            for.
    """

    contents: Contents
    dead_letters: int
    unreadable_letters: int
    evidence_bytes: int
    ids: dict[int, WindowState] | None

    @property
    def is_damaged(self) -> bool:
        """Whether something that was written cannot be read any more."""
        return bool(self.contents.damage or self.contents.lost or self.unreadable_letters)

    def members(self) -> dict[str, object]:
        """Return the status as one object, for ``--json``."""
        fates = self.contents.fates
        oldest = self.contents.pending.oldest()
        found: dict[str, object] = {
            "windows": self.contents.windows,
            "pending": len(self.contents.pending),
            "pending_bytes": self.contents.pending.size,
            "oldest_pending_at": None if oldest is None else format_timestamp(oldest.received_ms),
            "outbox_bytes": self.contents.segments.size,
            "compactions": self.contents.compactions,
            "acknowledged": fates[Fate.ACCEPTED] + fates[Fate.ESCALATED],
            "accepted": fates[Fate.ACCEPTED],
            "escalated": fates[Fate.ESCALATED],
            "dead": fates[Fate.DEAD],
            "repeats": self.contents.repeats,
            "dead_letters": self.dead_letters,
            "unreadable_dead_letters": self.unreadable_letters,
            "unreadable_frames": self.contents.lost,
            "evidence_bytes": self.evidence_bytes,
            "damage": self.contents.damage,
            "sources": [
                {
                    "source": source,
                    "shard_id": shard_id,
                    "next_epoch": next_epoch,
                    "units": None if position is None else position.units,
                }
                for source, shard_id, next_epoch, position in self.contents.streams()
            ],
        }
        if self.ids is not None:
            found["ids"] = [
                {
                    "pcs_id": each.pcs_id,
                    "shard_id": each.shard_id,
                    "epoch": each.epoch,
                    "outbox_seq": seq,
                    "state": each.state,
                    "status": each.status,
                    "replayed": each.replayed,
                }
                for seq, each in self.ids.items()
            ]
        return found

    def lines(self) -> Iterator[str]:
        """Yield the status as lines for people."""
        for name, value in self.members().items():
            if isinstance(value, int) or name == "oldest_pending_at":
                yield f"{name.replace('_', ' '):<24}{'–' if value is None else value}"
        for source, shard_id, next_epoch, position in self.contents.streams():
            units = "live" if position is None else f"{position.units} units read"
            yield f"stream {shard_id}  next epoch {next_epoch}  {units}  {source}"
        for damage in self.contents.damage:
            yield f"damage: {damage}"
        if self.contents.damage or self.contents.lost:
            yield "which segments: fractal-lba wal inspect DIR/outbox, and wal verify"
        for each in (self.ids or {}).values():
            status = "" if each.status is None else f" {each.status}"
            yield f"{each.pcs_id or 'no-record'} {each.state}{status}"


def read_status(disk: Disk, data: Path, *, has_ids: bool) -> Status:
    """Return what a data folder holds.

    Raises:
        ContractError: There is no outbox, or a newer program wrote it.
        CorruptionError: The folder holds something else.
    """
    folder = data / FOLDER
    check_used(disk, data)
    contents, ids = _scan(disk, folder, has_ids=has_ids)
    letters: set[int] = set()
    unreadable_letters = 0
    for letter in read_dead_letters(disk, data):
        if letter is None:
            unreadable_letters += 1
        else:
            letters.add(letter.outbox_seq)
    return Status(
        contents=contents,
        dead_letters=len(letters),
        unreadable_letters=unreadable_letters,
        evidence_bytes=_evidence_bytes(disk, data),
        ids=ids,
    )


def _evidence_bytes(disk: Disk, data: Path) -> int:
    """Return the size of what was set aside; what is moved away meanwhile counts as none."""
    found = 0
    for folder in (data, data / FOLDER):
        for name in disk.names(folder):
            if name.endswith(_EVIDENCE):
                with suppress(FileNotFoundError), closing(disk.open(folder / name)) as file:
                    found += file.size()
    return found


def _scan(
    disk: Disk, folder: Path, *, has_ids: bool
) -> tuple[Contents, dict[int, WindowState] | None]:
    """Read the outbox; again where an agent that starts moved a file away meanwhile."""
    attempts = _ATTEMPTS_MAX
    while True:
        attempts -= 1
        ids: dict[int, WindowState] | None = {} if has_ids else None
        try:
            return _read(scan_folder(disk, folder, STREAM), ids), ids
        except DurabilityError as error:
            if not attempts or not isinstance(error.__cause__, FileNotFoundError):
                raise


def _read(
    stream: Iterable[tuple[Position, Frame] | Damage], ids: dict[int, WindowState] | None
) -> Contents:
    contents = Contents()
    for item in stream:
        if isinstance(item, Damage):
            contents.note(item)
            continue
        at, frame = item
        meta = contents.add(at, frame)
        if ids is None:
            continue
        if isinstance(meta, AckMeta):
            window = ids.get(meta.seq)
            if window is not None:
                window.state = _STATES[fate_of(meta.status)]
                window.status, window.replayed = meta.status, meta.replayed
        elif isinstance(meta, WindowMeta | AgainMeta | CarriedMeta):
            if isinstance(meta, AgainMeta) and meta.letter in ids:
                ids[meta.letter].state = "sent again"
            seq = meta.seq if isinstance(meta, CarriedMeta) else frame.seq
            ids[seq] = WindowState(
                pcs_id=_id_of(frame), shard_id=meta.shard_id, epoch=meta.next_epoch - 1
            )
    contents.pending.sort()
    return contents


def _id_of(frame: Frame) -> str | None:
    try:
        return msgspec.json.decode(frame.payload, type=_Id).pcs_id
    except UNDECODABLE:
        return None  # the run that is to send it counts it as unreadable
