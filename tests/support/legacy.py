"""Records of version 0.1 as old agents made them: signed by the oracle, in any spelling."""

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

from golden_vectors.runner import FOLDER
from tests.oracle import legacy as oracle

from fractal_lba.protocol import Alg, Key, ed25519_public, encode_base64, sign_ed25519

N_J: Final = {"2": 4, "4": 9, "8": 20, "16": 31}


@dataclass(frozen=True)
class LegacySigner:
    """An old agent's key."""

    tenant: str
    kid: str
    secret: bytes
    alg: Alg = Alg.HMAC_SHA256
    is_legacy: bool = True
    not_after: str | None = None

    @property
    def spellings(self) -> list[int]:
        is_hmac = self.alg is Alg.HMAC_SHA256
        return oracle.HMAC_SPELLINGS if is_hmac else oracle.ED25519_SPELLINGS

    @property
    def key(self) -> Key:
        return Key(
            kid=self.kid,
            tenant=self.tenant,
            alg=self.alg,
            public=ed25519_public(self.secret) if self.alg is Alg.ED25519 else None,
            secret=self.secret,
            not_before_ms=None,
            not_after_ms=None,
            legacy=self.is_legacy,
        )

    def entry(self) -> dict[str, Any]:
        """Return the key as a server's keyring file has it."""
        entry: dict[str, Any] = {"kid": self.kid, "tenant": self.tenant, "alg": str(self.alg)}
        if self.alg is Alg.ED25519:
            entry["public"] = "base64:" + encode_base64(ed25519_public(self.secret))
        else:
            entry["secret"] = "base64:" + encode_base64(self.secret)
        if self.is_legacy:
            entry["legacy"] = True
        if self.not_after is not None:
            entry["not_after"] = self.not_after
        return entry

    def sign(self, record: dict[str, Any], spelling: int) -> str:
        if self.alg is Alg.ED25519:
            message = oracle.ed25519_message(record, spelling)
            return encode_base64(sign_ed25519(self.secret, message))
        return oracle.hmac_signature(record, self.secret, spelling)


OLD: Final = LegacySigner("default", "old-1", b"testsecret")
OLD_ED25519: Final = LegacySigner("default", "old-2", b"e" * 32, Alg.ED25519)
OLD_LAB: Final = LegacySigner("lab", "old-lab", b"lab's own")


def members(epoch: int = 1, **changes: object) -> dict[str, Any]:
    """Return the members of a record nothing is wrong with, without ``sig``.

    ``changes`` replace them. ``pcs_id``, ``budget`` and ``regime`` follow unless they are changed
    too; ``window`` (any text) gives another merkle_root.
    """
    window = str(changes.pop("window", f"old window {epoch}"))
    made: dict[str, Any] = {
        "schema": "fractal-lba-kakeya",
        "version": "0.1",
        "shard_id": "press-1",
        "epoch": epoch,
        "attempt": 1,
        "sent_at": "2025-01-19T12:00:00Z",
        "seed": 42,
        "scales": [int(scale) for scale in N_J],
        "N_j": dict(N_J),
        "coh_star": 0.25,
        "v_star": [0.6, 0.0, 0.8],
        "D_hat": oracle.d_hat(N_J),
        "r": 0.5,
        "merkle_root": hashlib.sha256(window.encode()).hexdigest(),
        "ft": {"outbox_seq": 0, "degraded": False, "fallbacks": [], "clock_skew_ms": 0},
    }
    made.update(changes)
    slope, coh_star = float(made["D_hat"]), float(made["coh_star"])
    made.setdefault("budget", oracle.budget(slope, coh_star, float(made["r"])))
    made.setdefault("regime", oracle.regime(slope, coh_star))
    made.setdefault(
        "pcs_id", oracle.own_pcs_id(made["merkle_root"], int(made["epoch"]), made["shard_id"])
    )
    return made


def signed(
    epoch: int = 1, *, signer: LegacySigner = OLD, spelling: int = 1, **changes: object
) -> dict[str, Any]:
    """Return the members of a signed record."""
    record = members(epoch, **changes)
    return {**record, "sig": signer.sign(record, spelling)}


def golden_record() -> bytes:
    """Return the first prototype's golden record, signed by `OLD`, as it was published."""
    cases = json.loads((FOLDER / "records_0_1.json").read_bytes())["tests"]
    return base64.b64decode(cases[0]["input"]["body"])


def body(record: dict[str, Any]) -> bytes:
    """Return the JSON as an old Python agent sends it: spaces, and its own order of members."""
    return json.dumps(record).encode()
