"""Signatures: HMAC-SHA256 with the full tag, and Ed25519 under one strict rule.

RFC 8032 leaves a verifier room, and libraries use it differently: the same signature then holds
in one language and fails in another. The rule here leaves none. A signature is refused when its
scalar is not reduced (S ≥ L), when the key or R is not encoded canonically (y ≥ p), or when either
is a point of small order; what is left is the cofactorless equation, which libsodium checks.
"""

import hashlib
import hmac
from typing import Final

from nacl import bindings
from nacl.exceptions import BadSignatureError

from fractal_lba.protocol.errors import ContractError

HMAC_SHA256_BYTES: Final = 32
ED25519_SIGNATURE_BYTES: Final = 64
ED25519_PUBLIC_BYTES: Final = 32
ED25519_SEED_BYTES: Final = 32

_FIELD_PRIME: Final = 2**255 - 19
_GROUP_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_SIGN_BIT: Final = 2**255
# The y of the points of order 1, 2, 4 and 8; with the sign bit and the spellings y + p that fit in
# 255 bits these are the 14 encodings of small order.
_ORDER_8_Y: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER_Y: Final = frozenset({0, 1, _FIELD_PRIME - 1, _ORDER_8_Y, _FIELD_PRIME - _ORDER_8_Y})


def sign_hmac(secret: bytes, message: bytes) -> bytes:
    """Return the 32-byte HMAC-SHA256 tag of a message (RFC 2104)."""
    return hmac.digest(secret, message, hashlib.sha256)


def verify_hmac(secret: bytes, message: bytes, tag: bytes) -> bool:
    """Return whether the whole 32-byte tag is the message's, compared in constant time."""
    return hmac.compare_digest(sign_hmac(secret, message), tag)


def sign_ed25519(seed: bytes, message: bytes) -> bytes:
    """Return the 64-byte Ed25519 signature of a message (RFC 8032 section 5.1.6, no pre-hash).

    Raises:
        ContractError: The seed is not 32 bytes long.
    """
    _, secret = _key_pair(seed)
    return bindings.crypto_sign(message, secret)[:ED25519_SIGNATURE_BYTES]


def verify_ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    """Return whether a signature holds under the strict rule of this module."""
    if len(public) != ED25519_PUBLIC_BYTES or len(signature) != ED25519_SIGNATURE_BYTES:
        return False
    r, s = signature[:32], signature[32:]
    if not (is_strict_scalar(s) and is_strict_point(r) and is_strict_point(public)):
        return False
    try:
        bindings.crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True


def ed25519_public(seed: bytes) -> bytes:
    """Return the 32-byte public key of a 32-byte seed (RFC 8032 section 5.1.5).

    Raises:
        ContractError: The seed is not 32 bytes long.
    """
    public, _ = _key_pair(seed)
    return public


def is_strict_scalar(encoding: bytes) -> bool:
    """Return whether 32 bytes are a reduced scalar (S < L)."""
    return int.from_bytes(encoding, "little") < _GROUP_ORDER


def is_strict_point(encoding: bytes) -> bool:
    """Return whether 32 bytes are canonical (y < p) and of none of the small-order points.

    Bytes that name no point at all pass here and fail in the equation.
    """
    y = int.from_bytes(encoding, "little") & (_SIGN_BIT - 1)
    return y < _FIELD_PRIME and y not in _SMALL_ORDER_Y


def _key_pair(seed: bytes) -> tuple[bytes, bytes]:
    if len(seed) != ED25519_SEED_BYTES:
        raise ContractError(f"Ed25519 seed: expected {ED25519_SEED_BYTES} bytes, got {len(seed)}")
    return bindings.crypto_sign_seed_keypair(seed)
