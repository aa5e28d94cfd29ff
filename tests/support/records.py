"""One valid record to bend, and the keys that sign it."""

import json
from collections.abc import Mapping
from typing import Any, Final

from fractal_lba.protocol import Alg, Key, Keyring, Refusal, ed25519_public, parse_record, pcs_id

HMAC_KEY: Final = Key(
    kid="hmac-1",
    tenant="acme",
    alg=Alg.HMAC_SHA256,
    public=None,
    secret=bytes(range(32)),
    not_before_ms=None,
    not_after_ms=None,
    legacy=False,
)
ED25519_KEY: Final = Key(
    kid="ed25519-1",
    tenant="lab",
    alg=Alg.ED25519,
    public=ed25519_public(bytes(range(32))),
    secret=bytes(range(32)),
    not_before_ms=None,
    not_after_ms=None,
    legacy=False,
)
KEYRING: Final = Keyring(keys={key.kid: key for key in (HMAC_KEY, ED25519_KEY)}, tokens={})

DELIVERY: Final = {"attempt": 1, "sent_at": "2026-11-21T06:00:01.000Z", "outbox_seq": 7}


def valid_members() -> dict[str, Any]:
    """Return the members of a record nothing is wrong with, every optional one included."""
    root = "ab" * 32
    return {
        "schema": "fractal-lba-kakeya",
        "version": "1.0",
        "kid": HMAC_KEY.kid,
        "pcs_id": pcs_id(root, 7, "lab:line-1"),
        "merkle_root": root,
        "epoch": 7,
        "shard_id": "lab:line-1",
        "created_at": "2026-11-21T06:00:00.123Z",
        "profile": "points/1",
        "n": 1000,
        "d": 3,
        "seed": 42,
        "scales": [2, 4, 8, 16, 32],
        "N_j": {"2": 8, "4": 40, "8": 150, "16": 400, "32": 800},
        "D_hat": 1.660964047,
        "coh_star": 0.12,
        "r": 0.77,
        "budget": 0.193,
        "v_star": [0.6, 0.64, 0.48],
        "regime": "mixed",
        "ft": {"degraded": False, "fallbacks": ["column 3 lost"], "clock_skew_ms": -12},
        "meta": {"model": "demo", "run": 3, "warm": True},
        "delivery": dict(DELIVERY),
        "sig": "A" * 43 + "=",
    }


def with_id(members: dict[str, Any]) -> dict[str, Any]:
    """Return the members with the pcs_id that fits them."""
    made = pcs_id(members["merkle_root"], int(members["epoch"]), members["shard_id"])
    return {**members, "pcs_id": made}


def compact(members: object) -> bytes:
    """Return JSON close to its canonical form: what a quick path may take."""
    text = json.dumps(members, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def spaced(members: object) -> bytes:
    """Return JSON in a form no quick path can take."""
    return b" " + json.dumps(members, indent=1).encode()


def refusal(members: object) -> Refusal:
    """Return why a record with these members is refused, the same in both spellings."""
    found = [refused(body) for body in (compact(members), spaced(members))]
    assert len({(each.code, each.reason, each.member, str(each)) for each in found}) == 1
    return found[0]


def refused(body: bytes) -> Refusal:
    """Return why a body is refused."""
    try:
        parse_record(body)
    except Refusal as error:
        return error
    raise AssertionError("the body was accepted")


def changed(members: Mapping[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return a deep copy with the member at a dotted path set."""
    copy = json.loads(json.dumps(members))
    *parents, last = path.split(".")
    inner = copy
    for parent in parents:
        inner = inner[int(parent)] if isinstance(inner, list) else inner[parent]
    inner[int(last) if isinstance(inner, list) else last] = value
    return dict(copy)


def removed(members: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return a deep copy without the member at a dotted path."""
    copy = json.loads(json.dumps(members))
    *parents, last = path.split(".")
    inner = copy
    for parent in parents:
        inner = inner[parent]
    del inner[last]
    return dict(copy)
