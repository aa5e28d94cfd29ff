"""Frames of the outbox: what stands in its stream.

Pure. A frame's meta block is JSON with the format's version, its payload a record or nothing::

    window  {"kind":"window","v":1,"source":…,"shard_id":…,"next_epoch":…,"position":{…}|null}
            payload: the signed record's stored bytes, without ``delivery``
    ack     {"kind":"ack","v":1,"seq":…,"status":…,"replayed":…}
            no payload; ``seq`` names the window it ends
    again   {"kind":"again","v":1,"letter":…,"shard_id":…,"next_epoch":…}
            payload: the record of the dead letter with this number, to be sent once more
    skipped {"kind":"skipped","v":1,"to":…}
            no payload; no frame behind it has a number up to ``to``, and none is missing

What a compaction writes before it gives old segments up::

    carried {"kind":"carried","v":1,"seq":…,"shard_id":…,"next_epoch":…}
            payload: as the window's that has this number; received when that was
    stream  {"kind":"stream","v":1,"source":…,"shard_id":…,"next_epoch":…,"position":…,
            "lost_since":…}
            no payload; what the last window of the stream said
    totals  {"kind":"totals","v":1,"kept_from":…,"windows":…,"accepted":…, …}
            no payload; no frame before ``kept_from`` is needed, and these are the counts up to here

The rule: the next epoch of a stream and the next position of a source are in the frame of the
window they follow from. Either all three are on disk or none is, so no epoch is ever used for two
windows and no part of a source is read twice or left out.
"""

import msgspec

from fractal_lba.agent.window import SourcePosition
from fractal_lba.protocol import ContractError, CorruptionError
from fractal_lba.protocol.described import described
from fractal_lba.protocol.undecodable import UNDECODABLE
from fractal_lba.wal import Frame, NewFrame

FORMAT = 1


class WindowMeta(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="window", gc=False
):
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


class AgainMeta(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="again"):
    """The meta block of a window that was a dead letter; no stream and no source goes on by it.

    Attributes:
        letter: The dead letter's number.
        shard_id: Its stream.
        next_epoch: As in the window's own frame.
        v: The format's version.
    """

    letter: int
    shard_id: str
    next_epoch: int
    v: int = FORMAT


class SkippedMeta(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="skipped"):
    """The meta block of a frame that passes over numbers which may have been seen before.

    Attributes:
        to: The last of them.
        v: The format's version.
    """

    to: int
    v: int = FORMAT


class CarriedMeta(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="carried"):
    """The meta block of a copy of a window's frame.

    Attributes:
        seq: The window's number.
        shard_id: Its stream.
        next_epoch: As in the window's own frame.
        v: The format's version.
    """

    seq: int
    shard_id: str
    next_epoch: int
    v: int = FORMAT


class StreamMeta(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="stream"):
    """The meta block of a frame that says how a stream goes on.

    Attributes:
        source: The source's key.
        shard_id: The stream.
        next_epoch: The epoch of the stream's next window.
        position: Where the source goes on; None for a live source.
        lost_since: Frames lost since the stream's last window.
        v: The format's version.
    """

    source: str
    shard_id: str
    next_epoch: int
    position: SourcePosition | None
    lost_since: int
    v: int = FORMAT


class TotalsMeta(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="totals"):
    """The meta block of the last frame of a compaction: what the outbox counted up to here.

    Attributes:
        kept_from: No frame before this one is needed.
        windows: Windows observed.
        accepted: Windows answered 200.
        escalated: Windows answered 202.
        dead: Windows not accepted.
        repeats: Final answers that were repeats.
        lost: Frames that could not be read any more.
        compactions: With this one.
        v: The format's version.
    """

    kept_from: int
    windows: int
    accepted: int
    escalated: int
    dead: int
    repeats: int
    lost: int
    compactions: int
    v: int = FORMAT


BareMeta = AckMeta | SkippedMeta | StreamMeta | TotalsMeta
Meta = WindowMeta | AgainMeta | CarriedMeta | BareMeta
# For every window: neither calls a function of Python's.
_encode = msgspec.json.Encoder().encode
_new = tuple.__new__
_METAS: msgspec.json.Decoder[Meta] = msgspec.json.Decoder(Meta)


@described
class _Version(msgspec.Struct):
    v: int


def window_frame(meta: WindowMeta | AgainMeta, record: bytes, received_ns: int) -> NewFrame:
    """Return the frame of a window."""
    return _new(NewFrame, (received_ns, _encode(meta), record))


def carried_frame(seq: int, frame: Frame) -> NewFrame:
    """Return a copy of the frame that holds a window, its own or an earlier copy.

    Raises:
        CorruptionError: It holds none.
    """
    meta = read_meta(frame)
    if not isinstance(meta, WindowMeta | AgainMeta | CarriedMeta):
        raise CorruptionError(f"outbox frame {frame.seq}: expected a window, got something else")
    carried = CarriedMeta(seq=seq, shard_id=meta.shard_id, next_epoch=meta.next_epoch)
    return NewFrame(
        received_ns=frame.received_ns, meta=msgspec.json.encode(carried), payload=frame.payload
    )


def bare_frame(meta: BareMeta, *, received_ns: int) -> NewFrame:
    """Return a frame that has no payload."""
    return NewFrame(received_ns=received_ns, meta=msgspec.json.encode(meta), payload=b"")


def read_meta(frame: Frame) -> Meta:
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
        return _METAS.decode(frame.meta)
    except UNDECODABLE as error:
        raise CorruptionError(
            f"outbox frame {frame.seq}: expected a frame of an outbox, got something else"
        ) from error
