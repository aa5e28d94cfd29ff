"""Undo a content encoding, with every bound kept while it is done: bytes in, bytes out.

One gzip member or one zstd frame, whole, and nothing behind it. Several in a row are refused: no
HTTP client writes them, and of empty ones a body could hold a million, each asking for a decoder.
At no time is more in memory than the bound and one piece: 256 KiB of gzip, 4 MiB of zstd, whose
decoder cannot be told to stop within the bytes it was given.
"""

import zlib
from collections.abc import Callable, Iterator
from typing import Final

import zstandard

from fractal_lba.protocol.errors import Refusal, RefusalCode

GZIP: Final = "gzip"
ZSTD: Final = "zstd"

ZSTD_WINDOW_MAX: Final = 16 << 20
"""What a decoder allocates at most: a window over the largest body is of no use to it."""

_GZIP_FEED = 65_536
_GZIP_PIECE = 262_144
_GZIP_WINDOW = 31
"""zlib's word for a gzip header and the largest window."""

_ZSTD_FEED = 128
"""32 blocks of four bytes, each of which may say 128 KiB (RFC 8878 section 3.1.1.2)."""


def inflate(body: bytes, encoding: str, *, bytes_max: int) -> bytes:
    """Return what a body says once its content encoding is undone.

    Args:
        body: As it came over the wire.
        encoding: ``gzip``, ``zstd`` or, for none, an empty string.
        bytes_max: Of the result.

    Raises:
        Refusal: ``too_large`` over the bound; ``bad_encoding`` for a stream that is broken, cut,
            followed by anything, or asks for a larger window.
    """
    if not encoding:
        return body
    pieces = _gunzip(body) if encoding == GZIP else _unzstd(body, bytes_max)
    inflated = bytearray()
    for piece in pieces:
        inflated += piece
        _check_size(len(inflated), bytes_max)
    return bytes(inflated)


def _gunzip(body: bytes) -> Iterator[bytes]:
    decoder = zlib.decompressobj(_GZIP_WINDOW)
    fed = 0
    while fed < len(body) and not decoder.eof:
        rest = body[fed : fed + _GZIP_FEED]
        fed += len(rest)
        while rest and not decoder.eof:
            try:
                piece = decoder.decompress(rest, _GZIP_PIECE)
            except zlib.error as error:
                raise _bad("broken_stream", "a sound gzip stream", "a broken one") from error
            rest = decoder.unconsumed_tail
            yield piece
    _end(is_whole=decoder.eof, is_followed=bool(decoder.unused_data) or fed < len(body))


def _unzstd(body: bytes, bytes_max: int) -> Iterator[bytes]:
    said = _check_frame(body, bytes_max)
    decoder = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_MAX).decompressobj()
    # Asked for once: the attribute itself is a call.
    decompress: Callable[[bytes], bytes] = decoder.decompress
    fed = found = 0
    while fed < len(body) and not decoder.eof:
        try:
            piece = decompress(body[fed : fed + _ZSTD_FEED])
        except zstandard.ZstdError as error:
            raise _bad("broken_stream", "a sound zstd stream", "a broken one") from error
        fed += _ZSTD_FEED
        found += len(piece)
        yield piece
    # The decoder itself looks at what a frame says is in it only where it came as one piece.
    if decoder.eof and said not in {found, zstandard.CONTENTSIZE_UNKNOWN}:
        raise _bad("broken_stream", "as many bytes as the zstd frame says", "others")
    _end(is_whole=decoder.eof, is_followed=bool(decoder.unused_data) or fed < len(body))


def _check_frame(body: bytes, bytes_max: int) -> int:
    """Return how many bytes a frame says are in it, `CONTENTSIZE_UNKNOWN` where it does not."""
    try:
        frame = zstandard.get_frame_parameters(body)
    except zstandard.ZstdError:
        return zstandard.CONTENTSIZE_UNKNOWN  # the decoder says what is wrong
    if frame.content_size != zstandard.CONTENTSIZE_UNKNOWN:
        _check_size(frame.content_size, bytes_max)
    if frame.window_size > ZSTD_WINDOW_MAX:
        raise _bad("window_too_large", f"a zstd window of at most {ZSTD_WINDOW_MAX}", "more")
    # One that is to be skipped says how much of it is.
    is_data = body.startswith(zstandard.FRAME_HEADER)
    return frame.content_size if is_data else zstandard.CONTENTSIZE_UNKNOWN


def _check_size(size: int, bytes_max: int) -> None:
    if size > bytes_max:
        raise Refusal(
            RefusalCode.TOO_LARGE,
            reason="decoded_too_large",
            message=f"body: expected at most {bytes_max} bytes decoded, got more",
        )


def _end(*, is_whole: bool, is_followed: bool) -> None:
    if not is_whole:
        raise _bad("truncated_stream", "a whole stream", "one without its end")
    if is_followed:
        raise _bad("trailing_bytes", "nothing behind the stream", "more bytes")


def _bad(reason: str, expected: str, got: str) -> Refusal:
    return Refusal(
        RefusalCode.BAD_ENCODING, reason=reason, message=f"body: expected {expected}, got {got}"
    )
