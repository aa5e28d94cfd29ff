"""Signing and checking: round trips, and each refusal in its place in the order."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.records import (
    DELIVERY,
    ED25519_KEY,
    HMAC_KEY,
    KEYRING,
    changed,
    compact,
    removed,
    spaced,
    valid_members,
)

from fractal_lba.protocol import (
    ContractError,
    Delivery,
    JsonValue,
    Key,
    Keyring,
    Record,
    Refusal,
    authenticate,
    content_digest,
    encode_base64,
    parse_record,
    record_digest,
    sent_bytes,
    sign_hmac,
    sign_record,
    signing_input,
    stored_bytes,
)

KEYS = [HMAC_KEY, ED25519_KEY]


def signed(key: Key, **changes: JsonValue) -> dict[str, Any]:
    return dict(sign_record({**valid_members(), **changes}, key).members)


def why(members: object, keyring: Keyring = KEYRING) -> str:
    reasons = set()
    for body in (compact(members), spaced(members)):
        with pytest.raises(Refusal) as caught:
            authenticate(body, keyring)
        reasons.add(f"{caught.value.code} {caught.value.reason} {caught.value.member}")
    (reason,) = reasons
    return reason


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.alg)
def test_what_was_signed_verifies_in_any_spelling(key: Key) -> None:
    record = sign_record(valid_members(), key)
    delivery = Delivery(attempt=9, sent_at="2027-01-01T00:00:00.000Z", outbox_seq=3)
    spellings = [spaced(dict(record.members)), stored_bytes(record), sent_bytes(record, delivery)]
    for body in spellings:
        found = authenticate(body, KEYRING)
        assert found.key is key
        assert found.tenant == key.tenant
        assert found.key.kid == key.kid
        assert found.record_digest == record_digest(signing_input(record.members))
        assert found.content_digest == content_digest(record.members)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.alg)
def test_signing_twice_gives_the_same_record(key: Key) -> None:
    assert sign_record(valid_members(), key) == sign_record(signed(key), key)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.alg)
@pytest.mark.parametrize("d_hat", [1.25, 2.0, 1e-6], ids=["plain", "whole", "small"])
def test_what_was_signed_is_what_its_bytes_are_read_as(key: Key, d_hat: float) -> None:
    # `orjson` writes 1.0 and 1e-6 in its own way: such a record must not take its path.
    unsent = removed(valid_members(), "delivery")
    record = sign_record({**unsent, "D_hat": d_hat, "sig": "AAAA"}, key)
    read = parse_record(stored_bytes(record))
    assert record == read
    assert type(record.members) is type(read.members)
    assert list(record.members) == list(read.members)


def test_the_signature_covers_the_signing_input_without_a_pre_hash() -> None:
    record = sign_record(valid_members(), HMAC_KEY)
    assert HMAC_KEY.secret is not None
    assert record.signature == sign_hmac(HMAC_KEY.secret, signing_input(record.members))
    assert record.members["sig"] == encode_base64(record.signature)


SIGNED = [name for name in valid_members() if name not in {"delivery", "sig", "kid", "pcs_id"}]
OTHER: dict[str, object] = {
    "merkle_root": None,
    "epoch": None,
    "shard_id": None,
    "schema": None,
    "version": None,
    "created_at": "2026-11-21T06:00:00.124Z",
    "profile": "bytes/1",
    "n": 1001,
    "d": 2,
    "seed": 43,
    "scales": None,
    "N_j": {"2": 8, "4": 40, "8": 150, "16": 400, "32": 801},
    "D_hat": 1.660964048,
    "coh_star": 0.120000001,
    "r": 0.770000001,
    "budget": 0.193000001,
    "v_star": [0.6, 0.48, 0.64],
    "regime": "sticky",
    "ft": {"degraded": True, "fallbacks": ["column 3 lost"], "clock_skew_ms": -12},
    "meta": {"model": "demo", "run": 3, "warm": False},
}


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.alg)
@pytest.mark.parametrize("name", [name for name in SIGNED if OTHER[name] is not None])
def test_a_change_in_any_signed_member_is_noticed(key: Key, name: str) -> None:
    members = signed(key, d=1, n=1002)
    assert why({**members, name: OTHER[name]}) == "signature_invalid signature_mismatch sig"


def test_the_delivery_is_not_signed() -> None:
    members = signed(HMAC_KEY)
    first = authenticate(compact(members), KEYRING)
    for other in (removed(members, "delivery"), changed(members, "delivery.attempt", 2)):
        again = authenticate(compact(other), KEYRING)
        assert again.record_digest == first.record_digest
        assert again.content_digest == first.content_digest


def test_a_key_that_is_not_in_the_ring_is_unknown() -> None:
    assert why({**signed(HMAC_KEY), "kid": "nobody"}) == "unknown_key unknown_key kid"


@pytest.mark.parametrize(
    "members", [{**signed(HMAC_KEY), "sig": ""}, removed(signed(HMAC_KEY), "sig")]
)
def test_no_signature_is_missing(members: dict[str, Any]) -> None:
    assert why(members) == "signature_missing signature_missing sig"
    assert why({**members, "kid": "nobody"}) == "unknown_key unknown_key kid"


def test_a_signature_of_another_key_s_length_is_invalid() -> None:
    short, long = encode_base64(bytes(32)), encode_base64(bytes(64))
    invalid = "signature_invalid signature_length sig"
    assert why({**signed(HMAC_KEY), "sig": long}) == invalid
    assert why({**signed(ED25519_KEY), "sig": short}) == invalid


def test_a_signature_of_another_key_is_invalid() -> None:
    other = replace(HMAC_KEY, kid="hmac-2", secret=b"o" * 32)
    ring = Keyring(keys={HMAC_KEY.kid: HMAC_KEY, "hmac-2": other}, tokens={})
    members = {**signed(HMAC_KEY), "sig": signed(other)["sig"]}
    assert why(members, ring) == "signature_invalid signature_mismatch sig"


def test_the_algorithm_belongs_to_the_key() -> None:
    # The public key of an Ed25519 key is no HMAC secret, whatever the signature's length says.
    assert ED25519_KEY.public is not None
    forged = replace(HMAC_KEY, kid=ED25519_KEY.kid, secret=ED25519_KEY.public)
    assert why(signed(forged)) == "signature_invalid signature_length sig"


def test_structure_and_identity_go_before_the_key() -> None:
    members = {**signed(HMAC_KEY), "kid": "nobody", "sig": ""}
    assert why({**members, "epoch": 8}).startswith("pcs_id_mismatch")
    assert why({**members, "n": 2}).startswith("invalid_record")


def test_a_key_without_what_it_verifies_with_verifies_nothing() -> None:
    for key in (replace(HMAC_KEY, secret=None), replace(ED25519_KEY, public=None)):
        ring = Keyring(keys={key.kid: key}, tokens={})
        members = signed(HMAC_KEY if key.alg is HMAC_KEY.alg else ED25519_KEY)
        assert why(members, ring) == "signature_invalid signature_mismatch sig"


def test_a_short_legacy_key_neither_signs_nor_verifies_this_version() -> None:
    short = replace(HMAC_KEY, secret=b"k" * 31, legacy=True)
    with pytest.raises(ContractError, match="32 bytes"):
        sign_record(valid_members(), short)
    ring = Keyring(keys={short.kid: short}, tokens={})
    assert why(signed(HMAC_KEY), ring) == "unknown_key short_key kid"
    long = replace(HMAC_KEY, legacy=True)
    assert (
        authenticate(compact(signed(long)), Keyring(keys={long.kid: long}, tokens={})).key is long
    )


def test_a_key_without_a_secret_cannot_sign() -> None:
    with pytest.raises(ContractError, match="ed25519-1"):
        sign_record(valid_members(), replace(ED25519_KEY, secret=None))


def test_signing_refuses_what_would_be_refused() -> None:
    with pytest.raises(Refusal) as caught:
        sign_record({**valid_members(), "n": 2}, HMAC_KEY)
    assert caught.value.member == "n"
    with pytest.raises(ContractError):
        sign_record({**valid_members(), "D_hat": float("inf")}, HMAC_KEY)


def test_signing_writes_numbers_in_their_one_form() -> None:
    members = {**valid_members(), "n": 1000.0, "D_hat": -0.0, "delivery": DELIVERY}
    record = sign_record(members, HMAC_KEY)
    assert (record.members["n"], record.members["D_hat"]) == (1000, 0)
    found = authenticate(stored_bytes(record), KEYRING).record
    assert isinstance(found, Record)
    assert found.n == 1000
