"""The PCS record, version 1.0: bytes in, a value whose every member was checked out.

The order of refusals is part of the contract, so that every implementation gives the same code for
the same body: size, JSON, version, the members in the order of the table in ``specs/pcs.md``
(inside an object its known members first), unknown members, pcs_id.

A record owns two byte strings: `stored_bytes`, what a ledger keeps, and `sent_bytes`, what goes
over the wire with the delivery of this attempt.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final, TypeAlias, cast

import msgspec
from msgspec import Meta

from fractal_lba.protocol import structure
from fractal_lba.protocol.canonical import SAFE_INTEGER_MAX, JsonValue, canonical, without
from fractal_lba.protocol.derive import Regime
from fractal_lba.protocol.document import SCHEMA
from fractal_lba.protocol.identity import pcs_id
from fractal_lba.protocol.structure import HASH, MISSING

VERSION: Final = "1.0"

ROWS_MIN: Final = 3
ROWS_MAX: Final = 65_536
COLUMNS_MAX: Final = 4_096
SCALES_MIN: Final = 2
SCALES_MAX: Final = 10
SCALE_MIN: Final = 2
SCALE_MAX: Final = 1_024

SHARD_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_META_NAME: Final = re.compile(r"[a-z0-9_.]{1,64}")
KID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

_SCALE_PATHS: Final = tuple(f"scales.{index}" for index in range(SCALES_MAX))
_V_STAR_PATHS: Final = ("v_star.0", "v_star.1", "v_star.2")
D_HAT_MAX: Final = 16
COH_STAR_MIN: Final = 0.05  # one of 20 bins always holds a twentieth of the points
UNIT_TOLERANCE: Final = 1e-6
FALLBACKS_MAX: Final = 8
FALLBACK_BYTES_MAX: Final = 64
_META_MEMBERS_MAX: Final = 16
_META_BYTES_MAX: Final = 256


_SafeInteger: TypeAlias = Annotated[int, Meta(ge=-SAFE_INTEGER_MAX, le=SAFE_INTEGER_MAX)]
_Ordinal: TypeAlias = Annotated[int, Meta(ge=1, le=SAFE_INTEGER_MAX)]


class Profile(StrEnum):
    """How a window became points."""

    POINTS = "points/1"
    BYTES = "bytes/1"


_PROFILES: Final = {profile.value: profile for profile in Profile}
_REGIMES: Final = {regime.value: regime for regime in Regime}

_MEMBERS: Final = frozenset(
    {"schema", "version", "kid", "pcs_id", "merkle_root", "epoch", "shard_id", "created_at"}
    | {"profile", "n", "d", "seed", "scales", "N_j", "D_hat", "coh_star", "r", "budget"}
    | {"v_star", "regime", "ft", "meta", "delivery", "sig"}
)
_NOT_STORED: Final = frozenset({"delivery"})
_FT_MEMBERS: Final = frozenset({"degraded", "fallbacks", "clock_skew_ms"})
_DELIVERY_MEMBERS: Final = frozenset({"attempt", "sent_at", "outbox_seq"})


class FaultTolerance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the agent had to weaken.

    Attributes:
        degraded: something was lost or substituted.
        fallbacks: 0 … 8 reasons, at most 64 bytes each.
        clock_skew_ms: the agent's estimate, any safe integer.
    """

    degraded: bool
    fallbacks: Annotated[tuple[str, ...], Meta(max_length=FALLBACKS_MAX)]
    clock_skew_ms: _SafeInteger


