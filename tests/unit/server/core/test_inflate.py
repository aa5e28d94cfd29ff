"""What a content encoding may say, and what it costs at most to find out."""

import gzip
import itertools
import random
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
import zstandard

from fractal_lba.protocol.errors import Refusal
from fractal_lba.server.core.inflate import inflate

MAX = 1 << 20
DATA = random.Random(1).randbytes(300_000) + b"a" * 300_000  # noqa: S311 - bytes, not a secret
GZIPPED, ZSTD = gzip.compress(DATA, mtime=0), zstandard.compress(DATA)
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip"
MIB = 1 << 20
BOMB_BYTES = 256 * MIB


def saying(size: int, data: bytes) -> bytes:
    """Return a zstd frame that says it holds so many bytes: a block of data and an empty one."""
    head = b"\x28\xb5\x2f\xfd\xa0" + size.to_bytes(4, "little")  # RFC 8878 section 3.1.1.1
    return head + (len(data) << 3).to_bytes(3, "little") + data + b"\x01\x00\x00"


def streamed(data: bytes, **settings: int) -> bytes:
    """Return a zstd stream that does not tell its size."""
    parameters = zstandard.ZstdCompressionParameters(write_content_size=False, **settings)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return compressor.compress(data) + compressor.flush()


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(GZIPPED, "gzip"), (ZSTD, "zstd"), (DATA, "")],
    ids=["gzip", "zstd", "neither"],
)
def test_what_was_compressed_comes_back(body: bytes, encoding: str) -> None:
    assert inflate(body, encoding, bytes_max=MAX) == DATA
    assert inflate(body, encoding, bytes_max=len(DATA)) == DATA


def test_a_frame_that_says_how_much_it_holds_comes_back() -> None:
    assert inflate(saying(199, b"a" * 199), "zstd", bytes_max=MAX) == b"a" * 199


def test_a_stream_that_does_not_tell_its_size_comes_back() -> None:
    assert inflate(streamed(DATA), "zstd", bytes_max=MAX) == DATA


@pytest.mark.parametrize(
    ("body", "encoding", "reason"),
    [
        (b"", "gzip", "truncated_stream"),
        (b"", "zstd", "truncated_stream"),
        (GZIPPED[:-1], "gzip", "truncated_stream"),
        (ZSTD[:-1], "zstd", "truncated_stream"),
        (GZIPPED[:5], "gzip", "truncated_stream"),
        (ZSTD[:5], "zstd", "truncated_stream"),
        (b"{}", "gzip", "broken_stream"),
        (b"{}{}{}", "zstd", "broken_stream"),
        (ZSTD, "gzip", "broken_stream"),
        (GZIPPED, "zstd", "broken_stream"),
        (zlib.compress(DATA), "gzip", "broken_stream"),
        (GZIPPED[:-8] + bytes(8), "gzip", "broken_stream"),
        (GZIPPED + b"x", "gzip", "trailing_bytes"),
        (ZSTD + b"x", "zstd", "trailing_bytes"),
        (GZIPPED + GZIPPED, "gzip", "trailing_bytes"),
        (ZSTD + ZSTD, "zstd", "trailing_bytes"),
        (GZIPPED + bytes(200_000), "gzip", "trailing_bytes"),
        (SKIPPABLE + ZSTD, "zstd", "trailing_bytes"),
        (saying(9, b"a" * 9 + b"b"), "zstd", "broken_stream"),
        (saying(200, b"a" * 199), "zstd", "broken_stream"),
        (saying(0, b"a" * 199), "zstd", "broken_stream"),
        (streamed(DATA, window_log=25), "zstd", "window_too_large"),
    ],
    ids=itertools.count(),
)
def test_what_is_not_one_whole_stream_is_refused(body: bytes, encoding: str, reason: str) -> None:
    with pytest.raises(Refusal) as refused:
        inflate(body, encoding, bytes_max=MAX)
    assert (refused.value.code, refused.value.reason) == ("bad_encoding", reason)


@pytest.mark.parametrize(
    ("compress", "encoding"),
    [(gzip.compress, "gzip"), (zstandard.compress, "zstd"), (streamed, "zstd")],
    ids=["gzip", "zstd", "zstd of no told size"],
)
def test_a_bomb_is_refused_within_the_bound_and_one_piece(
    compress: Callable[[bytes], bytes], encoding: str
) -> None:
    body = compress(bytes(BOMB_BYTES))
    assert len(body) < MIB
    tracemalloc.start()
    try:
        with pytest.raises(Refusal) as refused:
            inflate(body, encoding, bytes_max=MAX)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (refused.value.code, refused.value.reason) == ("too_large", "decoded_too_large")
    # The bound, its growth, and one piece that is held twice for a moment.
    assert most < 2 * MAX + 2 * (4 << 20) + MIB


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_one_byte_over_the_bound_is_refused(encoding: str) -> None:
    body = GZIPPED if encoding == "gzip" else ZSTD
    with pytest.raises(Refusal) as refused:
        inflate(body, encoding, bytes_max=len(DATA) - 1)
    assert refused.value.reason == "decoded_too_large"
