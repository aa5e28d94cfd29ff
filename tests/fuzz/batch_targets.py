"""A batch as it comes over the wire: inflated, split, and answered line by line."""

import gzip
import io
import zlib
from contextlib import suppress
from typing import Final

import zstandard

from fractal_lba.client.batch import read_lines
from fractal_lba.protocol import RECORD_BYTES_MAX, Refusal, RefusalCode
from fractal_lba.server.core.answer import Answer
from fractal_lba.server.core.inflate import GZIP, ZSTD, ZSTD_WINDOW_MAX, inflate
from fractal_lba.server.core.ndjson import (
    BATCH_RECORDS_MAX,
    check_count,
    count_lines,
    encode_line,
    line_fault,
    lines_of,
)

_BYTES_MAX: Final = 80_000
"""More than a line may have, and little enough to be quick."""

_PIECE_MAX: Final = 5 << 20
"""What a decoder may give beyond the bound before it is stopped."""

_STEP: Final = 4_096
_ENCODINGS: Final = ("", GZIP, ZSTD)
_ANSWERED_MAX: Final = 64

_LINES: Final = b'{"a":1}\n\n{"b":[2,3]}\r\n\r\n  \n\x00\n{"c":"\xe2\x80\xa8\x0b\x85"}\n\xff\n{}'
_SPARSE: Final = b" " * (RECORD_BYTES_MAX + 1) + b"\n{}\n" + b" " * 9_000
_MANY: Final = b"\n" * (BATCH_RECORDS_MAX + 1)
_BOMB: Final = bytes(1 << 20)


def _gzip_with_a_head(data: bytes) -> bytes:
    """Return a gzip member that has every optional field of its header (RFC 1952 section 2.3)."""
    plain = gzip.compress(data, 9, mtime=0)
    head = b"\x1f\x8b\x08\x1e" + plain[4:10] + b"\x03\x00abc" + b"name\x00" + b"comment\x00"
    return head + (zlib.crc32(head) & 0xFFFF).to_bytes(2, "little") + plain[10:]


def _zstd(data: bytes, **parameters: int) -> bytes:
    given = zstandard.ZstdCompressionParameters(**parameters)
    return zstandard.ZstdCompressor(compression_params=given).compress(data)


def _zstd_stream(data: bytes) -> bytes:
    """Return a frame that does not say how much is in it, of several blocks."""
    making = zstandard.ZstdCompressor(level=3, write_content_size=False).compressobj()
    parts = [
        making.compress(data[at : at + 9]) + making.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        for at in range(0, len(data), 9)
    ]
    return b"".join(parts) + making.flush()


_SKIPPED: Final = b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip"
_GZIPPED: Final = gzip.compress(_LINES, 9, mtime=0)
_ZSTANDARD: Final = _zstd(_LINES, write_checksum=1)

SENT: Final = (
    b"\x00" + _LINES,
    b"\x00" + b'{"pcs_id":"0"}\n' * 9,
    b"\x00",
    *(
        b"\x01" + stream
        for stream in (
            _GZIPPED,
            gzip.compress(_LINES, 0, mtime=0),
            _gzip_with_a_head(_LINES),
            gzip.compress(_SPARSE, 9, mtime=0),
            gzip.compress(_MANY, 9, mtime=0),
            gzip.compress(_BOMB, 9, mtime=0),
            gzip.compress(b"", mtime=0),
            _GZIPPED + _GZIPPED,
            _GZIPPED[:-3],
            _GZIPPED + b"\n",
        )
    ),
    *(
        b"\x02" + stream
        for stream in (
            _ZSTANDARD,
            _zstd_stream(_LINES),
            _zstd(_SPARSE),
            _zstd(_MANY),
            _zstd(_BOMB),
            _zstd(_BOMB, write_content_size=0),
            _zstd(_LINES, write_content_size=0, window_log=25),
            _zstd(b""),
            _ZSTANDARD + _ZSTANDARD,
            _ZSTANDARD[:-3],
            _ZSTANDARD + b"\n",
            _SKIPPED + _ZSTANDARD,
            _ZSTANDARD + _SKIPPED,
        )
    ),
)
PIECES: Final = (
    b"\n", b"\n\n", b"\r\n", b"\r", b"\x00", b"{}", b'{"a":1}\n', b"\x0b", b"\x85", b"\xff",
    "\u2028".encode(), b"\xef\xbb\xbf", b"\x1f\x8b\x08", b"\x1f\x8b\x08\x00", b"\x28\xb5\x2f\xfd",
    b"\x50\x2a\x4d\x18", _SKIPPED, _GZIPPED, _ZSTANDARD, _GZIPPED[-8:], _ZSTANDARD[-4:],
    b"\x03\x00\x00" + bytes(4), b"\x01\x00\x00", b"\x02\x00\x10\x00", b"\xfb\xff\x07\x00" * 32,
    b"\x00\x00\x00\xff\xff", b"\x01\x00\x00\xff\xff", b"\x01", b"\x02",
)  # fmt: skip


