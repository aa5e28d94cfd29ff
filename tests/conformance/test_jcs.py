"""RFC 8785 against its author's vectors."""

import struct
from collections.abc import Callable

import pytest
from tests.support.vectors import folder

from fractal_lba.protocol import JCS_DEPTH_MAX, canonical, parse_json
from fractal_lba.protocol.canonical import _written


def test_every_input_has_the_bytes_of_its_output(
    vectors_ran: Callable[[str], None],
) -> None:
    vectors = folder("jcs")
    ran = 0
    for source in sorted((vectors / "input").iterdir()):
        value = parse_json(source.read_bytes(), depth_max=JCS_DEPTH_MAX)
        expected = (vectors / "output" / source.name).read_bytes()
        in_hex = (vectors / "outhex" / source.with_suffix(".txt").name).read_text("ascii")
        assert bytes.fromhex(in_hex) == expected
        assert canonical(value) == expected, source.name
        assert canonical(parse_json(expected, depth_max=JCS_DEPTH_MAX)) == expected
        ran += 1
    vectors_ran(f"JCS: {ran} documents")
    assert ran == 6


def test_every_number_has_its_ecmascript_text(vectors_ran: Callable[[str], None]) -> None:
    lines = (folder("jcs") / "es6testfile_10k.txt").read_text("ascii").splitlines()
    for line in lines:
        bits, expected = line.split(",")
        (value,) = struct.unpack(">d", bytes.fromhex(bits.zfill(16)))
        assert canonical(value).decode() == expected, bits
        assert _written(value, JCS_DEPTH_MAX) == expected, bits
        # Read back it is the same double, and as a member's value it has the same text.
        again = parse_json(expected.encode(), depth_max=JCS_DEPTH_MAX)
        assert again == value
        assert canonical([again]).decode() == f"[{expected}]"
    vectors_ran(f"JCS: {len(lines)} numbers")
    assert len(lines) == 10_000


@pytest.mark.parametrize("name", ["input", "output", "outhex"])
def test_no_document_is_left_out(name: str) -> None:
    assert len(list((folder("jcs") / name).iterdir())) == 6
