"""Frame a segment: bytes in, bytes out.

A segment is a header and then batches; a batch is a header and then frames. Integers are
little-endian, offsets count from the start of the file.

The segment's header. The first 16 bytes are the same in every format version::

    0       8        10      11      12       16       20         24        32
    | magic | format | major | minor | crc32c | crc32c | name len | ordinal | first_seq |
    40           56            72             80           88          96            104    232
    | segment id | previous id | previous_end | created_ns | kept_from | passed_from | name |

``major.minor`` is the first release that reads this format. The first checksum covers the 12 bytes
before it, the second everything else: a newer format is told from a damaged one. The name is padded
with zeros. ``previous_end`` is the length at which the segment before this one ended; what it holds
beyond is superseded. Frames before ``kept_from`` are no longer needed: their segments were removed,
or are about to be. Numbers from ``passed_from`` to before ``first_seq`` were passed over: no
frame has them, and none is missed; where there are none, both are the same.

A batch's header::

    0       4        8             12            16          24               32
    | magic | crc32c | frames' len | frame count | first seq | durable_offset | frames ...

``durable_offset`` is the offset that was known durable when the batch was written. A batch without
frames, a *mark*, carries nothing else. A sealed segment ends in a footer (``footer``).

A frame::

    0        4        8     16            24        26
    | length | crc32c | seq | received_ns | meta len | meta ... | payload ... |

``length`` counts what follows ``crc32c``. Both checksums cover the segment's id and everything but
themselves, so that neither a damaged length nor a stale block of another segment can point at a
valid one.

Sequence numbers are stored XOR the first eight bytes of the segment's id. Behind damage the next
frame is found by the number it must have; stored plainly, a payload could hold that number, and
with it millions of false starts. The id is random and stays on the disk, so no payload can.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, repeat
from operator import xor
from typing import Final, NamedTuple

from crc32c import crc32c

from fractal_lba.protocol.errors import ContractError

FORMAT: Final = 1
READ_SINCE: Final = (0, 1)
SEGMENT_MAGIC: Final = b"\xf1FLBASEG"
BATCH_MAGIC: Final = b"\xf1LBb"
ID_BYTES: Final = 16
NAME_BYTES_MAX: Final = 128
NO_ID: Final = bytes(ID_BYTES)
"""The previous id of a stream's first segment."""

_PREFACE: Final = struct.Struct("<8sHBB")
_CRC: Final = struct.Struct("<I")
_HEADER: Final = struct.Struct(f"<IQQ{ID_BYTES}s{ID_BYTES}sQQQQ{NAME_BYTES_MAX}s")
_PREFACE_BYTES: Final = _PREFACE.size + _CRC.size
HEADER_BYTES: Final = _PREFACE_BYTES + _CRC.size + _HEADER.size

_BATCH: Final = struct.Struct("<4sIIIQQ")
BATCH_BYTES: Final = _BATCH.size
_BATCH_BODY: Final = struct.Struct("<IIQQ")

_FRAME: Final = struct.Struct("<IIQQH")
FRAME_BYTES: Final = _FRAME.size
"""What a frame takes beside its meta block and payload."""
_FRAME_BODY: Final = struct.Struct("<QQH")
_FRAME_CHECKED: Final = struct.Struct("<IQQH")
"""A frame's header as its checksum covers it: without itself."""
# Looked up once: these are called for every frame.
_FRAME_BODY_BYTES: Final = _FRAME_BODY.size
_pack_checked: Final = _FRAME_CHECKED.pack
_pack_header: Final = _FRAME.pack
FRAME_SEQ_AT: Final = 8
META_BYTES_MAX: Final = 0xFFFF
RECEIVED_NS_MAX: Final = (1 << 64) - 1
SEQ_MAX: Final = (1 << 64) - 1


