import struct

import pytest

from fractal_lba.protocol.errors import ContractError, CorruptionError
from fractal_lba.server.core.entry import (
    ENTRY_VERSION,
    META,
    Conflict,
    Decision,
    Entry,
    Resolution,
    decode_entry,
    encode_entry,
    require_readable,
    version_of,
)
from fractal_lba.server.core.forgetting import Forgotten

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


RESOLUTION = Resolution(
    tenant="acme", family="1.x", pcs_id="0" * 64, note="a loose cable", who="token:0123456789abcdef"
)
META_1 = struct.pack("<H", 1)


@pytest.mark.parametrize("entry", [DECISION, CONFLICT, RESOLUTION])
def test_an_entry_comes_back_as_it_was(entry: Entry) -> None:
    assert decode_entry(META, encode_entry(entry)) == entry


@pytest.mark.parametrize("entry", [DECISION, CONFLICT])
def test_an_entry_of_version_1_is_read(entry: Entry) -> None:
    assert decode_entry(META_1, encode_entry(entry)) == entry


def test_version_1_has_no_resolutions() -> None:
    with pytest.raises(CorruptionError, match="no resolution or mark in version 1"):
        decode_entry(META_1, encode_entry(RESOLUTION))


def test_an_entry_of_a_newer_format_is_refused_with_the_release_that_reads_it() -> None:
    with pytest.raises(CorruptionError, match=r"version 1 or 2, got 3, which release 4\.1"):
        decode_entry(struct.pack("<HBB", 3, 4, 1), encode_entry(DECISION))
    with pytest.raises(CorruptionError, match="version 1 or 2, got 3"):
        decode_entry(struct.pack("<HBBQ", 3, 4, 1, 7), b"")


@pytest.mark.parametrize("meta", [b"", b"\x01", b"\x02\x00", b"\x01\x00\x00"])
def test_a_meta_block_that_is_no_version_is_refused(meta: bytes) -> None:
    with pytest.raises(CorruptionError, match="bytes"):
        decode_entry(meta, encode_entry(DECISION))


@pytest.mark.parametrize("payload", [b"", b"\xc0", b"\x81\xa4kind\xa5other", b"{}"])
def test_a_payload_that_is_no_entry_is_refused(payload: bytes) -> None:
    with pytest.raises(CorruptionError, match="a decision, a conflict, a resolution or a mark"):
        decode_entry(META, payload)


def test_a_frame_is_readable_before_it_is_read() -> None:
    for meta in (META_1, META):
        require_readable(meta)
    assert (version_of(META_1), version_of(META)) == (1, ENTRY_VERSION)
    with pytest.raises(ContractError, match=r"got 3, which release 4\.1"):
        require_readable(struct.pack("<HBB", 3, 4, 1))


def test_a_mark_is_no_entry_about_a_record() -> None:
    with pytest.raises(CorruptionError, match="expected one about a record, got a mark"):
        decode_entry(META, encode_entry(Forgotten(as_of_ms=1)))
