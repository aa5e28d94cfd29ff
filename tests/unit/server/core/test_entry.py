import struct

import pytest

from fractal_lba.protocol.errors import CorruptionError
from fractal_lba.server.core.entry import META, Conflict, Decision, decode_entry, encode_entry

DECISION = Decision(
    tenant="acme",
    family="1.x",
    pcs_id="0" * 64,
    record_digest="1" * 64,
    content_digest="2" * 64,
    kid="acme-1",
    params_version="1",
    region="local",
    status=200,
    answer=b'{"accepted":true}',
    record=b'{"epoch":1}',
)
CONFLICT = Conflict(
    tenant="acme",
    family="1.x",
    pcs_id="0" * 64,
    record_digest="3" * 64,
    content_digest="4" * 64,
    kid="acme-1",
    record=b'{"epoch":1}',
)


@pytest.mark.parametrize("entry", [DECISION, CONFLICT])
def test_an_entry_comes_back_as_it_was(entry: Decision | Conflict) -> None:
    assert decode_entry(META, encode_entry(entry)) == entry


def test_an_entry_of_a_newer_format_is_refused_with_its_version() -> None:
    with pytest.raises(CorruptionError, match="version 1, got 2"):
        decode_entry(struct.pack("<H", 2), encode_entry(DECISION))


@pytest.mark.parametrize("meta", [b"", b"\x01", b"\x01\x00\x00"])
def test_a_meta_block_that_is_no_version_is_refused(meta: bytes) -> None:
    with pytest.raises(CorruptionError, match="bytes"):
        decode_entry(meta, encode_entry(DECISION))


@pytest.mark.parametrize("payload", [b"", b"\xc0", b"\x81\xa4kind\xa5other", b"{}"])
def test_a_payload_that_is_no_entry_is_refused(payload: bytes) -> None:
    with pytest.raises(CorruptionError, match="a decision or a conflict"):
        decode_entry(META, payload)
