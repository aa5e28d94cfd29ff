"""Signatures of version 0.1: each spelling of the closed list verifies, and nothing else does."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from tests.oracle import legacy as oracle
from tests.support.legacy import (
    OLD,
    OLD_ED25519,
    OLD_LAB,
    LegacySigner,
    body,
    golden_record,
    members,
    signed,
)

from fractal_lba.protocol import (
    Alg,
    Authenticated,
    Keyring,
    Refusal,
    authenticate,
    encode_base64,
    legacy_digest,
    parse_keyring,
    parse_legacy_record,
    sign_ed25519,
    sign_hmac,
)

RING = Keyring(keys={s.kid: s.key for s in (OLD, OLD_ED25519, OLD_LAB)}, tokens={})
EVERY = [(signer, spelling) for signer in (OLD, OLD_ED25519) for spelling in signer.spellings]
# Where the spellings differ: whole numbers, small ones, and a name beyond ASCII.
APART: dict[str, Any] = {"coh_star": 1.0, "r": 5e-05, "D_hat": 0, "shard_id": 'Süd "7"\\ 😀'}


def verified(
    record: dict[str, Any], tenant: str = "default", ring: Keyring = RING
) -> Authenticated:
    return authenticate(body(record), ring, legacy_tenant=tenant)


def why(record: dict[str, Any], tenant: str = "default", ring: Keyring = RING) -> str:
    with pytest.raises(Refusal) as caught:
        verified(record, tenant, ring)
    return f"{caught.value.code} {caught.value.reason} {caught.value.member}"


@pytest.mark.parametrize(("signer", "spelling"), EVERY)
@pytest.mark.parametrize("changes", [{}, APART], ids=["plain", "apart"])
def test_each_spelling_verifies(
    signer: LegacySigner, spelling: int, changes: dict[str, Any]
) -> None:
    record = signed(signer=signer, spelling=spelling, **changes)
    found = verified(record)
    assert found.key == signer.key
    assert found.tenant == "default"
    assert found.record_digest == found.content_digest == oracle.digest(record)


def test_the_spellings_are_different_bytes() -> None:
    record = members(**APART)
    assert oracle.as_python(record) == (
        rb'{"D_hat":0.0,"budget":'
        + repr(record["budget"]).encode()
        + rb',"coh_star":1.0,"epoch":1,"merkle_root":"'
        + record["merkle_root"].encode()
        + rb'","pcs_id":"'
        + record["pcs_id"].encode()
        + rb'","r":5e-05,"shard_id":"S\u00fcd \"7\"\\ \ud83d\ude00"}'
    )
    text = oracle.as_ecmascript(record)
    assert b'"coh_star":1,' in text
    assert b'"r":0.00005,' in text
    assert text.endswith(rb'"S\u00fcd \"7\"\\ \ud83d\ude00"}')
    assert len({oracle.message(record, spelling) for spelling in oracle.HMAC_SPELLINGS}) == 4


def near_misses() -> dict[str, bytes]:
    """Return messages one could take for a spelling: none of them is on the list."""
    record = members(**APART)
    python, ecma = oracle.as_python(record), oracle.as_ecmascript(record)
    eight = oracle.signed_members(record)
    return {
        "in hex": hashlib.sha256(python).hexdigest().encode(),
        "with spaces": json.dumps(eight, sort_keys=True).encode(),
        "in another order": json.dumps(eight, separators=(",", ":")).encode(),
        "not escaped": ecma.decode("unicode_escape").encode("utf-16", "surrogatepass"),
        "with a line end": python + b"\n",
        "labelled": b"fractal-lba/legacy/1\n" + python,
        "labelled as a record": b"fractal-lba/pcs/1\n" + python,
        "the whole record": json.dumps(record, sort_keys=True, separators=(",", ":")).encode(),
        "hashed twice": hashlib.sha256(hashlib.sha256(python).digest()).digest(),
        "one float of each": python.replace(b'"coh_star":1.0', b'"coh_star":1'),
        "upper-case escapes": python.replace(rb"\u00fc", rb"\u00FC"),
        "not rounded": python.replace(b"5e-05", b"5.00000000001e-05"),
    }


@pytest.mark.parametrize("name", near_misses())
def test_no_other_spelling_verifies(name: str) -> None:
    message = near_misses()[name]
    tag = encode_base64(sign_hmac(OLD.secret, message))
    assert why({**members(**APART), "sig": tag}) == "signature_invalid signature_mismatch sig"
    signature = encode_base64(sign_ed25519(OLD_ED25519.secret, message))
    assert why({**members(**APART), "sig": signature}) == "signature_invalid signature_mismatch sig"


@pytest.mark.parametrize("spelling", [1, 3])
def test_ed25519_is_never_over_the_bytes_themselves(spelling: int) -> None:
    record = members()
    signature = sign_ed25519(OLD_ED25519.secret, oracle.message(record, spelling))
    assert why({**record, "sig": encode_base64(signature)}).endswith("signature_mismatch sig")


@pytest.mark.parametrize("member", oracle.SIGNED)
def test_each_signed_member_is_covered(member: str) -> None:
    record = signed()
    for signer, spelling in EVERY:
        record = signed(signer=signer, spelling=spelling)
        if member in {"pcs_id", "merkle_root", "epoch", "shard_id"}:
            other = members(2, window="another", shard_id="press-2")
            names = {"pcs_id", *({member} if member != "pcs_id" else {"epoch"})}
            changed = {**record, **{name: other[name] for name in names}}
            changed["pcs_id"] = oracle.own_pcs_id(
                changed["merkle_root"], changed["epoch"], changed["shard_id"]
            )
        else:
            changed = {**record, member: record[member] + 1e-9}
        assert why(changed) == "signature_invalid signature_mismatch sig"


def test_the_order_of_refusals_is_key_then_signature() -> None:
    unsigned = members()
    assert why(unsigned, "nobody") == "unknown_key no_legacy_key None"
    assert why(unsigned) == "signature_missing signature_missing sig"
    long = signed(signer=OLD_ED25519)
    assert why(long, "lab") == "signature_invalid signature_length sig"
    assert why(signed(), "lab") == "signature_invalid signature_mismatch sig"
    assert why({**long, "pcs_id": 1}, "nobody") == "invalid_record wrong_type pcs_id"


def test_only_the_named_tenant_s_legacy_keys_are_tried() -> None:
    record = signed(signer=OLD_LAB)
    assert verified(record, "lab").tenant == "lab"
    assert why(record).startswith("signature_invalid")
    ring = Keyring(keys={"k": replace(OLD.key, secret=b"k" * 32, legacy=False)}, tokens={})
    assert why(signed(), ring=ring) == "unknown_key no_legacy_key None"


def test_keys_overlap_and_the_one_that_holds_is_named() -> None:
    second = LegacySigner("default", "old-9", b"the next")
    ring = Keyring(keys={s.kid: s.key for s in (OLD, OLD_ED25519, second)}, tokens={})
    for signer in (OLD, OLD_ED25519, second):
        assert verified(signed(signer=signer), ring=ring).key.kid == signer.kid


def test_a_verifier_without_the_secret_holds_nothing() -> None:
    blind = replace(OLD.key, secret=None)
    assert why(signed(), ring=Keyring(keys={"k": blind}, tokens={})).startswith("signature_inv")
    seeing = replace(OLD_ED25519.key, secret=None)
    record = signed(signer=OLD_ED25519)
    assert verified(record, ring=Keyring(keys={"k": seeing}, tokens={})).key is seeing
    without = replace(OLD_ED25519.key, public=None)
    assert why(record, ring=Keyring(keys={"k": without}, tokens={})).startswith("signature_inv")


def test_a_tenant_has_at_most_eight_legacy_keys() -> None:
    entries = [LegacySigner("t", f"k{i}", b"s").entry() for i in range(8)]
    others = [LegacySigner("u", "u1", b"s").entry()]
    ring = parse_keyring(json.dumps({"keys": entries + others}).encode(), lambda _: b"")
    assert [key.kid for key in ring.legacy_keys("t")] == [f"k{i}" for i in range(8)]
    assert ring.legacy_keys("nobody") == ()
    more = [*entries, LegacySigner("t", "k8", b"s").entry()]
    with pytest.raises(Exception, match="at most 8 of a tenant"):
        parse_keyring(json.dumps({"keys": more}).encode(), lambda _: b"")


def test_the_golden_record_verifies() -> None:
    sent = golden_record()
    record = json.loads(sent)
    found = authenticate(sent, RING, legacy_tenant="default")
    assert found.key == OLD.key
    assert found.record_digest == oracle.digest(record)
    assert OLD.sign(record, 1) == record["sig"]
    assert OLD.alg is Alg.HMAC_SHA256
    assert legacy_digest(parse_legacy_record(sent).signed) == found.content_digest
