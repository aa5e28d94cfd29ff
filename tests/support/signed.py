"""Signed records of several tenants: valid by default, each distinct through its epoch."""

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

from fractal_lba.protocol.authenticate import sign_record
from fractal_lba.protocol.canonical import canonical
from fractal_lba.protocol.derive import budget, d_hat, regime
from fractal_lba.protocol.identity import pcs_id
from fractal_lba.protocol.keyring import Alg, Key
from fractal_lba.protocol.signing import ed25519_public

N_J = {2: 4, 4: 8, 8: 16, 16: 30, 32: 60}
CREATED_AT = "2026-11-01T12:00:00.000Z"


@dataclass(frozen=True)
class Signer:
    """A tenant's key with its secret."""

    tenant: str
    kid: str
    secret: bytes
    alg: Alg = Alg.HMAC_SHA256
    not_before: str | None = None
    not_after: str | None = None

    @property
    def public(self) -> bytes | None:
        return ed25519_public(self.secret) if self.alg is Alg.ED25519 else None

    @property
    def key(self) -> Key:
        return Key(
            kid=self.kid,
            tenant=self.tenant,
            alg=self.alg,
            public=self.public,
            secret=self.secret,
            not_before_ms=None,
            not_after_ms=None,
            legacy=False,
        )

    def entry(self) -> dict[str, Any]:
        """Return the key as a server's keyring file has it."""
        entry: dict[str, Any] = {"kid": self.kid, "tenant": self.tenant, "alg": str(self.alg)}
        if self.public is None:
            entry["secret"] = _base64(self.secret)
        else:
            entry["public"] = _base64(self.public)
        if self.not_before:
            entry["not_before"] = self.not_before
        if self.not_after:
            entry["not_after"] = self.not_after
        return entry


ACME = Signer("acme", "acme-1", b"a" * 32)
ACME_NEXT = Signer("acme", "acme-2", b"n" * 32, Alg.ED25519)
GLOBEX = Signer("globex", "globex-1", b"g" * 32)


def members(epoch: int = 1, **changes: object) -> dict[str, Any]:
    """Return the members of a valid, accepted record without ``sig``; ``changes`` replace them.

    ``window`` (any text) gives another merkle_root; ``pcs_id`` follows unless it is changed too.
    """
    window = str(changes.pop("window", f"window {epoch}"))
    coh_star, r = 0.25, 0.5
    slope = d_hat(N_J)
    made: dict[str, Any] = {
        "schema": "fractal-lba-kakeya",
        "version": "1.0",
        "kid": ACME.kid,
        "merkle_root": hashlib.sha256(window.encode()).hexdigest(),
        "epoch": epoch,
        "shard_id": "press-7",
        "created_at": CREATED_AT,
        "profile": "points/1",
        "n": 64,
        "d": 3,
        "seed": 42,
        "scales": list(N_J),
        "N_j": {str(scale): count for scale, count in N_J.items()},
        "D_hat": slope,
        "coh_star": coh_star,
        "r": r,
        "budget": budget(slope, coh_star, r),
        "v_star": [0.0, 0.0, 1.0],
        "regime": str(regime(slope, coh_star)),
        "ft": {"degraded": False, "fallbacks": [], "clock_skew_ms": 0},
    }
    made.update(changes)
    made.setdefault("pcs_id", pcs_id(made["merkle_root"], made["epoch"], made["shard_id"]))
    return made


def body(epoch: int = 1, *, signer: Signer = ACME, **changes: object) -> bytes:
    """Return a signed record's canonical bytes, as an agent sends them."""
    record = sign_record(members(epoch, **changes), signer.key)
    return canonical(dict(record.members))


def _base64(data: bytes) -> str:
    return "base64:" + base64.b64encode(data).decode()
