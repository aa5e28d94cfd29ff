import pytest
from hypothesis import given
from hypothesis import strategies as st

from fractal_lba.protocol.errors import CorruptionError
from fractal_lba.server.core.inbox_frame import (
    Received,
    decode_finished,
    decode_received,
    encode_finished,
    encode_received,
    says_refused,
)

_TEXT = st.text(max_size=40)


@given(
    st.builds(
        Received,
        route=_TEXT,
        content_encoding=_TEXT,
        identified_tenant=st.none() | _TEXT,
        tenant_header=st.none() | _TEXT,
    )
)
def test_what_is_said_of_a_body_comes_back(received: Received) -> None:
    assert decode_received(encode_received(received)) == received


@given(st.lists(st.integers(0, 2**64 - 1), max_size=50))
def test_the_numbers_of_a_mark_come_back(seqs: list[int]) -> None:
    for is_refused in (False, True):
        meta, payload = encode_finished(seqs, is_refused=is_refused)
        assert decode_received(meta) is None
        assert says_refused(meta) == is_refused
        assert list(decode_finished(payload)) == seqs


@pytest.mark.parametrize("meta", [b"", b"\x00", b"\x04", b"\x01", b"\x01\xc0", b"\x01\x93"])
def test_a_meta_block_of_another_program_is_corruption(meta: bytes) -> None:
    with pytest.raises(CorruptionError):
        decode_received(meta)


@pytest.mark.parametrize("length", [1, 7, 9, 63])
def test_a_mark_of_half_numbers_is_corruption(length: int) -> None:
    with pytest.raises(CorruptionError, match="multiple of 8"):
        decode_finished(bytes(length))
