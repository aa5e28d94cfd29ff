"""Signatures of version 0.1: a closed list of spellings, and nothing else.

Old agents did not agree on the bytes they signed. Every spelling in use is named here and tried in
this order::

    1  floats as Python's repr         HMAC over the bytes
    2                                  HMAC over their SHA-256
    3  floats as ECMAScript            HMAC over the bytes
    4                                  HMAC over their SHA-256

Ed25519 is tried over the SHA-256 of spelling 1, then over that of spelling 3. All are JSON of the
eight signed members, in the order of their bytes, without white space, and with everything beyond
ASCII escaped.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Final, assert_never

from fractal_lba.protocol.canonical import canonical
from fractal_lba.protocol.keyring import Alg, Key
from fractal_lba.protocol.legacy_record import LegacySigned
from fractal_lba.protocol.signing import verify_ed25519, verify_hmac

LEGACY_LABEL: Final = b"fractal-lba/legacy/1\n"


def spelled_as_python(signed: LegacySigned) -> bytes:
    """Return spelling 1: floats as ``repr`` writes them (``1.0``, ``5e-05``)."""
    return _spelled(signed, repr)


def spelled_as_ecmascript(signed: LegacySigned) -> bytes:
    """Return spelling 3: floats as ECMA-262 Number::toString writes them (``1``, ``0.00005``)."""
    return _spelled(signed, lambda number: canonical(number).decode())


def legacy_digest(signed: LegacySigned) -> str:
    """Return the record's one name, lower-case hex: its record digest and its content digest.

    One name for all spellings, so that a record signed again in another one is a repeat.
    """
    return hashlib.sha256(LEGACY_LABEL + spelled_as_python(signed)).hexdigest()


def verify_legacy(key: Key, signed: LegacySigned, signature: bytes) -> bool:
    """Return whether a signature is this key's, in one of the spellings of its algorithm."""
    match key.alg:
        case Alg.HMAC_SHA256:
            secret = key.secret
            return secret is not None and any(
                verify_hmac(secret, message, signature) for message in _hmac_messages(signed)
            )
        case Alg.ED25519:
            public = key.public
            return public is not None and any(
                verify_ed25519(public, message, signature) for message in _ed25519_messages(signed)
            )
        case _:
            assert_never(key.alg)


def _hmac_messages(signed: LegacySigned) -> Iterator[bytes]:
    for spell in (spelled_as_python, spelled_as_ecmascript):
        message = spell(signed)
        yield message
        yield hashlib.sha256(message).digest()


def _ed25519_messages(signed: LegacySigned) -> Iterator[bytes]:
    for spell in (spelled_as_python, spelled_as_ecmascript):
        yield hashlib.sha256(spell(signed)).digest()


def _spelled(signed: LegacySigned, number: Callable[[float], str]) -> bytes:
    members = {
        "D_hat": number(signed.d_hat),
        "budget": number(signed.budget),
        "coh_star": number(signed.coh_star),
        "epoch": str(signed.epoch),
        "merkle_root": json.dumps(signed.merkle_root),
        "pcs_id": json.dumps(signed.pcs_id),
        "r": number(signed.r),
        "shard_id": json.dumps(signed.shard_id),
    }
    return ("{" + ",".join(f'"{name}":{text}' for name, text in members.items()) + "}").encode()
