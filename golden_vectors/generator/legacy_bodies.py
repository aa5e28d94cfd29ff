"""Records of version 0.1 as old agents sent them: one from outside, and one to bend."""

import base64
import json
from typing import Any, Final

from golden_vectors.generator.bodies import (
    LEGACY_PCS_ID,
    LEGACY_ROOT,
    LEGACY_SHARD,
    Members,
    bent,
    body,
    named,
    text,
)
from golden_vectors.generator.files import Refusal, VectorFile
from golden_vectors.generator.keys import (
    PUBLIC,
    RECEIVED,
    SEED,
    Entry,
    base64_of,
    ed25519_entry,
    hmac_entry,
    ring,
)
from tests.oracle import legacy

from fractal_lba.protocol import budget, regime, sign_ed25519, sign_hmac

# As published, to the byte: json.dumps with an indent of 2.
PUBLISHED: Final[Members] = {
    "pcs_id": LEGACY_PCS_ID,
    "schema": "fractal-lba-kakeya",
    "version": "0.1",
    "shard_id": LEGACY_SHARD,
    "epoch": 1,
    "attempt": 1,
    "sent_at": "2025-01-19T12:00:00Z",
    "seed": 42,
    "scales": [2, 4, 8, 16],
    "N_j": {"2": 5, "4": 10, "8": 13, "16": 15},
    "coh_star": 0.066666667,
    "v_star": [0.6000020458127243, -0.16701530057610703, 0.7823703946303298],
    "D_hat": 0.528320834,
    "r": 0.318421053,
    "regime": "mixed",
    "budget": 0.317807017,
    "merkle_root": LEGACY_ROOT,
    "sig": "x5KLRpKb75Oy1oxLA+3V+bgY/HL/3ZYOk1rw3pCiSm4=",
    "ft": {"outbox_seq": 0, "degraded": False, "fallbacks": [], "clock_skew_ms": 0},
}
PUBLISHED_TEXT: Final = json.dumps(PUBLISHED, indent=2).encode()
PUBLISHED_SECRET: Final = b"testsecret"


def old_hmac(**changes: object) -> Entry:
    """Return the key of the published record as a ring's entry."""
    secret = base64_of(PUBLISHED_SECRET)
    own = {"kid": "old-1", "tenant": "default", "secret": secret, "legacy": True}
    return hmac_entry(**{**own, **changes})


def old_ed25519(**changes: object) -> Entry:
    """Return the key of RFC 8032, TEST 1, for old agents."""
    own = {"kid": "old-2", "tenant": "default", "public": base64_of(PUBLIC), "legacy": True}
    return ed25519_entry(**{**own, **changes})


RING: Final = ring(old_hmac(), old_ed25519())


def old(**changes: object) -> Members:
    """Return the members of a sound record, without ``sig``; what depends on others follows them.

    Its slopes are all exactly 1, and both spellings of its numbers differ.
    """
    made: Members = {
        **{name: value for name, value in PUBLISHED.items() if name != "sig"},
        "N_j": {"2": 2, "4": 4, "8": 8, "16": 16},
        "D_hat": 1.0,
        "coh_star": 0.25,
        "r": 0.5,
        **changes,
    }
    slope, coh_star, r = (legacy.rounded(float(made[name])) for name in ("D_hat", "coh_star", "r"))
    made["budget"] = changes.get("budget", budget(slope, coh_star, r))
    made["regime"] = changes.get("regime", str(regime(slope, coh_star)))
    return made if "pcs_id" in changes else named(made)


def signature(message: bytes, secret: bytes = PUBLISHED_SECRET) -> str:
    """Return an HMAC as ``sig`` has it."""
    return base64.b64encode(sign_hmac(secret, message)).decode()


def ed25519_signature(message: bytes) -> str:
    """Return a signature by RFC 8032's TEST 1 as ``sig`` has it."""
    return base64.b64encode(sign_ed25519(SEED, message)).decode()


def signed(members: Members, spelling: int = 1, secret: bytes = PUBLISHED_SECRET) -> Members:
    """Return a record signed by HMAC in one of the four spellings."""
    return {**members, "sig": signature(legacy.message(members, spelling), secret)}


def signed_by_ed25519(members: Members, spelling: int = 1) -> Members:
    """Return a record signed by Ed25519 in one of its two spellings."""
    return {**members, "sig": ed25519_signature(legacy.ed25519_message(members, spelling))}


SOUND: Final = signed(old())


def given(record: Members | bytes, **others: Any) -> dict[str, object]:  # noqa: ANN401 - fields of an input
    """Return a case's input; ``others`` replace what it says beside the body."""
    document = record if isinstance(record, bytes) else text(record)
    beside = {"keyring": RING, "tenant": None, "accepts_legacy": True}
    return {**beside, **body(document), "received_at": RECEIVED, **others}


def copy_of(changes: dict[str, object]) -> Members:
    """Return the sound record with what stands at some paths set, or left out."""
    return bent(SOUND, changes)


def refuse(made: VectorFile, comment: str, flag: str, record: Members, refusal: Refusal) -> None:
    """Add a record that must be refused."""
    made.refused(comment, flag, given(record), refusal)
