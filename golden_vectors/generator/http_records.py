"""The keyring and the records of the exchanges: each id is one case's own."""

import hashlib
from itertools import count
from typing import Any, Final

from golden_vectors.generator.bodies import judged, named
from golden_vectors.generator.keys import (
    PUBLIC,
    SECRET,
    SEED,
    base64_of,
    ed25519_entry,
    hmac_entry,
    ring,
)
from golden_vectors.generator.legacy_bodies import old_hmac

from fractal_lba.protocol import Alg, Key, canonical, ed25519_public, pcs_id, sign_record

CREATED_AT: Final = "9999-01-01T00:00:00.000Z"
"""No clock makes such a record too old, nor the vectors."""

RFC6750_TOKEN: Final = "mF_9.B5f-4.1JqM"  # noqa: S105 - RFC 6750 publishes it
FLAT: Final = {2: 4, 4: 8, 8: 16, 16: 32}
LISTS: Final = ("list-1", "list-2", "list-3")


def bearer(token: str) -> str:
    """Return the value of Authorization."""
    return f"Bearer {token}"


def everything(tenant: str) -> str:
    """Return the token of a tenant that may do everything."""
    return f"everything-{tenant}"


def who(token: str) -> str:
    """Return what a resolution calls the caller with a token."""
    return f"token:{hashlib.sha256(token.encode()).hexdigest()[:16]}"


def _token(tenant: str, token: str, *scopes: str) -> dict[str, Any]:
    digest = hashlib.sha256(token.encode()).hexdigest()
    return {"tenant": tenant, "sha256": digest, "scopes": list(scopes)}


def _key(kid: str, alg: Alg, secret: bytes) -> Key:
    return Key(
        kid=kid,
        tenant="any",
        alg=alg,
        public=ed25519_public(secret) if alg is Alg.ED25519 else None,
        secret=secret,
        not_before_ms=None,
        not_after_ms=None,
        legacy=False,
    )


NEXT: Final = _key("acme-next", Alg.ED25519, SEED)
RING: Final = ring(
    hmac_entry(),
    ed25519_entry(kid=NEXT.kid, tenant="acme", public=base64_of(PUBLIC)),
    hmac_entry(kid="acme-retired", not_after="2020-01-01T00:00:00.000Z"),
    hmac_entry(kid="acme-later", not_before=CREATED_AT),
    old_hmac(),
    *(hmac_entry(kid=tenant, tenant=tenant) for tenant in ("globex", *LISTS)),
    tokens=[
        _token("acme", RFC6750_TOKEN, "read"),
        _token("acme", "submit-acme", "submit"),
        _token("acme", everything("acme"), "submit", "read", "operate"),
        _token("globex", everything("globex"), "submit", "read", "operate"),
        *(
            _token(tenant, everything(tenant), "submit", "read", "operate")
            for tenant in ("default", *LISTS)
        ),
    ],
)


def of(kid: str) -> Key:
    """Return the key of that name."""
    return NEXT if kid == NEXT.kid else _key(kid, Alg.HMAC_SHA256, SECRET)


class Records:
    """Makes records; no two of the same epoch."""

    def __init__(self) -> None:
        self._epochs = count(1)

    def __call__(self, kid: str = "acme-2026-11", **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any member
        """Return the members of a record without ``sig``, accepted unless it is changed."""
        made = {
            **judged(FLAT, coh_star=0.25, r=0.5, epoch=next(self._epochs)),
            "created_at": CREATED_AT,
            "kid": kid,
            **changes,
        }
        return made if "pcs_id" in changes else named(made)


def signed(members: dict[str, Any]) -> bytes:
    """Return a record's canonical bytes, signed with its key."""
    made = {name: value for name, value in members.items() if name != "sig"}
    return canonical(dict(sign_record(made, of(made["kid"])).members))


def id_of(members: dict[str, Any]) -> str:
    """Return the id of a record."""
    return pcs_id(members["merkle_root"], members["epoch"], members["shard_id"])


DEGRADED: Final = {"degraded": True, "fallbacks": ["column 3 lost"], "clock_skew_ms": 0}