def batch(data: bytes) -> str:
    """Read the bytes behind the first as a batch, whose encoding the first one names."""
    encoding = _ENCODINGS[data[0] % len(_ENCODINGS)] if data else ""
    body = data[1:]
    try:
        lines = inflate(body, encoding, bytes_max=_BYTES_MAX)
    except Refusal as refusal:
        _assert_true(refusal, body, encoding)
        return f"{encoding} {refusal.reason}"
    assert lines == _inflated_by_another(body, encoding)
    count = count_lines(lines)
    with suppress(Refusal):
        check_count(count)
        return f"accepted {encoding} {_answered(lines, count)}"
    assert not lines or lines.count(b"\n") >= BATCH_RECORDS_MAX
    return f"{encoding} {'too many lines' if lines else 'no line'}"


def _answered(lines: bytes, count: int) -> str:
    """Split the lines as the server does and answer the first ones; return what became of them."""
    found = list(lines_of(lines))
    assert found == (lines if lines.endswith(b"\n") else lines + b"\n").split(b"\n")[:-1]
    assert len(found) == count
    answers = [line_fault(line) or _decided(line) for line in found[:_ANSWERED_MAX]]
    _assert_answered(answers)
    kinds = sorted({answer.code or "taken" for answer in answers})
    sizes = "one" if count == 1 else "some" if count <= _ANSWERED_MAX else "many"
    return f"{sizes} {' '.join(kinds)}"


def _decided(line: bytes) -> Answer:
    assert line
    assert b"\n" not in line
    assert not line.endswith(b"\r")
    assert len(line) <= RECORD_BYTES_MAX
    return Answer(status=200, body=b'{"pcs_id":"%d"}' % len(line), received_ns=0)


def _assert_answered(answers: list[Answer]) -> None:
    """Assert that a client reads from the answer's lines what the server wrote on them."""
    sent = b"".join(encode_line(answer, "r") for answer in answers)
    for answer, read in zip(answers, read_lines(sent, len(answers)), strict=True):
        assert (read.status, read.code) == (answer.status, answer.code)
        assert answer.code is not None or read.body == answer.body


def _inflated_by_another(body: bytes, encoding: str) -> bytes:
    if encoding == GZIP:
        return gzip.decompress(body)
    if encoding == ZSTD:
        reading = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_MAX)
        with reading.stream_reader(io.BytesIO(body), read_across_frames=False) as stream:
            return stream.read(_BYTES_MAX + 1)
    return body


def _assert_true(refusal: Refusal, body: bytes, encoding: str) -> None:
    """Assert that the bytes are what a refusal says they are."""
    large = refusal.reason == "decoded_too_large"
    assert refusal.code is (RefusalCode.TOO_LARGE if large else RefusalCode.BAD_ENCODING)
    reached, end = _gzip_end(body) if encoding == GZIP else _zstd_end(body)
    if large:
        assert reached > _BYTES_MAX
    elif reached > _BYTES_MAX:
        # Broken behind the bound, in what the decoder gave at once.
        assert refusal.reason == end == "broken_stream"
    elif refusal.reason != end:
        # Of an empty block, the decoder takes one view where a frame comes whole, another where it
        # comes in parts.
        assert encoding == ZSTD
        assert end != "window_too_large"
        assert refusal.reason == _zstd_end_at_once(body)


def _gzip_end(body: bytes) -> tuple[int, str]:
    """Return how many bytes come out of a stream that was refused, and what is wrong with it."""
    decoder = zlib.decompressobj(31)
    reached, rest = 0, body
    try:
        while rest and not decoder.eof and reached <= _BYTES_MAX + _PIECE_MAX:
            reached += len(decoder.decompress(rest, _STEP))
            rest = decoder.unconsumed_tail
    except zlib.error:
        return reached, "broken_stream"
    return reached, "trailing_bytes" if decoder.eof else "truncated_stream"


def _zstd_end(body: bytes) -> tuple[int, str]:
    """Return the same of a frame, fed byte by byte; what it says is in it counts as come out."""
    said = zstandard.CONTENTSIZE_UNKNOWN
    with suppress(zstandard.ZstdError):
        frame = zstandard.get_frame_parameters(body)
        if frame.content_size != zstandard.CONTENTSIZE_UNKNOWN and frame.content_size > _BYTES_MAX:
            return frame.content_size, ""
        if frame.window_size > ZSTD_WINDOW_MAX:
            return 0, "window_too_large"
        if body.startswith(zstandard.FRAME_HEADER):
            said = frame.content_size
    decoder = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_MAX).decompressobj()
    reached = fed = 0
    try:
        while fed < len(body) and not decoder.eof and reached <= _BYTES_MAX + _PIECE_MAX:
            reached += len(decoder.decompress(body[fed : fed + 1]))
            fed += 1
    except zstandard.ZstdError:
        return reached, "broken_stream"
    if decoder.eof and said not in {reached, zstandard.CONTENTSIZE_UNKNOWN}:
        return reached, "broken_stream"
    return reached, "trailing_bytes" if decoder.eof else "truncated_stream"


def _zstd_end_at_once(body: bytes) -> str:
    decoder = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_MAX).decompressobj()
    try:
        decoder.decompress(body)
    except zstandard.ZstdError:
        return "broken_stream"
    return "trailing_bytes" if decoder.eof else "truncated_stream"
