import struct

import pytest
from crc32c import crc32c
from tests.support.wal_streams import flipped

from fractal_lba.protocol.errors import ContractError
from fractal_lba.wal import NewFrame
from fractal_lba.wal.framing import (
    BATCH_BYTES,
    BATCH_MAGIC,
    FORMAT,
    FRAME_BYTES,
    HEADER_BYTES,
    SegmentHeader,
    SegmentKey,
    batch_at,
    claimed_size,
    frame_at,
    pack_batch,
    pack_frame,
    pack_header,
    unpack_header,
)

ID = bytes(range(1, 17))
KEY = SegmentKey(ID)
HEADER = SegmentHeader(
    stream="shard-0/ledger",
    ordinal=7,
    segment_id=ID,
    first_seq=1000,
    previous_id=bytes(range(17, 33)),
    previous_end=4096,
    created_ns=1_700_000_000_000_000_000,
    kept_from=900,
    passed_from=950,
)
NEW = NewFrame(received_ns=1_700_000_000_000_000_001, meta=b"meta", payload=b"payload")


def test_the_header_is_laid_out_as_documented() -> None:
    packed = pack_header(HEADER)
    assert len(packed) == HEADER_BYTES == 232
    assert packed[:8] == b"\xf1FLBASEG"
    assert struct.unpack_from("<HBBI", packed, 8) == (1, 0, 1, crc32c(packed[:12]))
    assert struct.unpack_from("<I", packed, 16) == (crc32c(packed[20:], crc32c(packed[:16])),)
    assert struct.unpack_from("<IQQ", packed, 20) == (14, 7, 1000)
    assert packed[40:56] == ID
    assert packed[56:72] == HEADER.previous_id
    assert struct.unpack_from("<QQQQ", packed, 72) == (4096, 1_700_000_000_000_000_000, 900, 950)
    assert packed[104:] == b"shard-0/ledger".ljust(128, b"\0")


def test_a_batch_and_its_frames_are_laid_out_as_documented() -> None:
    packed, starts = pack_batch(KEY, [NEW, NEW], first_seq=1000, durable_offset=500)
    mask = int.from_bytes(ID[:8], "little")
    assert packed[:4] == BATCH_MAGIC == b"\xf1LBb"
    assert struct.unpack_from("<I", packed, 4) == (crc32c(packed[8:32], crc32c(ID)),)
    assert struct.unpack_from("<IIQQ", packed, 8) == (len(packed) - 32, 2, 1000 ^ mask, 500)
    assert starts == [32, 32 + 26 + 11]
    frame = packed[starts[1] :]
    assert struct.unpack_from("<I", frame) == (len(frame) - 8,)
    assert struct.unpack_from("<I", frame, 4) == (crc32c(frame[8:], crc32c(frame[:4], crc32c(ID))),)
    assert struct.unpack_from("<QQH", frame, 8) == (1001 ^ mask, 1_700_000_000_000_000_001, 4)
    assert frame[26:] == b"metapayload"


def test_a_header_with_any_bit_flipped_or_byte_missing_is_damaged() -> None:
    packed = pack_header(HEADER)
    for offset in range(HEADER_BYTES):
        for bit in range(8):
            assert unpack_header(flipped(packed, offset, bit)) is None, (offset, bit)
        assert unpack_header(packed[:offset]) is None


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (20, struct.pack("<I", 129)),
        (20, struct.pack("<I", 13)),
        (104, b"\xff"),
        (88, struct.pack("<Q", 1001)),
        (96, struct.pack("<Q", 1001)),
    ],
    ids=["a long name", "more than a name", "no UTF-8", "kept from later", "passed from later"],
)
def test_a_header_that_cannot_be_is_damaged_whatever_its_checksum(
    offset: int, value: bytes
) -> None:
    packed = bytearray(pack_header(HEADER))
    packed[offset : offset + len(value)] = value
    packed[16:20] = struct.pack("<I", crc32c(bytes(packed[20:]), crc32c(bytes(packed[:16]))))
    assert unpack_header(bytes(packed)) is None


def newer(major: int, minor: int) -> bytes:
    preface = struct.pack("<8sHBB", b"\xf1FLBASEG", FORMAT + 1, major, minor)
    return preface + struct.pack("<I", crc32c(preface)) + b"whatever that format holds"


def test_a_newer_format_is_refused_with_the_release_that_reads_it() -> None:
    with pytest.raises(ContractError, match=r"got format 2, which release 3\.4 and later read"):
        unpack_header(newer(3, 4))
    assert unpack_header(flipped(newer(3, 4), 8)) is None


def test_a_batch_header_with_any_bit_flipped_or_byte_missing_does_not_verify() -> None:
    packed, _ = pack_batch(KEY, [NEW], first_seq=1000, durable_offset=300)
    data = bytes(400) + packed
    whole = batch_at(data, 400, len(data), KEY)
    assert whole == (400, len(data), 1, 1000, 300)
    for offset in range(BATCH_BYTES):
        assert batch_at(data, 400, 400 + offset, KEY) is None
        for bit in range(8):
            assert batch_at(flipped(data, 400 + offset, bit), 400, len(data), KEY) is None


@pytest.mark.parametrize(
    ("durable_offset", "is_possible"), [(231, False), (232, True), (400, True), (401, False)]
)
def test_a_durable_offset_lies_between_the_header_and_the_batch_itself(
    durable_offset: int, *, is_possible: bool
) -> None:
    packed, _ = pack_batch(KEY, [], first_seq=1, durable_offset=durable_offset)
    data = bytes(400) + packed
    assert (batch_at(data, 400, len(data), KEY) is not None) == is_possible


def test_a_frame_with_any_bit_flipped_or_byte_missing_does_not_verify() -> None:
    frame = pack_frame(KEY, 1000, NEW)
    assert frame_at(frame, 0, len(frame), KEY) == (0, len(frame), 1000, NEW.received_ns, 4)
    for offset in range(len(frame)):
        assert frame_at(frame, 0, offset, KEY) is None
        for bit in range(8):
            assert frame_at(flipped(frame, offset, bit), 0, len(frame), KEY) is None


def test_a_meta_block_longer_than_its_frame_does_not_verify() -> None:
    # With a checksum that is right: the length of the meta block must fit all the same.
    covered = struct.pack("<QQH", 1000 ^ KEY.mask, 1, 12) + b"metapayload"
    length = struct.pack("<I", len(covered))
    data = length + struct.pack("<I", crc32c(covered, crc32c(length, KEY.crc))) + covered
    assert frame_at(data, 0, len(data), KEY) is None


def test_an_empty_frame_is_as_short_as_a_frame_can_be() -> None:
    frame = pack_frame(KEY, 1, NewFrame(0, b"", b""))
    assert len(frame) == FRAME_BYTES == claimed_size(frame)
    assert frame_at(frame, 0, len(frame), KEY) == (0, 26, 1, 0, 0)


def test_numbers_are_masked_by_the_id() -> None:
    assert KEY.stored(5) == bytes([ID[0] ^ 5, *ID[1:8]])
    assert (1000).to_bytes(8, "little") not in pack_frame(KEY, 1000, NEW)
