"""Bytes that claim to be a segment, or what the server put into one's frames.

A segment is read twice: as it is, and with every checksum made right again, so that what stands
behind the checksums meets bent values too.
"""

import struct
from typing import Final

from crc32c import crc32c

from fractal_lba.protocol import ContractError, CorruptionError
from fractal_lba.server.core.entry import (
    META,
    Conflict,
    Decision,
    Resolution,
    decode_entry,
    encode_entry,
)
from fractal_lba.server.core.inbox_frame import (
    Received,
    decode_finished,
    decode_received,
    encode_finished,
    encode_received,
)
from fractal_lba.wal.footer import FOOTER_BYTES, FooterAt
from fractal_lba.wal.framing import (
    BATCH_BYTES,
    BATCH_MAGIC,
    FRAME_BYTES,
    HEADER_BYTES,
    SEGMENT_MAGIC,
    SEQ_MAX,
    BatchAt,
    NewFrame,
    SegmentHeader,
    SegmentKey,
    frame_of,
    pack_batch,
    pack_frame,
    pack_header,
    unpack_header,
)
from fractal_lba.wal.tail import examine
from fractal_lba.wal.walk import Gap, walk

_ID_AT: Final = 40
_END_CHARACTERS_MAX: Final = 200
_U32: Final = struct.Struct("<I")

PIECES: Final = (
    BATCH_MAGIC, SEGMENT_MAGIC, b"\xff" * 4, b"\xff" * 8, bytes(4), bytes(8), bytes(32), b"\x00",
    b"\xd8\x00\x00\x00", b"\x1a\x00\x00\x00", b"\x12\x00\x00\x00", b"\x01" * 16, b"\xff\xfe",
)  # fmt: skip


def _segment(*batches: tuple[int, ...], first_seq: int = 1) -> bytes:
    """Return a segment whose batches hold frames with payloads of these lengths."""
    key = SegmentKey(bytes(range(1, 17)))
    header = SegmentHeader(
        stream="inbox-0",
        ordinal=1,
        segment_id=key.segment_id,
        first_seq=first_seq,
        previous_id=bytes(16),
        previous_end=0,
        created_ns=5,
        kept_from=1,
        passed_from=first_seq,
    )
    data = pack_header(header)
    durable = HEADER_BYTES
    for lengths in batches:
        frames = [NewFrame(7, b"m", b"\xf1LBb"[:length] * length) for length in lengths]
        packed, _ = pack_batch(key, frames, first_seq=first_seq, durable_offset=durable)
        durable = len(data)
        data += packed
        first_seq += len(frames)
    return data


SEGMENTS: Final = (
    _segment((3,), (0, 9), ()),
    _segment((1, 2, 3), (4,), first_seq=70_000),
    _segment((2,), (2,), first_seq=2**64 - 3),
    _segment(),
    b"",
)

_DIGEST: Final = "0f" * 32
STORED: Final = (
    b"\x00" + encode_received(Received()),
    b"\x00" + encode_received(Received(route="submit", tenant_header="a", content_encoding="gzip")),
    b"\x01" + encode_finished([1, 2**64 - 1])[1],
    *(
        b"\x02" + META + encode_entry(entry)
        for entry in (
            Conflict(
                tenant="acme",
                family="1.x",
                pcs_id=_DIGEST,
                record_digest=_DIGEST,
                content_digest=_DIGEST,
                kid="k",
                record=b"{}",
            ),
            Resolution(tenant="acme", family="1.x", pcs_id=_DIGEST, note="seen", who="o"),
            Decision(
                tenant="acme",
                family="1.x",
                pcs_id=_DIGEST,
                record_digest=_DIGEST,
                content_digest=_DIGEST,
                kid="k",
                record=b"{}",
                params_version="1",
                region="local",
                status=200,
                answer=b"{}",
            ),
        )
    ),
)
STORED_PIECES: Final = (
    b"\x80", b"\xde\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdc\xff\xff", b"\xdd\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\x91" * 2_000, b"\x81\xa1a" * 600, b"\xc0",
    b"\xcf" + b"\xff" * 8, b"\xc7\x00\x00", b"\xcb\x7f\xf8" + bytes(6), b"\xa4kind", b"\xff",
    b"\xa8decision", b"\xa8conflict", b"\xd9\x02\xc0\x80", b"\x01", b"\x02", META, b"\x02\x00",
)  # fmt: skip


def segment(data: bytes) -> str:
    """Read the bytes as a segment, as they are and with right checksums."""
    _read_segment(data)
    return _read_segment(_resealed(data))


