"""Keyrings and the keys in them: what is refused, and who signed a record."""

import base64
import binascii
import hashlib
import hmac
from typing import Any

from tests.oracle.ed25519 import P, decode, is_small, public_key, verify
from tests.oracle.record_rules import (
    NAME_CHARACTERS,
    Members,
    document_of,
    record_of,
    signature_bytes,
    timestamp,
)
from tests.oracle.records import signing_input
from tests.oracle.refusal import Refused
from tests.oracle.strict_json import parse

ALGORITHMS = ("hmac-sha256", "ed25519")
SCOPES = ("submit", "read", "operate")
KEY_MEMBERS = ("kid", "tenant", "alg", "legacy", "public", "secret", "not_before", "not_after")


class RingRefused(Exception):  # noqa: N818 - the domain's word for it
    """A ring that is not taken over: the entry, and the member where there is one."""

    def __init__(self, entry: str, member: str | None = None) -> None:
        super().__init__(f"{entry} {member}")
        self.entry = entry
        self.member = member


def ring_of(data: bytes) -> dict[str, Any]:
    """Return the keys, with secrets and public keys as bytes, tokens and certificates."""
    try:
        top = parse(data, 8)
    except Refused:
        raise RingRefused("keyring") from None
    require(isinstance(top, dict), "keyring", None)
    assert isinstance(top, dict)
    require(isinstance(top.get("keys"), list), "keyring", "keys")
    require(set(top) <= {"keys", "tokens", "certificates"}, "keyring", None)
    keys: list[Members] = []
    for place, entry in enumerate(top["keys"]):
        key = key_of(entry, f"keys[{place}]")
        require(all(key["kid"] != other["kid"] for other in keys), f"keys[{place}]", "kid")
        old = [other for other in keys if other["legacy"] and other["tenant"] == key["tenant"]]
        require(not key["legacy"] or len(old) < 8, f"keys[{place}]", "legacy")
        keys.append(key)
    tokens, certificates = identities(top, "tokens"), identities(top, "certificates")
    return {"keys": keys, "tokens": tokens, "certificates": certificates}


def identities(top: dict[str, Any], name: str) -> list[Members]:
    require(isinstance(top.get(name, []), list), "keyring", name)
    found: list[Members] = []
    for place, entry in enumerate(top.get(name, [])):
        identity = identity_of(entry, f"{name}[{place}]")
        seen = [other["sha256"] for other in found]
        require(identity["sha256"] not in seen, f"{name}[{place}]", "sha256")
        found.append(identity)
    return found


def require(holds: bool, entry: str, member: str | None) -> None:  # noqa: FBT001 - the claim
    if not holds:
        raise RingRefused(entry, member)


def key_of(entry: object, where: str) -> Members:
    require(isinstance(entry, dict), where, None)
    assert isinstance(entry, dict)
    require(is_name(entry.get("kid")), where, "kid")
    require(is_name(entry.get("tenant")), where, "tenant")
    require(entry.get("alg") in ALGORITHMS, where, "alg")
    legacy = entry.get("legacy", False)
    require(isinstance(legacy, bool), where, "legacy")
    public = bytes_of(entry, "public", where)
    secret = bytes_of(entry, "secret", where)
    bounds = [bound_of(entry, name, where) for name in ("not_before", "not_after")]
    require(set(entry) <= set(KEY_MEMBERS), where, None)
    # Timestamps of one spelling compare as texts.
    require(None in bounds or str(bounds[0]) <= str(bounds[1]), where, "not_after")
    if entry["alg"] == "hmac-sha256":
        require(public is None, where, "public")
        require(secret is not None, where, "secret")
        assert secret is not None
        require(len(secret) >= (1 if legacy else 32), where, "secret")
    else:
        public = checked_public(public, secret, where)
    return {
        "kid": entry["kid"],
        "tenant": entry["tenant"],
        "alg": entry["alg"],
        "legacy": legacy,
        "public": public,
        "secret": secret,
        "not_before": bounds[0],
        "not_after": bounds[1],
    }


