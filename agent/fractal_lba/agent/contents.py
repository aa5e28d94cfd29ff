"""Contents: what the frames of an outbox add up to.

Pure. Read from a stream, and kept up to date by the outbox that writes it: the positions and epochs
of a window that was submitted count at once, since what is submitted later stands behind it; that
it is pending counts once it is on disk.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import assert_never

from fractal_lba.agent.frames import (
    AckMeta,
    AgainMeta,
    CarriedMeta,
    Meta,
    SkippedMeta,
    StreamMeta,
    TotalsMeta,
    WindowMeta,
    read_meta,
)
from fractal_lba.agent.pending import NS_PER_MS, Pending, Place
from fractal_lba.agent.segments import Segments
from fractal_lba.agent.verdict import Fate, fate_of
from fractal_lba.agent.window import SourcePosition
from fractal_lba.wal import Damage, Frame, NewFrame, PlacedFrames, Position
from fractal_lba.wal.framing import FRAME_BYTES, SEQ_MAX


@dataclass(slots=True, kw_only=True)
class Contents:
    """What an outbox holds, frame by frame.

    Attributes:
        segments: What they take.
        pending: The windows without a final answer.
        fates: How many windows ended how.
        repeats: How many final answers were repeats.
        windows: Windows submitted.
        lost: Frames that cannot be read any more.
        compactions: How often old segments were given up.
        damage: Where, for people.
    """

    segments: Segments = field(default_factory=Segments)
    pending: Pending = field(init=False)
    fates: dict[Fate, int] = field(default_factory=lambda: dict.fromkeys(Fate, 0))
    repeats: int = 0
    windows: int = 0
    lost: int = 0
    compactions: int = 0
    damage: list[str] = field(default_factory=list)
    _next_epochs: dict[str, int] = field(default_factory=dict)
    _positions: dict[tuple[str, str], SourcePosition | None] = field(default_factory=dict)
    _stated: dict[tuple[str, str], int] = field(default_factory=dict)
    _lost_since: dict[str, int] = field(default_factory=dict)
    _lost_before: int = 0
    _next_seq: int | None = None
    _passed_to: int = 0

    def __post_init__(self) -> None:
        """Let the segments know what is pending in them."""
        self.pending = Pending(self.segments)

    @classmethod
    def read(
        cls, stream: Iterable[tuple[Position, Frame] | Damage], *, next_seq: int | None = None
    ) -> "Contents":
        """Add up a stream.

        Args:
            stream: As ``Stream.scan`` and ``scan_folder`` give it.
            next_seq: The number the stream's next frame will get, where it is known.

        Raises:
            ContractError: A newer program wrote it.
            CorruptionError: It is not the stream of an outbox.
        """
        contents = cls()
        for item in stream:
            if isinstance(item, Damage):
                contents.note(item)
            else:
                contents.add(item[0], item[1])
        if next_seq is not None:
            contents.skip_to(next_seq)
        contents.pending.sort()
        return contents

    @property
    def next_seq(self) -> int:
        """The number the next frame gets at least."""
        return self._next_seq or 1

    def note(self, damage: Damage) -> None:
        """Note a damaged part; the frames it held show as a gap in the sequence numbers."""
        if self._next_seq is None:
            self._next_seq = damage.first_seq
        # Numbers that were passed over are missing from nothing.
        is_passed = damage.length == 0 and (damage.last_seq or SEQ_MAX) <= self._passed_to
        # What was never durable is no loss: recovery puts it aside, and its window is cut again.
        if damage.is_loss and not is_passed:
            self.damage.append(f"{damage.segment} at byte {damage.offset}: {damage.what}")

    def add(self, at: Position, frame: Frame) -> Meta:
        """Add one frame and return its meta block."""
        self.skip_to(frame.seq)
        self._next_seq = frame.seq + 1
        meta = read_meta(frame)
        self.segments.write(at.segment, frame.seq, frame.seq, _size(frame))
        match meta:
            case WindowMeta():
                self.submit(meta)
                self.keep(frame.seq, place_of(at, frame, meta.shard_id), meta)
            case AgainMeta():
                # Observed before, and counted as dead, unless that outbox was removed.
                if self.fates[Fate.DEAD]:
                    self.fates[Fate.DEAD] -= 1
                else:
                    self.windows += 1
                self.pending.keep(frame.seq, place_of(at, frame, meta.shard_id))
            case CarriedMeta():
                self.carry(meta.seq, place_of(at, frame, meta.shard_id))
            case AckMeta():
                self.acknowledge(meta)
            case StreamMeta():
                self._state(meta)
                self._stated[meta.source, meta.shard_id] = frame.seq
            case TotalsMeta():
                self._count(meta)
            case SkippedMeta():
                self.pass_over(meta.to)
            case _:
                assert_never(meta)
        return meta

    def submit(self, meta: WindowMeta) -> None:
        """Note that a window was given to the log: its stream goes on behind it."""
        shard_id, next_epoch = meta.shard_id, meta.next_epoch
        self.windows += 1
        if next_epoch >= self._next_epochs.get(shard_id, 0):
            self._next_epochs[shard_id] = next_epoch
        self._positions[meta.source, shard_id] = meta.position
        self._lost_since[shard_id] = 0

    def arrive(
        self,
        windows: Sequence[WindowMeta],
        frames: Sequence[NewFrame],
        placed: PlacedFrames,
        size: int,
    ) -> None:
        """Note that windows that were submitted are on disk, so many bytes together."""
        self.pending.add(placed, frames, [window.shard_id for window in windows], size)
        streams = [(window.source, window.shard_id) for window in windows]
        self._stated.update(zip(streams, count(placed.first_seq), strict=False))

    def keep(self, seq: int, place: Place, meta: WindowMeta) -> None:
        """Note that a window is on disk."""
        self.pending.keep(seq, place)
        self._stated[meta.source, meta.shard_id] = seq

    def carry(self, seq: int, place: Place) -> None:
        """Note that a copy of a window is on disk, in place of what stood elsewhere."""
        self.pending.keep(seq, place)
        self.segments.carry(place.position.segment, seq)

    def restate(self, source: str, shard_id: str, seq: int) -> None:
        """Note which frame says how a stream goes on."""
        self._stated[source, shard_id] = max(seq, self._stated[source, shard_id])

    def stated_before(self, seq: int) -> list[tuple[str, str]]:
        """Return source and name of the streams that no frame from this one on says anything of."""
        return [stream for stream, stated in self._stated.items() if stated < seq]

    def stream(self, source: str, shard_id: str) -> StreamMeta:
        """Return how a stream goes on, everything counted that was submitted."""
        return StreamMeta(
            source=source,
            shard_id=shard_id,
            next_epoch=self._next_epochs[shard_id],
            position=self._positions[source, shard_id],
            lost_since=self._lost_since[shard_id],
        )

    def totals(self, kept_from: int, *, unwritten: int = 0) -> TotalsMeta:
        """Return the counts of everything submitted, for a compaction that keeps what follows.

        Args:
            kept_from: The first frame it keeps.
            unwritten: Windows that were submitted and are held back.
        """
        return TotalsMeta(
            kept_from=kept_from,
            windows=self.windows - unwritten,
            accepted=self.fates[Fate.ACCEPTED],
            escalated=self.fates[Fate.ESCALATED],
            dead=self.fates[Fate.DEAD],
            repeats=self.repeats,
            lost=self.lost,
            compactions=self.compactions + 1,
        )

    def acknowledge(self, meta: AckMeta) -> None:
        """Add an acknowledgement; one for a window already ended counts once."""
        if not self.pending.end(meta.seq):
            return
        self.fates[fate_of(meta.status)] += 1
        self.repeats += meta.replayed

    def pass_over(self, to: int) -> None:
        """Note that no frame from here on has a number up to this one, and that none is missing."""
        self._passed_to = to
        self._next_seq = max(self.next_seq, to + 1)

    def skip_to(self, seq: int) -> None:
        """Note the frames between the last one and this as unreadable."""
        gap = 0 if self._next_seq is None else seq - self._next_seq
        self._next_seq = max(seq, self.next_seq)
        if gap <= 0:
            return
        self.lost += gap
        for shard_id in self._lost_since:
            self._lost_since[shard_id] += gap

    def position(self, source: str, shard_id: str) -> SourcePosition | None:
        """Return where a source goes on; None for its beginning."""
        return self._positions.get((source, shard_id))

    def next_epoch(self, shard_id: str, *, is_live: bool) -> int:
        """Return the epoch of a stream's next window.

        A file cut again from its last known position gives the same windows the same epochs. A live
        source never gives the same window again, so its epochs pass over every frame that cannot be
        read any more: each of them may have used one.
        """
        known = self._next_epochs.get(shard_id, 0)
        unknown = self.lost + self._lost_before
        return known + self._lost_since.get(shard_id, unknown) if is_live else known

    def _state(self, meta: StreamMeta) -> None:
        self._next_epochs[meta.shard_id] = max(
            meta.next_epoch, self._next_epochs.get(meta.shard_id, 0)
        )
        self._positions[meta.source, meta.shard_id] = meta.position
        self._lost_since[meta.shard_id] = meta.lost_since

    def _count(self, meta: TotalsMeta) -> None:
        self.windows = meta.windows
        self.fates |= {
            Fate.ACCEPTED: meta.accepted,
            Fate.ESCALATED: meta.escalated,
            Fate.DEAD: meta.dead,
        }
        self.repeats = meta.repeats
        # What was found lost on the way here may be counted there already, or be new.
        self._lost_before = min(self.lost, meta.lost)
        self.lost = max(self.lost, meta.lost)
        self.compactions = meta.compactions

    def streams(self) -> list[tuple[str, str, int, SourcePosition | None]]:
        """Return source, stream, next epoch of the stream and position, for people."""
        return [
            (source, shard_id, self._next_epochs[shard_id], position)
            for (source, shard_id), position in self._positions.items()
        ]


def place_of(at: Position, frame: Frame, shard_id: str) -> Place:
    """Return the place of a window's frame."""
    return Place(at, _size(frame), frame.received_ns // NS_PER_MS, shard_id)


def _size(frame: Frame) -> int:
    return FRAME_BYTES + len(frame.meta) + len(frame.payload)
