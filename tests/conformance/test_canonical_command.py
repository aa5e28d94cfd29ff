"""``fractal-lba canonical`` and the plain oracle against the official RFC 8785 vectors."""

import json
import struct
from collections.abc import Callable

from tests.oracle.canonical_json import canonical_bytes, number
from tests.support.command_line import fractal_lba
from tests.support.vectors import folder


def test_the_command_and_the_oracle_write_every_document_as_the_vectors_say(
    vectors_ran: Callable[[str], None],
) -> None:
    vectors = folder("jcs")
    ran = 0
    for source in sorted((vectors / "input").iterdir()):
        expected = (vectors / "output" / source.name).read_bytes()
        ended = fractal_lba("canonical", stdin=source.read_bytes())
        assert (ended.code, ended.out, ended.err) == (0, expected, ""), source.name
        assert canonical_bytes(json.loads(source.read_bytes())) == expected, source.name
        ran += 1
    vectors_ran(f"JCS through fractal-lba canonical and the oracle: {ran} documents")
    assert ran == 6


def test_the_command_and_the_oracle_write_every_number_as_the_vectors_say(
    vectors_ran: Callable[[str], None],
) -> None:
    doubles, texts = [], []
    for line in (folder("jcs") / "es6testfile_10k.txt").read_text("ascii").splitlines():
        bits, text = line.split(",")
        (double,) = struct.unpack(">d", bytes.fromhex(bits.zfill(16)))
        doubles.append(double)
        texts.append(text)
    given = ", ".join(f"{double:.17e}" for double in doubles)
    ended = fractal_lba("canonical", stdin=f"[{given}]".encode())
    assert ended.out.decode() == f"[{','.join(texts)}]"
    assert [number(double) for double in doubles] == texts
    vectors_ran(f"JCS through fractal-lba canonical and the oracle: {len(texts)} numbers")
    assert len(texts) == 10_000