class NewFrame(NamedTuple):
    """What is to be appended. ``received_ns`` is in nanoseconds since 1970."""

    received_ns: int
    meta: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """What was appended, under its sequence number (from 1, without gaps)."""

    seq: int
    received_ns: int
    meta: bytes
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentHeader:
    """What a segment says of itself and of the one before it."""

    stream: str
    ordinal: int
    segment_id: bytes
    first_seq: int
    previous_id: bytes
    previous_end: int
    created_ns: int
    kept_from: int
    passed_from: int


class SegmentKey:
    """What a segment's id lends to the bytes inside: the checksums' start and the mask of seqs."""

    __slots__ = ("crc", "mask", "segment_id")

    def __init__(self, segment_id: bytes) -> None:
        self.segment_id: Final = segment_id
        self.crc: Final = crc32c(segment_id)
        self.mask: Final = int.from_bytes(segment_id[:8], "little")

    def stored(self, seq: int) -> bytes:
        """Return the eight bytes a sequence number is stored as."""
        return (seq ^ self.mask).to_bytes(8, "little")


class BatchAt(NamedTuple):
    """A sound batch header and where it stands. ``end`` is where its frames end."""

    offset: int
    end: int
    frames: int
    first_seq: int
    durable_offset: int


class FrameAt(NamedTuple):
    """A sound frame and where it stands."""

    offset: int
    end: int
    seq: int
    received_ns: int
    meta_bytes: int


def pack_header(header: SegmentHeader) -> bytes:
    """Return the ``HEADER_BYTES`` bytes that open a segment."""
    name = header.stream.encode()
    preface = _PREFACE.pack(SEGMENT_MAGIC, FORMAT, *READ_SINCE)
    preface += _CRC.pack(crc32c(preface))
    body = _HEADER.pack(
        len(name),
        header.ordinal,
        header.first_seq,
        header.segment_id,
        header.previous_id,
        header.previous_end,
        header.created_ns,
        header.kept_from,
        header.passed_from,
        name,
    )
    return preface + _CRC.pack(crc32c(body, crc32c(preface))) + body


def unpack_header(data: bytes) -> SegmentHeader | None:
    """Return the header at the start of ``data``, or ``None`` when it is damaged.

    Raises:
        ContractError: It is sound and of another format version, which the message names together
            with the release that reads it.
    """
    preface = data[:_PREFACE_BYTES]
    if len(data) < _PREFACE_BYTES or preface[:8] != SEGMENT_MAGIC:
        return None
    if _CRC.unpack_from(preface, _PREFACE.size)[0] != crc32c(preface[: _PREFACE.size]):
        return None
    _, written_format, major, minor = _PREFACE.unpack_from(preface)
    if written_format != FORMAT:
        raise ContractError(
            f"segment: expected format {FORMAT}, got format {written_format}, "
            f"which release {major}.{minor} and later read"
        )
    body = data[_PREFACE_BYTES + _CRC.size : HEADER_BYTES]
    if len(body) < _HEADER.size:
        return None
    if _CRC.unpack_from(data, _PREFACE_BYTES)[0] != crc32c(body, crc32c(preface)):
        return None
    (
        name_bytes,
        ordinal,
        first_seq,
        own_id,
        previous_id,
        previous_end,
        created_ns,
        kept_from,
        passed_from,
        name,
    ) = _HEADER.unpack(body)
    stream = _stream_name(name, name_bytes)
    if stream is None or max(kept_from, passed_from) > first_seq:
        return None
    return SegmentHeader(
        stream=stream,
        ordinal=ordinal,
        segment_id=own_id,
        first_seq=first_seq,
        previous_id=previous_id,
        previous_end=previous_end,
        created_ns=created_ns,
        kept_from=kept_from,
        passed_from=passed_from,
    )


def _stream_name(padded: bytes, length: int) -> str | None:
    """Return the name in its field, or ``None`` where the field holds none or more than a name."""
    if length > NAME_BYTES_MAX or any(padded[length:]):
        return None
    try:
        return padded[:length].decode()
    except UnicodeDecodeError:
        return None


def pack_frame(key: SegmentKey, seq: int, new: NewFrame) -> bytes:
    """Return the bytes of one frame."""
    data, (start,) = pack_batch(key, (new,), first_seq=seq, durable_offset=0)
    return data[start:]