def checked_public(public: bytes | None, secret: bytes | None, where: str) -> bytes:
    if secret is not None:
        require(len(secret) == 32, where, "secret")
        derived = public_key(secret)
        require(public in (None, derived), where, "public")
        return derived
    require(public is not None and len(public) == 32, where, "public")
    assert public is not None
    y = int.from_bytes(public, "little") % 2**255
    require(y < P, where, "public")
    point = decode(public)
    # With x = 0 and the sign set there is no point; y says that it would be of small order.
    small = y in (1, P - 1) or (point is not None and is_small(point))
    require(not small, where, "public")
    return public


def is_name(value: object) -> bool:
    if not isinstance(value, str) or not 1 <= len(value) <= 64:
        return False
    return all(letter in NAME_CHARACTERS for letter in value)


def bytes_of(entry: Members, name: str, where: str) -> bytes | None:
    if name not in entry:
        return None
    text = entry[name]
    if not isinstance(text, str) or not text.startswith("base64:"):
        raise RingRefused(where, name)
    encoded = text.removeprefix("base64:")
    try:
        data = binascii.a2b_base64(encoded.encode("ascii"))
    except (UnicodeEncodeError, binascii.Error):
        raise RingRefused(where, name) from None
    require(base64.b64encode(data).decode("ascii") == encoded, where, name)
    return data


def bound_of(entry: Members, name: str, where: str) -> str | None:
    value = entry.get(name)
    if value is None:
        return None
    try:
        timestamp(value, name)
    except Refused:
        raise RingRefused(where, name) from None
    return str(value)


def identity_of(entry: object, where: str) -> Members:
    require(isinstance(entry, dict), where, None)
    assert isinstance(entry, dict)
    require(is_name(entry.get("tenant")), where, "tenant")
    digest = entry.get("sha256")
    hexadecimal = isinstance(digest, str) and len(digest) == 64
    require(hexadecimal and set(str(digest)) <= set("0123456789abcdef"), where, "sha256")
    scopes = entry.get("scopes")
    require(isinstance(scopes, list), where, "scopes")
    assert isinstance(scopes, list)
    for place, scope in enumerate(scopes):
        require(scope in SCOPES and scope not in scopes[:place], where, "scopes")
    require(set(entry) <= {"tenant", "sha256", "scopes"}, where, None)
    return {"tenant": entry["tenant"], "sha256": digest, "scopes": sorted(scopes)}


def authenticated(body: bytes, ring: Members, received_at: str) -> tuple[Members, Members]:
    """Return the record of version 1.0 and the key that verified it; 0.1 is switched off."""
    if document_of(body).get("version") == "0.1":
        raise Refused("unsupported_version", "legacy_switched_off", "version")
    record = record_of(body)
    keys: Any = ring["keys"]
    named = [key for key in keys if key["kid"] == record["kid"]]
    if not named:
        raise Refused("unknown_key", "unknown_key", "kid")
    key: Members = named[0]
    secret, public = key["secret"], key["public"]
    is_hmac = key["alg"] == "hmac-sha256"
    if is_hmac and isinstance(secret, bytes) and len(secret) < 32:
        raise Refused("unknown_key", "short_key", "kid")
    signature = signature_bytes(str(record.get("sig", "")))
    if signature == b"":
        raise Refused("signature_missing", "signature_missing", "sig")
    if len(signature) != (32 if is_hmac else 64):
        raise Refused("signature_invalid", "signature_length", "sig")
    message = signing_input(record)
    if isinstance(public, bytes):
        holds = verify(public, message, signature)
    else:
        assert isinstance(secret, bytes)
        holds = hmac.new(secret, message, hashlib.sha256).digest() == signature
    if not holds:
        raise Refused("signature_invalid", "signature_mismatch", "sig")
    first, last = key["not_before"] or received_at, key["not_after"] or received_at
    if not str(first) <= received_at <= str(last):
        raise Refused("key_not_valid_now", "key_not_valid_now", "kid")
    return record, key
