"""Keyrings: every rule of an entry, secrets that stay hidden, and tokens."""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import pytest

from fractal_lba.protocol import (
    Alg,
    Key,
    Keyring,
    KeyringError,
    Scope,
    ed25519_public,
    parse_keyring,
)

Resolve: TypeAlias = Callable[[str], bytes]

SECRET = b"hunter2-hunter2-hunter2-hunter2-"
SEED = bytes(range(32))
PUBLIC = ed25519_public(SEED)


def b64(data: bytes) -> str:
    return "base64:" + base64.b64encode(data).decode()


HMAC: dict[str, Any] = {
    "kid": "lab-1",
    "tenant": "lab",
    "alg": "hmac-sha256",
    "secret": b64(SECRET),
}
ED25519: dict[str, Any] = {
    "kid": "acme-1",
    "tenant": "acme",
    "alg": "ed25519",
    "public": b64(PUBLIC),
}
TOKEN: dict[str, Any] = {
    "tenant": "acme",
    "sha256": hashlib.sha256(b"open sesame").hexdigest(),
    "scopes": ["submit", "read"],
}


def nothing_to_resolve(reference: str) -> bytes:
    raise AssertionError(reference)


def ring(
    *keys: object, tokens: Sequence[object] = (), resolve: Resolve = nothing_to_resolve
) -> Keyring:
    document = {"keys": list(keys), "tokens": list(tokens)}
    return parse_keyring(json.dumps(document).encode(), resolve)


def only(entry: dict[str, Any], **changes: object) -> Key:
    kept = {name: value for name, value in {**entry, **changes}.items() if value is not ...}
    (key,) = ring(kept).keys.values()
    return key


def why(*keys: object, tokens: Sequence[object] = (), resolve: Resolve = nothing_to_resolve) -> str:
    with pytest.raises(KeyringError) as caught:
        ring(*keys, tokens=tokens, resolve=resolve)
    return str(caught.value)


def test_a_ring_holds_its_keys_by_name() -> None:
    held = ring(HMAC, ED25519)
    assert held.key("lab-1") == Key(
        kid="lab-1",
        tenant="lab",
        alg=Alg.HMAC_SHA256,
        public=None,
        secret=SECRET,
        not_before_ms=None,
        not_after_ms=None,
        legacy=False,
    )
    assert held.key("acme-1") == Key(
        kid="acme-1",
        tenant="acme",
        alg=Alg.ED25519,
        public=PUBLIC,
        secret=None,
        not_before_ms=None,
        not_after_ms=None,
        legacy=False,
    )
    assert held.key("other") is None
    assert list(held.keys) == ["lab-1", "acme-1"]


def test_tokens_may_be_absent_and_a_ring_may_be_empty() -> None:
    held = parse_keyring(b'{"keys":[]}', nothing_to_resolve)
    assert not held.keys
    assert held.token("open sesame") is None


