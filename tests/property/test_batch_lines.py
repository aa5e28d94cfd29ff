"""A batch splits as Python splits, however it is cut, and whatever it was compressed with."""

import gzip
from contextlib import suppress

import zstandard
from hypothesis import given
from hypothesis import strategies as st

from fractal_lba.protocol.errors import Refusal
from fractal_lba.server.core.inflate import inflate
from fractal_lba.server.core.ndjson import count_lines, lines_of

MAX = 1 << 16
PIECES = st.lists(
    st.sampled_from([b"\n", b"\r\n", b"\r", b"{}", b"\x0b", b"\x0c", b"\x85", b"\xe2\x80\xa8", b""])
    | st.binary(max_size=8)
)


@given(PIECES)
def test_lines_are_those_that_python_splits_at_line_feeds(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    expected = data.split(b"\n")
    if not expected[-1]:
        expected.pop()  # what follows the last line feed is a line only where there is something
    assert list(lines_of(data)) == expected
    assert count_lines(data) == len(expected)


@given(st.lists(st.binary().map(lambda line: line.replace(b"\n", b"")), min_size=1), st.booleans())
def test_joined_lines_come_back(lines: list[bytes], is_ended: bool) -> None:  # noqa: FBT001 - drawn
    data = b"\n".join(lines) + b"\n" * (is_ended or not lines[-1])
    assert list(lines_of(data)) == lines


@given(st.binary(max_size=2_000), st.integers(0, 9))
def test_compressed_lines_come_back(data: bytes, level: int) -> None:
    assert inflate(gzip.compress(data, level), "gzip", bytes_max=MAX) == data
    assert inflate(zstandard.compress(data, level), "zstd", bytes_max=MAX) == data


@given(st.binary(max_size=400), st.sampled_from(["gzip", "zstd"]), st.data())
def test_any_bytes_are_inflated_or_refused(data: bytes, encoding: str, draw: st.DataObject) -> None:
    whole = gzip.compress(data) if encoding == "gzip" else zstandard.compress(data)
    at = draw.draw(st.integers(0, len(whole)))
    for body in (data, whole[:at], whole[:at] + data + whole[at:]):
        with suppress(Refusal):
            assert len(inflate(body, encoding, bytes_max=MAX)) <= MAX
