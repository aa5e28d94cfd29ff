"""Random valid records from one seed: the same in every run, and every member at its bounds.

Each is as `sign` of `sdk/driver.md` takes it, without ``kid``, ``pcs_id`` and ``sig``.
"""

import base64
import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from fractal_lba.protocol import ed25519_public

SEED: Final = 20_261_122
SAFE_MAX: Final = 2**53 - 1
RECEIVED_AT: Final = "2026-11-22T06:00:00.000Z"

HMAC_SECRET: Final = bytes(range(7, 47))
ED25519_SEED: Final = bytes(range(32, 64))
ED25519_EVERY: Final = 4
"""One record in so many is signed with Ed25519, which costs a hundred times an HMAC."""

_SAFE_NAME: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
_META_NAME: Final = "abcdefghijklmnopqrstuvwxyz0123456789_."
# What writers of JSON differ in: what must be escaped, what need not be, and pairs of surrogates.
_CHARACTERS: Final = (
    *"abc XYZ019/\\\"'<>&", *map(chr, range(0x20)), "\x7f", "\x80", "é", "ß", "\u2028", "\u2029",
    "\ufeff", "\ufffe", "\uffff", "\U0001f600", "\U0010ffff", "\u0301", "٣", "\ud7ff", "\ue000",
)  # fmt: skip
_EPOCHS: Final = (0, 1, 9, 10, 2**31, 2**32, 2**53 - 2, SAFE_MAX)
_REGIMES: Final = ("sticky", "mixed", "non_sticky")
_DAYS: Final = (datetime(9999, 12, 31, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days


def alg_of(number: int) -> str:
    """Return with what a record is signed, by its number."""
    return "hmac" if number % ED25519_EVERY else "ed25519"


def secret_of(alg: str) -> bytes:
    """Return the HMAC secret or the Ed25519 seed."""
    return HMAC_SECRET if alg == "hmac" else ED25519_SEED


def keyring_of(alg: str) -> bytes:
    """Return a ring of one key."""
    if alg == "hmac":
        how = {"alg": "hmac-sha256", "secret": _spelled(HMAC_SECRET)}
    else:
        how = {"alg": "ed25519", "public": _spelled(ed25519_public(ED25519_SEED))}
    return orjson.dumps({"keys": [{"kid": f"{alg}-1", "tenant": "lab", **how}], "tokens": []})


def sign_request(number: int, record: dict[str, Any]) -> bytes:
    """Return the line that asks a driver to sign a record."""
    alg = alg_of(number)
    secret = base64.b64encode(secret_of(alg)).decode()
    return orjson.dumps(
        {"op": "sign", "alg": alg, "kid": f"{alg}-1", "secret": secret, "record": record}
    )


def verify_request(alg: str, body: bytes) -> bytes:
    """Return the line that asks a driver what it says to a body, as `signing_records.json` does."""
    return b"".join((_VERIFY[alg], base64.b64encode(body), _VERIFY_REST))


def records(count: int, seed: int = SEED) -> list[dict[str, Any]]:
    """Return so many valid records, no two with the same id."""
    rng = random.Random(f"records {seed}")  # noqa: S311 - replayed, not secret
    return [_record(rng) for _ in range(count)]


def _spelled(data: bytes) -> str:
    return "base64:" + base64.b64encode(data).decode()


def _verify_parts(alg: str) -> bytes:
    ring = base64.b64encode(keyring_of(alg))
    return b'{"op":"answer","file":"signing_records.json","input":{"keyring":"%b","body":"' % ring


_VERIFY: Final = {alg: _verify_parts(alg) for alg in ("hmac", "ed25519")}
_VERIFY_REST: Final = b'","trailing_spaces":0,"received_at":"%b"}}' % RECEIVED_AT.encode()


def _record(rng: random.Random) -> dict[str, Any]:
    profile = rng.choice(("points/1", "bytes/1"))
    d = 1 if profile == "bytes/1" else rng.choice((1, 2, 3, 768, 4_096, rng.randint(1, 4_096)))
    n = rng.choice((3, 65_536, rng.randint(3, 65_536), rng.randint(3, 300)))
    scales = _scales(rng)
    cells_max = n - 2 if d == 1 else n
    made: dict[str, Any] = {
        "schema": "fractal-lba-kakeya",
        "version": "1.0",
        "merkle_root": rng.randbytes(32).hex(),
        "epoch": rng.choice((*_EPOCHS, rng.randint(0, SAFE_MAX), rng.randint(0, 100_000))),
        "shard_id": _name(rng, _SAFE_NAME + ":", 128),
        "created_at": _timestamp(rng),
        "profile": profile,
        "n": n,
        "d": d,
        "seed": rng.choice((42, 0, SAFE_MAX, rng.randint(0, SAFE_MAX))),
        "scales": scales,
        "N_j": {str(scale): rng.randint(1, cells_max) for scale in _shuffled(rng, scales)},
        "D_hat": _number(rng, -16.0, 16.0),
        "coh_star": _number(rng, 0.05, 1.0),
        "r": _number(rng, 0.0, 1.0),
        "budget": _number(rng, 0.0, 1.0),
        "v_star": _direction(rng),
        "regime": rng.choice(_REGIMES),
        "ft": {
            "degraded": rng.random() < 0.5,
            "fallbacks": [_text(rng, 64) for _ in range(rng.choice((0, 0, 1, 3, 8)))],
            "clock_skew_ms": rng.choice((0, -SAFE_MAX, SAFE_MAX, rng.randint(-5_000, 5_000))),
        },
    }
    if rng.random() < 0.6:
        names = [_name(rng, _META_NAME, 64) for _ in range(rng.choice((0, 1, 3, 16)))]
        made["meta"] = {name: _meta_value(rng) for name in names}
    # Members come in any order, and none but the canonical one is signed.
    return {name: made[name] for name in _shuffled(rng, list(made))}


def _scales(rng: random.Random) -> list[int]:
    scales = [rng.choice((2, 2, 2, 3, 5, rng.randint(2, 512)))]
    while len(scales) < rng.choice((2, 5, 10)) or len(scales) < 2:
        least = 2 * scales[-1]
        if least > 1_024:
            break
        scales.append(min(1_024, rng.choice((least, least, least + rng.randint(0, least)))))
    return scales if len(scales) > 1 else [2, 4, 8, 16, 32]


def _shuffled(rng: random.Random, items: Sequence[Any]) -> list[Any]:
    return rng.sample(items, len(items))


def _name(rng: random.Random, alphabet: str, length_max: int) -> str:
    length = rng.choice((1, length_max, rng.randint(1, length_max), rng.randint(1, 12)))
    return "".join(rng.choices(alphabet, k=length))


def _text(rng: random.Random, bytes_max: int) -> str:
    text = "".join(rng.choices(_CHARACTERS, k=rng.randint(0, bytes_max // 2)))
    while len(text.encode()) > bytes_max:
        text = text[:-1]
    return text


def _timestamp(rng: random.Random) -> str:
    when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
        days=rng.choice((0, _DAYS, rng.randint(0, _DAYS))), milliseconds=rng.randint(0, 86_399_999)
    )
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1_000:03d}Z"


def _number(rng: random.Random, low: float, high: float) -> float | int:
    """Return a number of a range: a bound, a rounded one, any double, a tiny one, an integer."""
    match rng.randrange(6):
        case 0:
            return rng.choice((low, high))
        case 1 | 2:
            return round(rng.uniform(low, high), 9)
        case 3:
            return rng.uniform(low, high)
        case 4:
            tiny = math.ldexp(rng.random(), -rng.randint(1, 1_074))
            return max(tiny, low)
        case _:
            return rng.randint(math.ceil(low), math.floor(high))


def _direction(rng: random.Random) -> list[float | int]:
    if rng.random() < 0.2:
        axis = [0, 0, 0]
        axis[rng.randrange(3)] = rng.choice((1, -1))
        return list(axis)
    while True:
        raw = [rng.uniform(-1.0, 1.0) for _ in range(3)]
        length = math.sqrt(sum(each * each for each in raw))
        if length > 0.1:
            digits = rng.choice((9, 17))
            return [round(each / length, digits) for each in raw]


def _meta_value(rng: random.Random) -> str | int | bool:
    return rng.choice(
        (
            _text(rng, 256),
            rng.choice((0, -1, SAFE_MAX, -SAFE_MAX, rng.randint(-(10**6), 10**6))),
            rng.random() < 0.5,
        )
    )