WRONG: list[tuple[dict[str, Any], dict[str, object], str]] = [
    (HMAC, {"kid": ...}, "keys[0] kid: expected a string, got nothing"),
    (HMAC, {"kid": 1}, "keys[0] kid: expected a string, got another type"),
    (HMAC, {"kid": "a b"}, "keys[0] kid: expected a match of "),
    (HMAC, {"kid": "k" * 65}, "keys[0] kid: expected a match of "),
    (HMAC, {"tenant": ...}, 'keys[0] kid "lab-1" tenant: expected a string, got nothing'),
    (HMAC, {"tenant": ""}, 'keys[0] kid "lab-1" tenant: expected a match of '),
    (HMAC, {"tenant": "a/b"}, 'keys[0] kid "lab-1" tenant: expected a match of '),
    (HMAC, {"alg": ...}, 'keys[0] kid "lab-1" alg: expected a string, got nothing'),
    (HMAC, {"alg": "none"}, 'keys[0] kid "lab-1" alg: expected hmac-sha256 or ed25519'),
    (HMAC, {"alg": "HMAC-SHA256"}, 'keys[0] kid "lab-1" alg: expected hmac-sha256 or ed25519'),
    (HMAC, {"secret": ...}, 'kid "lab-1" secret: expected one for hmac-sha256, got none'),
    (HMAC, {"secret": None}, 'kid "lab-1" secret: expected a string, got another type'),
    (HMAC, {"secret": b64(SECRET[:31])}, 'kid "lab-1" secret: expected at least 32 bytes, got 31'),
    (HMAC, {"secret": "base64:"}, "secret: expected at least 32 bytes, got 0"),
    (HMAC, {"secret": "base64:", "legacy": True}, "secret: expected at least 1 bytes, got 0"),
    (HMAC, {"secret": "base64:AA"}, "secret: expected standard base64 with padding"),
    (HMAC, {"secret": "base64: " + "A" * 44}, "secret: expected standard base64 with padding"),
    (HMAC, {"secret": "hunter2" * 8}, "secret: expected base64:…, env:NAME or file:PATH"),
    (HMAC, {"secret": "BASE64:" + "A" * 44}, "secret: expected base64:…, env:NAME or file:PATH"),
    (HMAC, {"public": b64(PUBLIC)}, "public: expected none for hmac-sha256, got one"),
    (HMAC, {"legacy": 1}, "legacy: expected true or false, got another type"),
    (HMAC, {"legacy": None}, "legacy: expected true or false, got another type"),
    (HMAC, {"not_before": "2026-01-01"}, "not_before: expected YYYY-MM-DDTHH:MM:SS.mmmZ or null"),
    (HMAC, {"not_after": 1}, "not_after: expected a string, got another type"),
    (
        HMAC,
        {"not_before": "2026-01-01T00:00:00.001Z", "not_after": "2026-01-01T00:00:00.000Z"},
        "not_after: expected a time from not_before on, got an earlier one",
    ),
    (HMAC, {"sekret": "x"}, 'keys[0] kid "lab-1": expected known members, got 1 unknown'),
    (ED25519, {"public": ...}, "public: expected a public key or a secret for ed25519"),
    (ED25519, {"public": b64(PUBLIC[:31])}, "public: expected 32 bytes, got 31"),
    (ED25519, {"public": "file:/x"}, "public: expected base64:…, got another text"),
    (ED25519, {"public": "base64:?"}, "public: expected standard base64 with padding"),
    (ED25519, {"public": None}, "public: expected a string, got another type"),
    (ED25519, {"secret": b64(SEED + SEED)}, "secret: expected a seed of 32 bytes, got 64"),
    (
        ED25519,
        {"secret": b64(SECRET)},
        "public: expected the public key of the secret, got another",
    ),
]


@pytest.mark.parametrize(("entry", "changes", "message"), WRONG)
def test_a_wrong_entry_is_refused_by_entry_and_member(
    entry: dict[str, Any], changes: dict[str, object], message: str
) -> None:
    kept = {name: value for name, value in {**entry, **changes}.items() if value is not ...}
    found = why(kept)
    assert message in found
    assert "hunter2" not in found


SMALL_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


@pytest.mark.parametrize("sign", [0, 0x80])
@pytest.mark.parametrize("encoding", SMALL_ORDER)
def test_a_public_key_of_small_order_is_refused(encoding: str, sign: int) -> None:
    public = bytearray.fromhex(encoding)
    public[31] |= sign
    message = "public: expected a canonical point of large order, got another"
    assert message in why({**ED25519, "public": b64(bytes(public))})


def test_a_public_key_that_is_not_canonical_is_refused() -> None:
    public = (2**255 - 19 + 3).to_bytes(32, "little")
    assert "canonical point" in why({**ED25519, "public": b64(public)})


def test_a_seed_alone_gives_its_public_key() -> None:
    key = only(ED25519, public=..., secret=b64(SEED))
    assert (key.public, key.secret) == (PUBLIC, SEED)
    assert only(ED25519, secret=b64(SEED)) == key


def test_a_kid_twice_is_refused() -> None:
    message = 'keys[2] kid: expected each once, got "lab-1" again'
    assert why(HMAC, ED25519, {**HMAC, "tenant": "other"}) == message