def _read_segment(data: bytes) -> str:
    try:
        header = unpack_header(data)
    except ContractError:
        return "another format"
    first_seq = None
    segment_id = data[_ID_AT : _ID_AT + 16].ljust(16, b"\x00")
    if header is not None:
        # The release that wrote it is named too, and may be another one.
        assert pack_header(header)[20:] == data[20:HEADER_BYTES]
        first_seq = header.first_seq
    key = SegmentKey(segment_id)
    kinds = _walk(data, key, first_seq)
    tail = examine(data, key, first_seq)
    assert tail.torn_at <= len(data)
    assert len(tail.survivors) <= len(tail.kept)
    survivors = min(len(tail.survivors), 3)
    return f"header {header is not None}, {' '.join(sorted(kinds))}, {survivors} above the division"


def _walk(data: bytes, key: SegmentKey, first_seq: int | None) -> set[str]:
    """Walk, and assert that every byte is told of once and every frame writes back as it stood."""
    at = HEADER_BYTES
    last_seq = 0
    count = 0
    kinds = set()
    for item in walk(data, key, end=len(data), first_seq=first_seq):
        count += 1
        kinds.add(item.what if isinstance(item, Gap) else type(item).__name__)
        if isinstance(item, Gap):
            assert item.offset == at
            assert item.length >= 0
            if item.first_seq is not None and item.last_seq is not None:
                assert item.first_seq <= item.last_seq <= SEQ_MAX
            at += item.length
            continue
        assert item.offset == at
        if isinstance(item, BatchAt | FooterAt):
            at += BATCH_BYTES if isinstance(item, BatchAt) else FOOTER_BYTES
            continue
        assert item.seq > last_seq or (item.seq == last_seq == 0)
        last_seq = item.seq
        frame = frame_of(data, item)
        new = NewFrame(frame.received_ns, frame.meta, frame.payload)
        assert pack_frame(key, item.seq, new) == data[item.offset : item.end]
        at = item.end
    assert at == max(HEADER_BYTES, len(data))
    # A frame, its batch's header, a gap before each and one at the end.
    assert count <= 4 * (len(data) // FRAME_BYTES) + 2
    return kinds


def _resealed(data: bytes) -> bytes:
    """Return the bytes with every checksum right that a header at its place tells of."""
    made = bytearray(data)
    if len(made) < HEADER_BYTES:
        return data
    made[:8] = SEGMENT_MAGIC
    _U32.pack_into(made, 12, crc32c(bytes(made[:12])))
    _U32.pack_into(made, 16, crc32c(bytes(made[20:HEADER_BYTES]), crc32c(bytes(made[:16]))))
    start = crc32c(bytes(made[_ID_AT : _ID_AT + 16]))
    at = made.find(BATCH_MAGIC, HEADER_BYTES)
    while at != -1 and len(made) - at >= BATCH_BYTES:
        frames_at = at + BATCH_BYTES
        _U32.pack_into(made, at + 4, crc32c(bytes(made[at + 8 : frames_at]), start))
        stop = min(len(made), frames_at + _U32.unpack_from(made, at + 8)[0])
        while stop - frames_at >= FRAME_BYTES:
            end = frames_at + 8 + _U32.unpack_from(made, frames_at)[0]
            if end > stop:
                break
            summed = crc32c(bytes(made[frames_at : frames_at + 4]), start)
            _U32.pack_into(made, frames_at + 4, crc32c(bytes(made[frames_at + 8 : end]), summed))
            frames_at = end
        at = made.find(BATCH_MAGIC, max(frames_at, at + 1))
    return bytes(made)


def stored(data: bytes) -> str:
    """Read the bytes as a meta block, a mark or a ledger entry: the first byte says which."""
    kind, rest = data[:1], data[1:]
    try:
        return _read_stored(kind, rest)
    except CorruptionError as error:
        return str(error).split(", got")[0][:_END_CHARACTERS_MAX]


def _read_stored(kind: bytes, rest: bytes) -> str:
    if kind == b"\x00":
        received = decode_received(rest)
        if received is not None:
            assert decode_received(encode_received(received)) == received
        return f"received {received is not None}"
    if kind == b"\x01":
        seqs = decode_finished(rest)
        assert encode_finished(seqs)[1] == rest
        return "mark"
    entry = decode_entry(rest[: len(META)], rest[len(META) :])
    assert decode_entry(META, encode_entry(entry)) == entry
    return type(entry).__name__