def pack_batch(
    key: SegmentKey, frames: Sequence[NewFrame], *, first_seq: int, durable_offset: int
) -> tuple[bytes, list[int]]:
    """Return the bytes of a batch and where in them each frame starts."""
    parts = [b""]
    starts = []
    end = BATCH_BYTES
    id_crc, stored_seqs = key.crc, map(xor, repeat(key.mask), count(first_seq))
    # Written out: a function for each frame would be a quarter of what it costs.
    for (received_ns, meta, payload), stored_seq in zip(frames, stored_seqs, strict=False):
        meta_bytes = len(meta)
        length = _FRAME_BODY_BYTES + meta_bytes + len(payload)
        checked = _pack_checked(length, stored_seq, received_ns, meta_bytes) + meta
        crc = crc32c(payload, crc32c(checked, id_crc))
        parts += _pack_header(length, crc, stored_seq, received_ns, meta_bytes), meta, payload
        starts.append(end)
        end += FRAME_SEQ_AT + length
    body = _BATCH_BODY.pack(end - BATCH_BYTES, len(starts), first_seq ^ key.mask, durable_offset)
    parts[0] = BATCH_MAGIC + _CRC.pack(crc32c(body, key.crc)) + body
    return b"".join(parts), starts


def batch_at(
    data: bytes, offset: int, end: int, key: SegmentKey, *, base: int = 0
) -> BatchAt | None:
    """Return the batch header at ``offset`` when it stands whole below ``end`` and verifies.

    Its frames may lie beyond ``end``: that is for the caller to judge. ``base`` is where in the
    segment ``data`` begins; what is returned counts from there, but for ``durable_offset``.
    """
    if end - offset < BATCH_BYTES:
        return None
    magic, crc, length, count, stored_seq, durable_offset = _BATCH.unpack_from(data, offset)
    if magic != BATCH_MAGIC or not HEADER_BYTES <= durable_offset <= base + offset:
        return None
    if crc32c(data[offset + 8 : offset + BATCH_BYTES], key.crc) != crc:
        return None
    first_seq = stored_seq ^ key.mask
    # A right checksum does not make room for more frames than fit, nor a mark with something in it.
    is_possible = count * FRAME_BYTES <= length and (count > 0 or length == 0)
    if not is_possible or first_seq + count > SEQ_MAX + 1:
        return None
    frames_at = offset + BATCH_BYTES
    return BatchAt(offset, frames_at + length, count, first_seq, durable_offset)


def frame_at(data: bytes, offset: int, end: int, key: SegmentKey) -> FrameAt | None:
    """Return the frame at ``offset`` when it stands whole below ``end`` and verifies."""
    if end - offset < FRAME_BYTES:
        return None
    length, crc, stored_seq, received_ns, meta_bytes = _FRAME.unpack_from(data, offset)
    frame_end = offset + FRAME_SEQ_AT + length
    # The length is only a claim until the checksum, which covers it, agrees: it may choose what is
    # summed, never beyond the bytes at hand.
    if frame_end > end or length < _FRAME_BODY.size + meta_bytes:
        return None
    view = memoryview(data)
    covered = crc32c(
        view[offset + FRAME_SEQ_AT : frame_end], crc32c(view[offset : offset + 4], key.crc)
    )
    if covered != crc:
        return None
    return FrameAt(offset, frame_end, stored_seq ^ key.mask, received_ns, meta_bytes)


def claimed_size(data: bytes, offset: int = 0) -> int:
    """Return how many bytes the frame header at ``offset`` claims for its frame, unverified."""
    length: int = _FRAME.unpack_from(data, offset)[0]
    return FRAME_SEQ_AT + length


def frame_of(data: bytes, found: FrameAt) -> Frame:
    """Return the frame that ``frame_at`` found in ``data``."""
    meta_at = found.offset + FRAME_BYTES
    payload_at = meta_at + found.meta_bytes
    return Frame(
        found.seq, found.received_ns, data[meta_at:payload_at], data[payload_at : found.end]
    )
