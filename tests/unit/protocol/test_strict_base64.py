"""Base64 with one spelling for each byte string."""

import pytest

from fractal_lba.protocol import ContractError, decode_base64, encode_base64


@pytest.mark.parametrize("size", range(8))
def test_decoding_is_the_inverse_of_encoding(size: int) -> None:
    data = bytes(range(250, 250 - size, -1))
    assert decode_base64(encode_base64(data)) == data


REFUSED = {
    "pad bits that are not zero": "AB==",
    "pad bits that are not zero, one byte more": "AAB=",
    "no padding": "AA",
    "half the padding": "AA=",
    "padding too much": "AAAA====",
    "padding alone": "=",
    "data behind the padding": "AA==AAAA",
    "the URL alphabet": "-_-_",
    "a line end": "AAAA\n",
    "a line end inside": "AAAA\nAAAA",
    "a space": " AAAA",
    "one character": "A",
    "other characters": "AA*A",
    "letters of another script": "\u0410AAA",
}


@pytest.mark.parametrize("case", REFUSED)
def test_any_other_spelling_is_refused(case: str) -> None:
    with pytest.raises(ContractError) as caught:
        decode_base64(REFUSED[case])
    assert REFUSED[case] not in str(caught.value)
    assert caught.value.__context__ is None
