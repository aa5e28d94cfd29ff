"""Frames of the outbox: what stands in one stream, and what it adds up to.

Pure. A frame's meta block is JSON with the format's version, its payload a record or nothing::

    window  {"kind":"window","v":1,"source":…,"shard_id":…,"next_epoch":…,"position":{…}|null}
            payload: the signed record's stored bytes, without ``delivery``
    ack     {"kind":"ack","v":1,"seq":…,"status":…,"replayed":…}
            no payload; ``seq`` names the window frame it ends

The rule: the next epoch of a stream and the next position of a source are in the frame of the
window they follow from. Either all three are on disk or none is, so no epoch is ever used for two
windows and no part of a source is read twice or left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from fractal_lba.agent.verdict import Fate, fate_of
from fractal_lba.agent.window import SourcePosition
from fractal_lba.protocol import ContractError, CorruptionError
from fractal_lba.protocol.undecodable import UNDECODABLE
from fractal_lba.wal import Damage, Frame, NewFrame, Position

FORMAT = 1


class WindowMeta(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="window"):
    """The meta block of a window.

    Attributes:
        source: The source's key.
        shard_id: The stream.
        next_epoch: The epoch of the stream's next window.
        position: Where the source goes on; None for a live source.
        v: The format's version.
    """

    source: str
    shard_id: str
    next_epoch: int
    position: SourcePosition | None
    v: int = FORMAT


class AckMeta(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="ack"):
    """The meta block of an acknowledgement.

    Attributes:
        seq: The window frame it ends.
        status: Of the final answer.
        replayed: The answer was a repeat.
        v: The format's version.
    """

    seq: int
    status: int
    replayed: bool
    v: int = FORMAT


class _Version(msgspec.Struct):
    v: int


def window_frame(meta: WindowMeta, record: bytes, *, received_ns: int) -> NewFrame:
    """Return the frame of a window."""
    return NewFrame(received_ns=received_ns, meta=msgspec.json.encode(meta), payload=record)


def ack_frame(meta: AckMeta, *, received_ns: int) -> NewFrame:
    """Return the frame of an acknowledgement."""
    return NewFrame(received_ns=received_ns, meta=msgspec.json.encode(meta), payload=b"")


def read_meta(frame: Frame) -> WindowMeta | AckMeta:
    """Return a frame's meta block.

    Raises:
        ContractError: A newer program wrote it.
        CorruptionError: It is no frame of an outbox.
    """
    try:
        version = msgspec.json.decode(frame.meta, type=_Version).v
        if version > FORMAT:
            raise ContractError(
                f"outbox frame {frame.seq}: expected format {FORMAT}, got {version}:"
                f" read it with the version of fractal-agent that knows format {version}"
            )
        return msgspec.json.decode(frame.meta, type=WindowMeta | AckMeta)
    except UNDECODABLE as error:
        raise CorruptionError(
            f"outbox frame {frame.seq}: expected a window or an acknowledgement, got something else"
        ) from error


@dataclass(slots=True, kw_only=True)
class Contents:
    """What an outbox holds, frame by frame.

    Attributes:
        pending: Sequence number → place of each window without a final answer, oldest first.
        fates: How many windows ended how.
        repeats: How many final answers were repeats.
        windows: Windows seen.
        lost: Frames that cannot be read any more.
        damage: Where, for people.
    """

    pending: dict[int, Position] = field(default_factory=dict)
    fates: dict[Fate, int] = field(default_factory=lambda: dict.fromkeys(Fate, 0))
    repeats: int = 0
    windows: int = 0
    lost: int = 0
    damage: list[str] = field(default_factory=list)
    _next_epochs: dict[str, int] = field(default_factory=dict)
    _positions: dict[tuple[str, str], SourcePosition | None] = field(default_factory=dict)
    _lost_since: dict[str, int] = field(default_factory=dict)
    _next_seq: int = 1

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
        return contents

    def note(self, damage: Damage) -> None:
        """Note a damaged part; the frames it held show as a gap in the sequence numbers."""
        # What was never durable is no loss: recovery puts it aside, and its window is cut again.
        if damage.is_loss:
            self.damage.append(f"{damage.segment} at byte {damage.offset}: {damage.what}")

    def add(self, at: Position, frame: Frame) -> WindowMeta | AckMeta:
        """Add one frame and return its meta block."""
        self.skip_to(frame.seq)
        self._next_seq = frame.seq + 1
        meta = read_meta(frame)
        if isinstance(meta, AckMeta):
            self.acknowledge(meta)
        else:
            self.observe(at, frame.seq, meta)
        return meta

    def observe(self, at: Position, seq: int, meta: WindowMeta) -> None:
        """Add a window."""
        self.windows += 1
        self.pending[seq] = at
        self._next_epochs[meta.shard_id] = max(
            meta.next_epoch, self._next_epochs.get(meta.shard_id, 0)
        )
        self._positions[meta.source, meta.shard_id] = meta.position
        self._lost_since[meta.shard_id] = 0

    def acknowledge(self, meta: AckMeta) -> None:
        """Add an acknowledgement; one for a window already ended counts once."""
        if self.pending.pop(meta.seq, None) is None:
            return
        self.fates[fate_of(meta.status)] += 1
        self.repeats += meta.replayed

    def skip_to(self, seq: int) -> None:
        """Note the frames between the last one and this as unreadable."""
        gap = seq - self._next_seq
        if gap <= 0:
            return
        self._next_seq = seq
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
        return known + self._lost_since.get(shard_id, self.lost) if is_live else known

    def streams(self) -> list[tuple[str, str, int, SourcePosition | None]]:
        """Return source, stream, next epoch of the stream and position, for people."""
        return [
            (source, shard_id, self._next_epochs[shard_id], position)
            for (source, shard_id), position in self._positions.items()
        ]
