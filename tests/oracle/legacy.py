"""Version 0.1: what old agents signed, in each of their spellings, and what follows from a record.

A record is the object its JSON holds.
"""

import base64
import hashlib
import hmac
import json
import math
import statistics

from tests.oracle.canonical_json import canonical_bytes
from tests.oracle.records import Record, pcs_id, without

FLOATS = ["D_hat", "budget", "coh_star", "r"]
SIGNED = [*FLOATS, "epoch", "merkle_root", "pcs_id", "shard_id"]
HMAC_SPELLINGS = [1, 2, 3, 4]
ED25519_SPELLINGS = [1, 3]


def rounded(number: float) -> float:
    size = math.floor(math.fabs(number) * 1e9 + 0.5) / 1e9
    return 0.0 if size == 0 else math.copysign(size, number)


def signed_members(record: Record) -> Record:
    members = without(record, [name for name in record if name not in SIGNED])
    for name in FLOATS:
        members[name] = rounded(float(str(members[name])))
    return members


def as_python(record: Record) -> bytes:
    """Write the signed members as an old Python agent did."""
    members = signed_members(record)
    return json.dumps(members, sort_keys=True, separators=(",", ":")).encode("ascii")


def as_ecmascript(record: Record) -> bytes:
    """Write them as ECMAScript does; beyond ASCII, canonical JSON is escaped afterwards."""
    text = canonical_bytes(signed_members(record)).decode("utf-8")
    units = text.encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2)]
    return "".join(chr(c) if c < 128 else f"\\u{c:04x}" for c in codes).encode("ascii")


def message(record: Record, spelling: int) -> bytes:
    """Return what the HMAC of a spelling is taken over."""
    text = as_python(record) if spelling in (1, 2) else as_ecmascript(record)
    return text if spelling in (1, 3) else hashlib.sha256(text).digest()


def ed25519_message(record: Record, spelling: int) -> bytes:
    return message(record, spelling + 1)


def hmac_signature(record: Record, secret: bytes, spelling: int) -> str:
    tag = hmac.new(secret, message(record, spelling), hashlib.sha256).digest()
    return base64.b64encode(tag).decode("ascii")


def digest(record: Record) -> str:
    return hashlib.sha256(b"fractal-lba/legacy/1\n" + as_python(record)).hexdigest()


def stored(record: Record) -> bytes:
    """Return what a ledger keeps: what was signed, and the signature."""
    kept = signed_members(record)
    for name in ("schema", "version", "sig"):
        kept[name] = record[name]
    return canonical_bytes(kept)


def own_pcs_id(merkle_root: str, epoch: int, shard_id: str) -> str:
    if shard_id.isascii():
        return pcs_id(merkle_root, epoch, shard_id)
    return hashlib.sha256(f"{merkle_root}|{epoch}|{shard_id}".encode()).hexdigest()


def d_hat(counts: dict[str, int]) -> float:
    scales = sorted(int(scale) for scale in counts)
    slopes = []
    for i, a in enumerate(scales):
        for b in scales[i + 1 :]:
            rise = math.log2(counts[str(b)]) - math.log2(counts[str(a)])
            slopes.append(rise / (math.log2(b) - math.log2(a)))
    return rounded(statistics.median_high(slopes))


def budget(slope: float, coh_star: float, r: float) -> float:
    share = 0.10 + 0.30 * (1 - r)
    if slope > 2.2:
        share = share + 0.50 * (slope - 2.2)
    return rounded(min(max(share + 0.20 * coh_star, 0.0), 1.0))


def regime(slope: float, coh_star: float) -> str:
    if slope <= 1.5 and coh_star >= 0.70:
        return "sticky"
    return "mixed" if slope < 2.6 else "non_sticky"