class Delivery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One attempt to send a record: unsigned, and different on every retry.

    Attributes:
        attempt: 1 … 2^53−1.
        sent_at: a timestamp in the spelling of `format_timestamp`.
        outbox_seq: 1 … 2^53−1.
    """

    attempt: _Ordinal
    sent_at: str
    outbox_seq: _Ordinal


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A record whose structure and pcs_id are right; its signature is not checked by that.

    Attributes:
        created_at_ms: ``created_at`` in milliseconds since 1970.
        n: rows of the window as given.
        d: its columns.
        n_j: scale to occupied cells, ascending.
        v_star: a unit vector.
        signature: 32 or 64 bytes, or none where ``sig`` is absent or empty.
        members: the members as they came, numbers normalised: what canonical bytes are made of.
    """

    schema: str
    version: str
    kid: str
    pcs_id: str
    merkle_root: str
    epoch: int
    shard_id: str
    created_at: str
    created_at_ms: int
    profile: Profile
    n: int
    d: int
    seed: int
    scales: tuple[int, ...]
    n_j: Mapping[int, int]
    d_hat: float
    coh_star: float
    r: float
    budget: float
    v_star: tuple[float, float, float]
    regime: Regime
    ft: FaultTolerance
    meta: Mapping[str, str | int | bool] | None
    delivery: Delivery | None
    signature: bytes
    members: Mapping[str, JsonValue]


def stored_bytes(record: Record) -> bytes:
    """Return the canonical bytes with ``sig`` and without ``delivery``: what a ledger keeps."""
    members = record.members
    return canonical(without(members, _NOT_STORED) if "delivery" in members else members)


def sent_bytes(record: Record, delivery: Delivery) -> bytes:
    """Return the canonical bytes with ``sig`` and this delivery: what goes over the wire."""
    unsigned = {name: getattr(delivery, name) for name in _DELIVERY_MEMBERS}
    return canonical({**record.members, "delivery": unsigned})


def record_of(members: dict[str, JsonValue]) -> Record:
    """Return the record a document of this version holds.

    Raises:
        Refusal: ``invalid_record`` with the member, or ``pcs_id_mismatch``, in this order.
    """
    get = members.get
    # In the order of the table: keyword arguments are evaluated as they stand.
    record = Record(
        members=members,
        schema=structure.require_one_of(get("schema", MISSING), "schema", (SCHEMA,)),
        version=VERSION,
        kid=structure.require_match(get("kid", MISSING), "kid", KID),
        pcs_id=structure.require_match(get("pcs_id", MISSING), "pcs_id", HASH),
        merkle_root=structure.require_match(get("merkle_root", MISSING), "merkle_root", HASH),
        epoch=structure.require_integer(get("epoch", MISSING), "epoch", 0, SAFE_INTEGER_MAX),
        shard_id=structure.require_match(get("shard_id", MISSING), "shard_id", SHARD_ID),
        created_at_ms=structure.require_timestamp(get("created_at", MISSING), "created_at"),
        created_at=cast("str", get("created_at")),
        profile=_PROFILES[structure.require_one_of(get("profile", MISSING), "profile", _PROFILES)],
        n=structure.require_integer(get("n", MISSING), "n", ROWS_MIN, ROWS_MAX),
        d=_columns(get("d", MISSING), members["profile"]),
        seed=structure.require_integer(get("seed", MISSING), "seed", 0, SAFE_INTEGER_MAX),
        scales=_scales(get("scales", MISSING)),
        n_j=_n_j(get("N_j", MISSING), members),
        d_hat=structure.require_number(get("D_hat", MISSING), "D_hat", -D_HAT_MAX, D_HAT_MAX),
        coh_star=structure.require_number(get("coh_star", MISSING), "coh_star", COH_STAR_MIN, 1),
        r=structure.require_number(get("r", MISSING), "r", 0, 1),
        budget=structure.require_number(get("budget", MISSING), "budget", 0, 1),
        v_star=_v_star(get("v_star", MISSING)),
        regime=_REGIMES[structure.require_one_of(get("regime", MISSING), "regime", _REGIMES)],
        ft=_ft(get("ft", MISSING)),
        meta=meta_of(get("meta", MISSING)),
        delivery=_delivery(get("delivery", MISSING)),
        signature=structure.require_signature(get("sig", MISSING)),
    )
    structure.refuse_unknown(members, _MEMBERS)
    structure.require_own_id(
        record.pcs_id, pcs_id(record.merkle_root, record.epoch, record.shard_id)
    )
    return record


def _columns(value: object, profile: JsonValue) -> int:
    most = 1 if profile == Profile.BYTES else COLUMNS_MAX
    return structure.require_integer(value, "d", 1, most)


