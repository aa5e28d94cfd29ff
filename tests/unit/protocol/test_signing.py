"""Signatures: the RFCs' own vectors, and the strict rule point by point."""

import pytest

from fractal_lba.protocol import (
    ContractError,
    ed25519_public,
    sign_ed25519,
    sign_hmac,
    verify_ed25519,
    verify_hmac,
)
from fractal_lba.protocol.signing import is_strict_point, is_strict_scalar

# RFC 4231, test cases 1, 2, 3 and 6: key, message, tag.
RFC4231 = [
    (
        b"\x0b" * 20,
        b"Hi There",
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
    ),
    (
        b"Jefe",
        b"what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    (
        b"\xaa" * 20,
        b"\xdd" * 50,
        "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
    ),
    (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
]

# RFC 8032 section 7.1: seed, public key, message, signature.
RFC8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
]

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
SIGN = 2**255


def encoded(y: int) -> bytes:
    return y.to_bytes(32, "little")


def small_order_encodings() -> list[bytes]:
    """Work out all encodings of small order from the curve itself."""
    d = -121665 * pow(121666, -1, P) % P
    # A point of order 8 doubles to one with y = 0, which x² = −y² gives: −y² − y² … of the curve
    # equation −x² + y² = 1 + d·x²·y² leaves d·y⁴ + 2·y² − 1 = 0.
    root = pow((1 + d) % P, (P + 3) // 8, P)
    if root * root % P != (1 + d) % P:
        root = root * pow(2, (P - 1) // 4, P) % P
    order_8 = set()
    for sign in (1, -1):
        square = (-1 + sign * root) * pow(d, -1, P) % P
        y = pow(square, (P + 3) // 8, P)
        for candidate in (y, y * pow(2, (P - 1) // 4, P) % P):
            if candidate * candidate % P == square:
                order_8 |= {candidate, P - candidate}
    ys = {0, 1, P - 1, *order_8}
    spellings = {y + k * P for y in ys for k in (0, 1) if y + k * P < SIGN}
    return [encoded(y + sign) for y in sorted(spellings) for sign in (0, SIGN)]


@pytest.mark.parametrize(("key", "message", "tag"), RFC4231)
def test_hmac_agrees_with_the_rfc(key: bytes, message: bytes, tag: str) -> None:
    assert sign_hmac(key, message).hex() == tag
    assert verify_hmac(key, message, bytes.fromhex(tag))


def test_hmac_compares_the_whole_tag() -> None:
    tag = sign_hmac(b"k" * 32, b"m")
    for bit in range(256):
        flipped = bytes(
            byte ^ (1 << bit % 8 if index == bit // 8 else 0) for index, byte in enumerate(tag)
        )
        assert not verify_hmac(b"k" * 32, b"m", flipped)
    for other in (b"", tag[:16], tag[:31], tag + b"\0"):
        assert not verify_hmac(b"k" * 32, b"m", other)


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC8032)
def test_ed25519_agrees_with_the_rfc(seed: str, public: str, message: str, signature: str) -> None:
    as_bytes = bytes.fromhex
    assert ed25519_public(as_bytes(seed)).hex() == public
    assert sign_ed25519(as_bytes(seed), as_bytes(message)).hex() == signature
    assert verify_ed25519(as_bytes(public), as_bytes(message), as_bytes(signature))
    assert not verify_ed25519(as_bytes(public), as_bytes(message) + b"\0", as_bytes(signature))


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_seed_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ContractError):
        ed25519_public(bytes(size))
    with pytest.raises(ContractError):
        sign_ed25519(bytes(size), b"")


def test_other_lengths_do_not_verify() -> None:
    _, public, _, signature = map(bytes.fromhex, RFC8032[0])
    assert not verify_ed25519(public[:31], b"", signature)
    assert not verify_ed25519(public + b"\0", b"", signature)
    assert not verify_ed25519(public, b"", signature[:63])
    assert not verify_ed25519(public, b"", signature + b"\0")
    assert not verify_ed25519(public, b"", b"")


def test_the_same_signature_with_s_plus_l_does_not_verify() -> None:
    _, public, _, signature = map(bytes.fromhex, RFC8032[0])
    s = int.from_bytes(signature[32:], "little")
    assert not verify_ed25519(public, b"", signature[:32] + encoded(s + L))


def test_a_scalar_is_strict_below_the_order_of_the_group() -> None:
    assert is_strict_scalar(encoded(0))
    assert is_strict_scalar(encoded(L - 1))
    assert not is_strict_scalar(encoded(L))
    assert not is_strict_scalar(b"\xff" * 32)


def test_there_are_fourteen_encodings_of_small_order_and_none_is_strict() -> None:
    encodings = small_order_encodings()
    assert len(set(encodings)) == 14
    assert not any(is_strict_point(encoding) for encoding in encodings)


@pytest.mark.parametrize("y", range(P, 2**255))
def test_no_y_from_p_on_is_strict(y: int) -> None:
    assert not is_strict_point(encoded(y))
    assert not is_strict_point(encoded(y + SIGN))


def test_neighbours_of_the_refused_ones_are_strict() -> None:
    for y in (2, P - 2, P // 2):
        assert is_strict_point(encoded(y))
        assert is_strict_point(encoded(y + SIGN))


def test_a_small_order_key_verifies_nothing() -> None:
    # With A of small order, R = S·B − k·A has few values: an honest-looking R can be found.
    for public in small_order_encodings():
        for message in (b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7"):
            assert not verify_ed25519(public, message, encoded(1) + bytes(32))
