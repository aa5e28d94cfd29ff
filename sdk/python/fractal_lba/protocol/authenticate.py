"""Who signed a record: bytes and a keyring in, a record with its key and digests out.

Nothing is looked up, remembered or judged before this has passed, so that a forged record cannot
take the pcs_id of an honest one. A key's validity in time is judged where the time of receipt is
known, and only for what is not a repeat.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from fractal_lba.protocol.canonical import JsonValue
from fractal_lba.protocol.errors import ContractError, Refusal, RefusalCode
from fractal_lba.protocol.identity import content_digest, record_digest, signing_input
from fractal_lba.protocol.keyring import Alg, Key, Keyring
from fractal_lba.protocol.record import Record, parse_record, record_from_members
from fractal_lba.protocol.signing import (
    ED25519_SIGNATURE_BYTES,
    HMAC_SHA256_BYTES,
    sign_ed25519,
    sign_hmac,
    verify_ed25519,
    verify_hmac,
)
from fractal_lba.protocol.strict_base64 import encode_base64


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticated:
    """A record whose signature holds.

    Attributes:
        tenant: whose record it is: the tenant of the key.
        record_digest: SHA-256 of the signing input, hex.
        content_digest: SHA-256 of what it says of its window, hex.
    """

    record: Record
    key: Key
    tenant: str
    record_digest: str
    content_digest: str


def authenticate(body: bytes, keyring: Keyring) -> Authenticated:
    """Return the record a body holds, with the key that verified it.

    Raises:
        Refusal: As `parse_record`, then ``unknown_key``, ``signature_missing``,
            ``signature_invalid``, in this order.
    """
    record = parse_record(body)
    key = keyring.key(record.kid)
    if key is None:
        message = "kid: expected a key of the ring, got another"
        raise Refusal(RefusalCode.UNKNOWN_KEY, "unknown_key", message, member="kid")
    if key.is_short:
        message = "kid: expected a key of at least 32 bytes, got one for version 0.1 only"
        raise Refusal(RefusalCode.UNKNOWN_KEY, "short_key", message, member="kid")
    signed = signing_input(record.members)
    _check_signature(record.signature, key, signed)
    return Authenticated(
        record=record,
        key=key,
        tenant=key.tenant,
        record_digest=record_digest(signed),
        content_digest=content_digest(record.members),
    )


def sign_record(members: Mapping[str, JsonValue], key: Key) -> Record:
    """Return the record with these members, its ``kid`` and ``sig`` being this key's.

    Raises:
        Refusal: The members break a rule of the record; nothing was signed.
        ContractError: The key has no secret, or a value has no JSON form.
    """
    if key.secret is None:
        raise ContractError(f'key "{key.kid}": expected a secret to sign with, got none')
    if key.is_short:
        raise ContractError(f'key "{key.kid}": expected at least 32 bytes, got a shorter secret')
    unsigned = {name: value for name, value in members.items() if name != "sig"}
    record = record_from_members({**unsigned, "kid": key.kid})
    message = signing_input(record.members)
    match key.alg:
        case Alg.HMAC_SHA256:
            signature = sign_hmac(key.secret, message)
        case Alg.ED25519:
            signature = sign_ed25519(key.secret, message)
        case _:
            assert_never(key.alg)
    return record_from_members({**record.members, "sig": encode_base64(signature)})


def _check_signature(signature: bytes, key: Key, signed: bytes) -> None:
    if not signature:
        message = "sig: expected one, got none"
        raise Refusal(RefusalCode.SIGNATURE_MISSING, "signature_missing", message, member="sig")
    match key.alg:
        case Alg.HMAC_SHA256:
            length = HMAC_SHA256_BYTES
            holds = key.secret is not None and verify_hmac(key.secret, signed, signature)
        case Alg.ED25519:
            length = ED25519_SIGNATURE_BYTES
            holds = key.public is not None and verify_ed25519(key.public, signed, signature)
        case _:
            assert_never(key.alg)
    if len(signature) != length:
        message = f"sig: expected {length} bytes for this key, got {len(signature)}"
        raise Refusal(RefusalCode.SIGNATURE_INVALID, "signature_length", message, member="sig")
    if not holds:
        message = "sig: expected this key's signature of the record, got another"
        raise Refusal(RefusalCode.SIGNATURE_INVALID, "signature_mismatch", message, member="sig")