def test_only_a_legacy_key_may_be_short() -> None:
    key = only(HMAC, secret=b64(b"k"), legacy=True)
    assert key.is_short
    assert key.legacy
    assert not only(HMAC).is_short
    assert not only(ED25519, legacy=True).is_short


def test_a_key_is_valid_from_its_first_millisecond_to_its_last() -> None:
    key = only(HMAC, not_before="2026-01-01T00:00:00.000Z", not_after="2026-01-01T00:00:00.002Z")
    start = 1_767_225_600_000
    assert [key.is_valid_at(start + ms) for ms in range(-1, 4)] == [False, True, True, True, False]


def test_a_bound_that_is_null_or_absent_does_not_bind() -> None:
    ages = (0, 253_402_300_799_999)
    assert all(only(HMAC, not_before=None, not_after=None).is_valid_at(ms) for ms in ages)
    assert all(only(HMAC).is_valid_at(ms) for ms in ages)
    assert only(HMAC, not_after="2026-01-01T00:00:00.000Z").is_valid_at(0)
    assert only(HMAC, not_before="2026-01-01T00:00:00.000Z").is_valid_at(ages[1])


RESOLVED: dict[str, tuple[bytes, bytes]] = {
    "bytes as they are": (SECRET, SECRET),
    "a line end is part of them": (SECRET + b"\n", SECRET + b"\n"),
    "any bytes": (bytes(range(128, 168)), bytes(range(128, 168))),
    "base64": (b64(SECRET).encode(), SECRET),
    "base64 and a line end": (b64(SECRET).encode() + b"\n", SECRET),
    "base64 and a DOS line end": (b64(SECRET).encode() + b"\r\n", SECRET),
}


@pytest.mark.parametrize("reference", ["env:LAB_1", "file:/run/secrets/lab-1"])
@pytest.mark.parametrize("case", RESOLVED)
def test_a_reference_is_resolved(case: str, reference: str) -> None:
    found, secret = RESOLVED[case]
    asked = []

    def resolve(text: str) -> bytes:
        asked.append(text)
        return found

    assert ring({**HMAC, "secret": reference}, resolve=resolve).keys["lab-1"].secret == secret
    assert asked == [reference]


@pytest.mark.parametrize(
    "found", [b"base64:" + b"\xff" * 44, b64(SECRET).encode() + b"\n\n", b"base64:hunter2"]
)
def test_what_a_reference_holds_is_checked_and_not_shown(found: bytes) -> None:
    message = why({**HMAC, "secret": "env:LAB_1"}, resolve=lambda _: found)
    assert message.startswith('keys[0] kid "lab-1" secret: expected ')
    assert "hunter2" not in message


def test_a_reference_that_leads_nowhere_is_refused_by_entry() -> None:
    def resolve(_: str) -> bytes:
        raise KeyringError("expected a file to read, got No such file or directory")

    expected = 'keys[0] kid "lab-1" secret: expected a file to read, got No such file or directory'
    assert why({**HMAC, "secret": "file:hunter2"}, resolve=resolve) == expected


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"", "keyring: expected strict JSON, got syntax"),
        (b'{"keys":[],"keys":[]}', "keyring: expected strict JSON, got duplicate_member"),
        (b"\xef\xbb\xbf{}", "keyring: expected strict JSON, got byte_order_mark"),
        (b"[]", "keyring: expected an object, got another value"),
        (b"{}", "keyring keys: expected an array, got nothing"),
        (b'{"keys":{}}', "keyring keys: expected an array, got another type"),
        (b'{"keys":[],"tokens":null}', "keyring tokens: expected an array, got another type"),
        (b'{"keys":[],"hunter2":1}', "keyring: expected known members, got 1 unknown"),
        (b'{"keys":["hunter2"]}', "keys[0]: expected an object, got another value"),
        (b'{"keys":[],"tokens":[1]}', "tokens[0]: expected an object, got another value"),
    ],
)
def test_a_document_of_another_shape_is_refused(document: bytes, message: str) -> None:
    with pytest.raises(KeyringError) as caught:
        parse_keyring(document, nothing_to_resolve)
    assert str(caught.value) == message


