"""A sealed segment ends in a footer that says by itself what the file held."""

import struct
from pathlib import Path

import pytest
from crc32c import crc32c
from tests.support.wal_streams import (
    NAME,
    damage_of,
    flipped,
    folder_labels,
    labels_of,
    new_frame,
    open_stream,
    restore,
    segments_of,
    snapshot,
)

from fractal_lba.wal import RealDisk, scan_folder
from fractal_lba.wal.footer import FOOTER_BYTES, FooterAt, footer_at, pack_footer
from fractal_lba.wal.framing import HEADER_BYTES, SegmentKey

ID = bytes(range(1, 17))
KEY = SegmentKey(ID)
FOOTER = FooterAt(offset=500, whole=77, first_seq=1000, next_seq=1004, sealed_ns=5)


def test_the_footer_is_laid_out_as_documented() -> None:
    packed = pack_footer(KEY, FOOTER)
    mask = int.from_bytes(ID[:8], "little")
    assert len(packed) == FOOTER_BYTES == 44
    assert packed[:4] == b"\xf1LBf"
    assert struct.unpack_from("<I", packed, 4) == (crc32c(packed[8:], crc32c(ID)),)
    assert struct.unpack_from("<IQQQQ", packed, 8) == (77, 1000 ^ mask, 1004 ^ mask, 500, 5)


def test_a_footer_comes_back_where_it_stood_and_nowhere_else() -> None:
    data = bytes(500) + pack_footer(KEY, FOOTER)
    end = len(data)
    assert footer_at(data, 500, end, KEY) == FOOTER
    assert FOOTER.end == end
    assert footer_at(data[300:], 200, end - 300, KEY, base=300) == FOOTER
    assert footer_at(data[300:], 200, end - 300, KEY, base=299) is None
    assert footer_at(data, 500, end - 1, KEY) is None
    assert footer_at(data, 499, end, KEY) is None
    assert footer_at(data, -1, end, KEY) is None
    assert footer_at(data, 500, end, SegmentKey(bytes(16))) is None
    for bit in range(8 * FOOTER_BYTES):
        assert footer_at(flipped(data, 500 + bit // 8, bit % 8), 500, end, KEY) is None


@pytest.mark.parametrize(
    "footer",
    [
        pytest.param(FOOTER._replace(next_seq=999), id="ends before it begins"),
        pytest.param(FOOTER._replace(offset=HEADER_BYTES - 1), id="within the header"),
    ],
)
def test_a_footer_that_cannot_be_true_is_none(footer: FooterAt) -> None:
    data = bytes(footer.offset) + pack_footer(KEY, footer)
    assert footer_at(data, footer.offset, len(data), KEY) is None


def sealed(folder: Path) -> tuple[dict[str, bytes], str]:
    """Return the files of a closed stream, and the name of its one segment with frames."""
    stream = open_stream(folder)
    stream.append([new_frame("1"), new_frame("2")])
    stream.mark()
    stream.append([new_frame("3")])
    stream.close()
    files = snapshot(folder)
    name, _ = segments_of(files)
    return files, name


def test_the_footer_covers_every_byte_before_it(tmp_path: Path) -> None:
    files, name = sealed(tmp_path / "s")
    data = files[name]
    key = SegmentKey(bytes.fromhex(name[11:43]))
    found = footer_at(data, len(data) - FOOTER_BYTES, len(data), key)
    assert found is not None
    assert (found.first_seq, found.next_seq, found.end) == (1, 4, len(data))
    assert found.whole == crc32c(data[: found.offset])
    assert found.sealed_ns > 0


def test_a_footer_ends_a_segment_whose_follower_is_lost(tmp_path: Path) -> None:
    files, name = sealed(tmp_path / "s")
    data = files[name]
    restore(tmp_path / "s", {name: data})
    marked = list(scan_folder(RealDisk(), tmp_path / "s", NAME, is_marked_only=True))
    assert [item[1].seq for item in marked if isinstance(item, tuple)] == [1, 2, 3]
    # Damage is damage, however late it is: nothing in a sealed segment is a torn tail.
    last_frame = len(data) - FOOTER_BYTES - 5
    restore(tmp_path / "s", {name: flipped(data, last_frame)})
    (seen,) = damage_of(scan_folder(RealDisk(), tmp_path / "s", NAME))
    assert (seen.first_seq, seen.last_seq, seen.is_loss) == (3, 3, True)
    stream = open_stream(tmp_path / "s")
    assert stream.recovery.torn_bytes == 0
    assert stream.recovery.damage == (seen,)
    assert (stream.next_seq, labels_of(stream)) == (4, {1: "1", 2: "2"})
    stream.close()


def test_a_damaged_footer_loses_no_frame_and_is_reported(tmp_path: Path) -> None:
    files, name = sealed(tmp_path / "s")
    at = len(files[name]) - FOOTER_BYTES
    for offset in range(at, len(files[name])):
        restore(tmp_path / "s", files | {name: flipped(files[name], offset)})
        assert folder_labels(tmp_path / "s") == {1: "1", 2: "2", 3: "3"}
        (seen,) = damage_of(scan_folder(RealDisk(), tmp_path / "s", NAME))
        assert (seen.segment, seen.offset, seen.length) == (name, at, FOOTER_BYTES)
        assert (seen.first_seq, seen.last_seq, seen.is_loss) == (None, None, True)
