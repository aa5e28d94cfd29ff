"""Who signed a record: bytes and a keyring in, a record with its key and digests out.

Nothing is looked up, remembered or judged before this has passed, so that a forged record cannot
take the pcs_id of an honest one. A key's validity in time is judged where the time of receipt is
known, and only for what is not a repeat.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from msgspec.structs import replace

from fractal_lba.protocol import structure
from fractal_lba.protocol.canonical import JsonValue, with_member
from fractal_lba.protocol.document import read_document, require_version
from fractal_lba.protocol.errors import ContractError, Refusal, RefusalCode
from fractal_lba.protocol.identity import content_digest, record_digest, signing_input
from fractal_lba.protocol.keyring import Alg, Key, Keyring
from fractal_lba.protocol.legacy_record import LegacyRecord, legacy_signed_of
from fractal_lba.protocol.legacy_signing import legacy_digest, verify_legacy
from fractal_lba.protocol.reading import record_from_members
from fractal_lba.protocol.record import VERSION, Record, record_of
from fractal_lba.protocol.signing import (
    ED25519_SIGNATURE_BYTES,
    HMAC_SHA256_BYTES,
    sign_ed25519,
    sign_hmac,
    verify_ed25519,
    verify_hmac,
)
from fractal_lba.protocol.strict_base64 import encode_base64
from fractal_lba.protocol.versions import IN_FORCE, AnyRecord, parse_any_record

LEGACY_TENANT: Final = "default"
"""Whose keys a record of version 0.1 is tried with where its sender names no tenant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticated:
    """A record whose signature holds.

    Attributes:
        tenant: whose record it is: the tenant of the key.
        record_digest: SHA-256 of the signing input, hex.
        content_digest: SHA-256 of what it says of its window, hex; the record digest again for
            version 0.1.
    """

    record: AnyRecord
    key: Key
    tenant: str
    record_digest: str
    content_digest: str


def authenticate(
    body: bytes, keyring: Keyring, *, legacy_tenant: str | None = None
) -> Authenticated:
    """Return the record a body holds, with the key that verified it.

    Args:
        body: As sent.
        keyring: Whose keys are known.
        legacy_tenant: Whose legacy keys a record of version 0.1 is tried with, since it names
            none; anyone's word. None takes no record of that version.

    Raises:
        Refusal: As `parse_any_record`, then ``unknown_key``, ``signature_missing``,
            ``signature_invalid``, in this order.
    """
    record = parse_any_record(body, accepts_legacy=legacy_tenant is not None)
    match record:
        case Record():
            return _authenticated(record, keyring)
        case LegacyRecord():
            assert legacy_tenant is not None  # noqa: S101  # none would not have been parsed
            return _authenticated_legacy(record, keyring.legacy_keys(legacy_tenant))
        case _:
            assert_never(record)


def _authenticated(record: Record, keyring: Keyring) -> Authenticated:
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


def _authenticated_legacy(record: LegacyRecord, keys: Sequence[Key]) -> Authenticated:
    if not keys:
        message = "X-Tenant-Id: expected a tenant with a key for version 0.1, got another"
        raise Refusal(RefusalCode.UNKNOWN_KEY, "no_legacy_key", message)
    _require_signature(record.signature)
    if len(record.signature) not in {_SIGNATURE_BYTES[key.alg] for key in keys}:
        message = f"sig: expected the length of a key's, got {len(record.signature)} bytes"
        raise Refusal(RefusalCode.SIGNATURE_INVALID, "signature_length", message, member="sig")
    for key in keys:
        if verify_legacy(key, record.signed, record.signature):
            digest = legacy_digest(record.signed)
            return Authenticated(
                record=record,
                key=key,
                tenant=key.tenant,
                record_digest=digest,
                content_digest=digest,
            )
    raise _mismatch()


def verify_stored(data: bytes, kid: str, keyring: Keyring) -> Key:
    """Verify the signature of bytes that `stored_bytes_of` gave, and return its key.

    Args:
        data: What a ledger keeps of a record.
        kid: Of the key that verified it then; a record of version 0.1 does not name it.
        keyring: Whose keys are known.

    Raises:
        Refusal: As `authenticate`; ``unknown_key`` where the ring has no such key.
        ContractError: They are not such bytes.
    """
    document = read_document(data)
    if require_version(document, tuple(IN_FORCE)) == VERSION:
        return _authenticated(record_of(document), keyring).key
    signed = legacy_signed_of(document)
    key = keyring.key(kid)
    if key is None:
        message = "kid: expected a key of the ring, got another"
        raise Refusal(RefusalCode.UNKNOWN_KEY, "unknown_key", message, member="kid")
    if not verify_legacy(key, signed, structure.require_signature(document.get("sig"))):
        raise _mismatch()
    return key


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
    # Checked above but for the signature, which is made here: to read it all again is the same.
    return replace(
        record,
        members=with_member(record.members, "sig", encode_base64(signature)),
        signature=signature,
    )


_SIGNATURE_BYTES: Final = {
    Alg.HMAC_SHA256: HMAC_SHA256_BYTES,
    Alg.ED25519: ED25519_SIGNATURE_BYTES,
}


def _check_signature(signature: bytes, key: Key, signed: bytes) -> None:
    _require_signature(signature)
    length = _SIGNATURE_BYTES[key.alg]
    if len(signature) != length:
        message = f"sig: expected {length} bytes for this key, got {len(signature)}"
        raise Refusal(RefusalCode.SIGNATURE_INVALID, "signature_length", message, member="sig")
    match key.alg:
        case Alg.HMAC_SHA256:
            holds = key.secret is not None and verify_hmac(key.secret, signed, signature)
        case Alg.ED25519:
            holds = key.public is not None and verify_ed25519(key.public, signed, signature)
        case _:
            assert_never(key.alg)
    if not holds:
        raise _mismatch()


def _require_signature(signature: bytes) -> None:
    if not signature:
        message = "sig: expected one, got none"
        raise Refusal(RefusalCode.SIGNATURE_MISSING, "signature_missing", message, member="sig")


def _mismatch() -> Refusal:
    message = "sig: expected this key's signature of the record, got another"
    return Refusal(RefusalCode.SIGNATURE_INVALID, "signature_mismatch", message, member="sig")