WRONG_TOKENS: list[tuple[dict[str, object], str]] = [
    ({"tenant": ...}, "tokens[0] tenant: expected a string, got nothing"),
    ({"tenant": "a b"}, "tokens[0] tenant: expected a match of "),
    ({"sha256": ...}, "tokens[0] sha256: expected a string, got nothing"),
    ({"sha256": "AB" * 32}, "tokens[0] sha256: expected a match of "),
    ({"sha256": "ab" * 31}, "tokens[0] sha256: expected a match of "),
    ({"scopes": ...}, "tokens[0] scopes: expected an array, got nothing"),
    ({"scopes": "read"}, "tokens[0] scopes: expected an array, got another type"),
    ({"scopes": ["write"]}, "tokens[0] scopes: expected submit, read, operate"),
    ({"scopes": ["read", "read"]}, "tokens[0] scopes: expected submit, read, operate"),
    ({"scopes": [1]}, "tokens[0] scopes: expected submit, read, operate"),
    ({"scopes": [[]]}, "tokens[0] scopes: expected submit, read, operate"),
    ({"token": "hunter2"}, "tokens[0]: expected known members, got 1 unknown"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG_TOKENS)
def test_a_wrong_token_is_refused_by_entry_and_member(
    changes: dict[str, object], message: str
) -> None:
    entry = {name: value for name, value in {**TOKEN, **changes}.items() if value is not ...}
    found = why(tokens=[entry])
    assert message in found
    assert "hunter2" not in found


def test_a_token_twice_is_refused() -> None:
    message = "tokens[1] sha256: expected each once, got one again"
    assert why(tokens=[TOKEN, {**TOKEN, "tenant": "other"}]) == message


def test_a_bearer_finds_its_token_and_no_other() -> None:
    second = {"tenant": "lab", "sha256": hashlib.sha256("clé".encode()).hexdigest(), "scopes": []}
    held = ring(tokens=[TOKEN, second])
    first = held.token("open sesame")
    assert first is not None
    assert (first.tenant, first.scopes) == ("acme", frozenset({Scope.SUBMIT, Scope.READ}))
    other = held.token("clé")
    assert other is not None
    assert (other.tenant, other.scopes) == ("lab", frozenset())
    for bearer in ("", "open sesam", "open sesame ", TOKEN["sha256"]):
        assert held.token(bearer) is None


def test_a_bearer_that_is_no_text_is_no_token() -> None:
    held = ring(tokens=[TOKEN])
    assert held.token("\ud800") is None
    assert held.token(b"\xff".decode("utf-8", "surrogateescape")) is None


def test_no_repr_shows_a_secret() -> None:
    held = ring(HMAC, {**ED25519, "secret": b64(SEED)}, tokens=[TOKEN])
    shown = repr(held) + str(held.keys["lab-1"]) + repr(list(held.tokens.values()))
    for secret in (SECRET, SEED, bytes.fromhex(TOKEN["sha256"])):
        for form in (repr(secret), secret.hex(), base64.b64encode(secret).decode()):
            assert form.strip("b'\"") not in shown


def test_a_certificate_is_known_by_the_digest_of_its_bytes() -> None:
    entry = {"tenant": "acme", "sha256": hashlib.sha256(b"der").hexdigest(), "scopes": ["read"]}
    held = parse_keyring(
        json.dumps({"keys": [], "certificates": [entry]}).encode(), nothing_to_resolve
    )
    known = held.certificate(b"der")
    assert known is not None
    assert (known.tenant, known.scopes) == ("acme", frozenset({Scope.READ}))
    assert held.certificate(b"other") is None
    with pytest.raises(KeyringError, match=r"certificates\[1\] sha256: expected each once"):
        parse_keyring(
            json.dumps({"keys": [], "certificates": [entry, entry]}).encode(), nothing_to_resolve
        )
