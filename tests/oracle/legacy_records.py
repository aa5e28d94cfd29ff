"""Whether a body is a record of version 0.1, who signed it, and what is decided."""

import base64
import hashlib
import hmac
from typing import Any

from tests.oracle.canonical_json import canonical_bytes
from tests.oracle.ed25519 import verify
from tests.oracle.judgement import consistent, counts_of, real, status
from tests.oracle.legacy import (
    ED25519_SPELLINGS,
    HMAC_SPELLINGS,
    as_ecmascript,
    as_python,
    d_hat,
    digest,
    ed25519_message,
    message,
    own_pcs_id,
    rounded,
    stored,
)
from tests.oracle.legacy import budget as budget_of
from tests.oracle.legacy import regime as regime_of
from tests.oracle.record_rules import (
    ABSENT,
    SAFE,
    Members,
    Rule,
    array,
    document_of,
    hexadecimal,
    mapping,
    natural,
    no_others,
    number,
    refuse,
    regime,
    scales_of,
    schema,
    short,
    sig,
    signature_bytes,
    text,
    whole,
)
from tests.oracle.refusal import Refused

UNSIGNED = {"d_hat_mismatch": "N_j", "n_j_inconsistent": "N_j", "regime_mismatch": "regime"}


def legacy_record_of(body: bytes, *, accepts_legacy: bool) -> Members:
    """Return the members of a sound record, every number a float."""
    members = document_of(body)
    version = text(members.get("version", ABSENT), "version")
    if version != "0.1":
        raise Refused("unsupported_version", "unsupported_version", "version")
    if not accepts_legacy:
        raise Refused("unsupported_version", "legacy_switched_off", "version")
    for name, rule in RULES:
        rule(members.get(name, ABSENT), name, members)
    root, epoch, shard_id = (members[name] for name in ("merkle_root", "epoch", "shard_id"))
    assert isinstance(epoch, float)
    members["epoch"] = int(epoch)
    if members["pcs_id"] != own_pcs_id(str(root), int(epoch), str(shard_id)):
        raise Refused("pcs_id_mismatch", "pcs_id_mismatch", "pcs_id")
    return members


def any_safe(value: object, member: str, _: Members) -> None:
    whole(value, member, -SAFE, SAFE)


def million(value: object, member: str, _: Members) -> None:
    number(value, member, -1e6, 1e6)


def stream(value: object, member: str, _: Members) -> None:
    short(value, member, 128)
    name = str(value)
    if not name or any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        refuse("wrong_format", member)


def sent_at(value: object, member: str, _: Members) -> None:
    short(value, member, 64)


def rising(value: object, member: str, _: Members) -> None:
    least = 2
    for place, item in enumerate(array(value, member, 2, 16)):
        least = whole(item, f"{member}.{place}", least, 65_536) + 1


def cells(value: object, member: str, members: Members) -> None:
    counts = mapping(value, member)
    names = [str(int(scale)) for scale in scales_of(members)]
    for name in names:
        whole(counts.get(name, ABSENT), f"{member}.{name}", 1, SAFE)
    no_others(counts, names, f"{member}.")


def any_numbers(value: object, member: str, _: Members) -> None:
    for place, item in enumerate(array(value, member, 1, 4_096)):
        if not isinstance(item, float):
            refuse("wrong_type", f"{member}.{place}")


# In the order of the table; the version was checked before.
RULES: list[tuple[str, Rule]] = [
    ("pcs_id", hexadecimal),
    ("schema", schema),
    ("shard_id", stream),
    ("epoch", natural),
    ("attempt", any_safe),
    ("sent_at", sent_at),
    ("seed", any_safe),
    ("scales", rising),
    ("N_j", cells),
    ("coh_star", million),
    ("v_star", any_numbers),
    ("D_hat", million),
    ("r", million),
    ("regime", regime),
    ("budget", million),
    ("merkle_root", hexadecimal),
    ("sig", sig),
]


def signer_of(record: Members, ring: Members, tenant: str) -> Members:
    """Return the first key of the tenant, marked for this version, that verifies."""
    keys: Any = ring["keys"]
    tried = [key for key in keys if key["legacy"] and key["tenant"] == tenant]
    if not tried:
        raise Refused("unknown_key", "no_legacy_key")
    signature = signature_bytes(str(record.get("sig", "")))
    if signature == b"":
        raise Refused("signature_missing", "signature_missing", "sig")
    if len(signature) not in [32 if key["alg"] == "hmac-sha256" else 64 for key in tried]:
        raise Refused("signature_invalid", "signature_length", "sig")
    for key in tried:
        if verifies(key, record, signature):
            found: Members = key
            return found
    raise Refused("signature_invalid", "signature_mismatch", "sig")


def verifies(key: Members, record: Members, signature: bytes) -> bool:
    secret, public = key["secret"], key["public"]
    if isinstance(public, bytes):
        hashes = [ed25519_message(record, n) for n in ED25519_SPELLINGS]
        return any(verify(public, each, signature) for each in hashes)
    assert isinstance(secret, bytes)
    messages = [message(record, n) for n in HMAC_SPELLINGS]
    tags = [hmac.new(secret, each, hashlib.sha256).digest() for each in messages]
    return signature in tags


def verdict(record: Members) -> Members:
    """Return what a decision says beside the record's own names, under "legacy/1"."""
    slope, coh_star, r, budget = (
        rounded(real(record, name)) for name in ("D_hat", "coh_star", "r", "budget")
    )
    counts = counts_of(record)
    recomputed = budget_of(slope, coh_star, r)
    counted = d_hat({str(scale): count for scale, count in counts.items()})
    checks = {
        "d_hat_mismatch": abs(counted - slope) <= 0.15,
        "n_j_inconsistent": consistent(counts),
        "coh_star_bounds": 0 <= coh_star <= 1.05,
        "r_bounds": 0 <= r <= 1,
        "regime_mismatch": record["regime"] == regime_of(slope, coh_star),
        "budget_deviation": abs(recomputed - budget) <= 0.01,
    }
    reasons = [name for name, holds in checks.items() if not holds]
    for reason in reasons:
        if reason in UNSIGNED:
            raise Refused("unsigned_member_mismatch", reason, UNSIGNED[reason])
    accepted = reasons in ([], ["budget_deviation"])
    return {
        "accepted": accepted,
        "escalated": accepted and reasons != [],
        "reasons": reasons,
        "recomputed_D_hat": None,
        "recomputed_budget": recomputed,
        "params_version": "legacy/1",
    }


def decided(
    body: bytes, ring: Members, tenant: str, received_at: str, *, accepts_legacy: bool
) -> Members:
    """Return all that follows from a body, the tenant named beside it, and its receipt."""
    record = legacy_record_of(body, accepts_legacy=accepts_legacy)
    key = signer_of(record, ring, tenant)
    first, last = key["not_before"] or received_at, key["not_after"] or received_at
    if not str(first) <= received_at <= str(last):
        raise Refused("key_not_valid_now", "key_not_valid_now")
    outcome = verdict(record)
    named = {"pcs_id": record["pcs_id"], "record_digest": digest(record)}
    return {
        "tenant": key["tenant"],
        "kid": key["kid"],
        "pcs_id": record["pcs_id"],
        "digest": digest(record),
        "as_python": encoded(as_python(record)),
        "as_ecmascript": encoded(as_ecmascript(record)),
        "stored": encoded(stored(record)),
        "status": status(outcome),
        "reasons": outcome["reasons"],
        "recomputed_budget": outcome["recomputed_budget"],
        "decision_body": encoded(canonical_bytes(named | outcome)),
        "remembered": outcome["accepted"],
    }


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