def _scales(value: object) -> tuple[int, ...]:
    items = structure.require_array(value, "scales", SCALES_MIN, SCALES_MAX)
    scales: list[int] = []
    for index, item in enumerate(items):
        member = _SCALE_PATHS[index]
        scale = structure.require_integer(item, member, SCALE_MIN, SCALE_MAX)
        if scales and scale < 2 * scales[-1]:
            structure.refuse("not_doubled", member, "at least twice the one before", "less")
        scales.append(scale)
    return tuple(scales)


def _n_j(value: object, members: Mapping[str, JsonValue]) -> dict[int, int]:
    counts = structure.require_object(value, "N_j")
    n = cast("int", members["n"])
    scales = cast("list[int]", members["scales"])
    points = n - 2 if members["d"] == 1 else n  # a delay embedding of three loses two
    names = [str(scale) for scale in scales]
    n_j = {
        scale: structure.require_integer(counts.get(name, MISSING), f"N_j.{name}", 1, points)
        for scale, name in zip(scales, names, strict=True)
    }
    structure.refuse_unknown(counts, frozenset(names), "N_j.")
    return n_j


def _v_star(value: object) -> tuple[float, float, float]:
    items = structure.require_array(value, "v_star", 3, 3)
    v0, v1, v2 = (
        structure.require_number(item, member, -1, 1)
        for item, member in zip(items, _V_STAR_PATHS, strict=True)
    )
    if abs((v0 * v0 + v1 * v1) + v2 * v2 - 1) > UNIT_TOLERANCE:
        structure.refuse("not_a_unit_vector", "v_star", "length 1", "another length")
    return v0, v1, v2


def _ft(value: object) -> FaultTolerance:
    members = structure.require_object(value, "ft")
    get = members.get
    degraded = structure.require_boolean(get("degraded", MISSING), "ft.degraded")
    fallbacks = structure.require_array(get("fallbacks", MISSING), "ft.fallbacks", 0, FALLBACKS_MAX)
    ft = FaultTolerance(
        degraded=degraded,
        fallbacks=tuple(
            structure.require_text(item, f"ft.fallbacks.{index}", FALLBACK_BYTES_MAX)
            for index, item in enumerate(fallbacks)
        ),
        clock_skew_ms=structure.require_safe_integer(
            get("clock_skew_ms", MISSING), "ft.clock_skew_ms"
        ),
    )
    structure.refuse_unknown(members, _FT_MEMBERS, "ft.")
    return ft


def meta_of(value: object) -> dict[str, str | int | bool] | None:
    """Return what ``meta`` holds, None where it is `MISSING`.

    Raises:
        Refusal: ``invalid_record`` with the member.
    """
    if value is MISSING:
        return None
    members = structure.require_object(value, "meta")
    if len(members) > _META_MEMBERS_MAX:
        structure.refuse("wrong_count", "meta", f"at most {_META_MEMBERS_MAX} members", "more")
    meta: dict[str, str | int | bool] = {}
    for name in sorted(members):  # in canonical order, as far as a refusal can tell
        member = f"meta.{structure.shown(name)}"
        structure.require_match(name, member, _META_NAME)
        item = members[name]
        if type(item) is bool:
            meta[name] = item
        elif type(item) is str:
            meta[name] = structure.require_text(item, member, _META_BYTES_MAX)
        else:
            meta[name] = structure.require_safe_integer(item, member)
    return meta


def _delivery(value: object) -> Delivery | None:
    if value is MISSING:
        return None
    members = structure.require_object(value, "delivery")
    get = members.get
    attempt = get("attempt", MISSING)
    delivery = Delivery(
        attempt=structure.require_integer(attempt, "delivery.attempt", 1, SAFE_INTEGER_MAX),
        sent_at=_timestamp_text(get("sent_at", MISSING), "delivery.sent_at"),
        outbox_seq=structure.require_integer(
            get("outbox_seq", MISSING), "delivery.outbox_seq", 1, SAFE_INTEGER_MAX
        ),
    )
    structure.refuse_unknown(members, _DELIVERY_MEMBERS, "delivery.")
    return delivery


def _timestamp_text(value: object, member: str) -> str:
    structure.require_timestamp(value, member)
    return cast("str", value)
