"""Read a record: the one spelling that programs send at once, any other by the rules, in order.

The rule: the quick way only ever says yes, and only to what the long way takes, with the same
values. Whatever it does not take goes the long way from its first byte on, which alone refuses.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from operator import itemgetter
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
import orjson
from msgspec import UNSET, Meta, UnsetType

from fractal_lba.protocol import record as rules
from fractal_lba.protocol import structure
from fractal_lba.protocol.canonical import (
    PLAIN_FLOAT_MIN,
    SAFE_INTEGER_MAX,
    JsonValue,
    PlainObject,
    canonical,
)
from fractal_lba.protocol.derive import Regime
from fractal_lba.protocol.described import described
from fractal_lba.protocol.document import (
    RECORD_BYTES_MAX,
    SCHEMA,
    read_document,
    require_version,
)
from fractal_lba.protocol.errors import ContractError, Refusal
from fractal_lba.protocol.record import (
    VERSION,
    Delivery,
    FaultTolerance,
    Profile,
    Record,
    record_of,
)
from fractal_lba.protocol.structure import HASH
from fractal_lba.protocol.timestamps import parse_timestamp

_Coordinate: TypeAlias = Annotated[int, Meta(ge=-1, le=1)] | Annotated[float, Meta(gt=-1, lt=1)]
_DHat: TypeAlias = (
    Annotated[int, Meta(ge=-rules.D_HAT_MAX, le=rules.D_HAT_MAX)]
    | Annotated[float, Meta(gt=-rules.D_HAT_MAX, lt=rules.D_HAT_MAX)]
)
_Count: TypeAlias = Annotated[int, Meta(ge=0, le=SAFE_INTEGER_MAX)]
_Scale: TypeAlias = Annotated[int, Meta(ge=rules.SCALE_MIN, le=rules.SCALE_MAX)]
# A share is 0, 1, or a double between them that has one spelling.
_Share: TypeAlias = (
    Annotated[int, Meta(ge=0, le=1)] | Annotated[float, Meta(ge=PLAIN_FLOAT_MIN, lt=1)]
)
_CohStar: TypeAlias = (
    Annotated[int, Meta(ge=1, le=1)] | Annotated[float, Meta(ge=rules.COH_STAR_MIN, lt=1)]
)

_OWN_NAME: Final = re.compile(rf"{HASH.pattern}\|[0-9]+\|{rules.SHARD_ID.pattern}")
"""What a record is named after; no part of it holds a bar."""

_SCALES_CACHED: Final = 64
"""An agent uses one set of scales, a server meets a few."""


@described
class _Shape(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The types and ranges of a record's members, as far as one member shows them."""

    schema: Literal[SCHEMA]  # type: ignore[valid-type]
    version: Literal["1.0"]
    kid: str
    pcs_id: str
    merkle_root: str
    epoch: _Count
    shard_id: str
    created_at: str
    profile: Profile
    n: Annotated[int, Meta(ge=rules.ROWS_MIN, le=rules.ROWS_MAX)]
    d: Annotated[int, Meta(ge=1, le=rules.COLUMNS_MAX)]
    seed: _Count
    scales: Annotated[
        tuple[_Scale, ...], Meta(min_length=rules.SCALES_MIN, max_length=rules.SCALES_MAX)
    ]
    N_j: dict[str, Annotated[int, Meta(ge=1, le=rules.ROWS_MAX)]]
    D_hat: _DHat
    coh_star: _CohStar
    r: _Share
    budget: _Share
    v_star: tuple[_Coordinate, _Coordinate, _Coordinate]
    regime: Regime
    ft: FaultTolerance
    meta: dict[str, Any] | UnsetType = UNSET
    delivery: Delivery | UnsetType = UNSET
    sig: str | UnsetType = UNSET


def parse_record(body: bytes) -> Record:
    """Return the record a body holds.

    Raises:
        Refusal: ``too_large``, ``bad_encoding``, ``malformed_json``, ``unsupported_version``,
            ``invalid_record`` with the member, or ``pcs_id_mismatch``, in this order.
    """
    record = plain_record(body)
    if record is not None:
        return record
    document = read_document(body)
    require_version(document, (VERSION,))
    return record_of(document)


def record_from_members(members: Mapping[str, JsonValue]) -> Record:
    """Return the record with these members: the rules of `parse_record`, for producers.

    Raises:
        Refusal: As `parse_record`.
        ContractError: A value has no JSON form.
    """
    return parse_record(canonical(members))


def plain_record(body: bytes) -> Record | None:
    """Return the record of a body that is its own canonical form, None where it may be none.

    Such a body cannot hold a duplicate member, white space or a second spelling, since writing its
    value again would not give it back.
    """
    if len(body) > RECORD_BYTES_MAX:
        return None
    try:
        members = orjson.loads(body)
        if orjson.dumps(members, option=orjson.OPT_SORT_KEYS) != body:
            return None
        return _record_of(members, msgspec.convert(members, _Shape))
    except (
        orjson.JSONDecodeError,
        orjson.JSONEncodeError,  # it reads more levels than it writes
        msgspec.ValidationError,
        KeyError,
        ContractError,
        Refusal,
    ):
        return None


def _record_of(members: dict[str, JsonValue], shape: _Shape) -> Record | None:
    """Return the record of members that have the types and ranges, None where anything is else.

    Raises:
        KeyError: ``N_j`` lacks a scale.
        ContractError: The scales are too close, or a time is none.
        Refusal: What ``sig`` or ``meta`` holds is none.
    """
    counts = _counts_of(shape.scales)(shape.N_j)
    points = shape.n - 2 if shape.d == 1 else shape.n  # a delay embedding of three loses two
    v0, v1, v2 = shape.v_star
    own_name = f"{shape.merkle_root}|{shape.epoch}|{shape.shard_id}"
    if (
        len(counts) != len(shape.N_j)
        or max(counts) > points
        or not (_is_plain(shape.D_hat) and _is_plain(v0) and _is_plain(v1) and _is_plain(v2))
        or abs((v0 * v0 + v1 * v1) + v2 * v2 - 1) > rules.UNIT_TOLERANCE
        or (shape.d != 1 and shape.profile is Profile.BYTES)
        or _OWN_NAME.fullmatch(own_name) is None
        or sha256(own_name.encode()).hexdigest() != shape.pcs_id
        or rules.KID.fullmatch(shape.kid) is None
        or max(map(_bytes_of, shape.ft.fallbacks), default=0) > rules.FALLBACK_BYTES_MAX
    ):
        return None
    if shape.delivery is not UNSET:
        parse_timestamp(shape.delivery.sent_at)
    return Record(
        members=PlainObject(members),
        schema=SCHEMA,
        version=VERSION,
        kid=shape.kid,
        pcs_id=shape.pcs_id,
        merkle_root=shape.merkle_root,
        epoch=shape.epoch,
        shard_id=shape.shard_id,
        created_at=shape.created_at,
        created_at_ms=parse_timestamp(shape.created_at),
        profile=shape.profile,
        n=shape.n,
        d=shape.d,
        seed=shape.seed,
        scales=shape.scales,
        n_j=dict(zip(shape.scales, counts, strict=True)),
        d_hat=float(shape.D_hat),
        coh_star=float(shape.coh_star),
        r=float(shape.r),
        budget=float(shape.budget),
        v_star=(float(v0), float(v1), float(v2)),
        regime=shape.regime,
        ft=shape.ft,
        meta=None if shape.meta is UNSET else rules.meta_of(shape.meta),
        delivery=None if shape.delivery is UNSET else shape.delivery,
        signature=b"" if shape.sig is UNSET else structure.require_signature(shape.sig),
    )


@lru_cache(maxsize=_SCALES_CACHED)
def _counts_of(scales: tuple[int, ...]) -> Callable[[Mapping[str, int]], tuple[int, ...]]:
    """Return what takes the counts of these scales, in their order, out of ``N_j``.

    Raises:
        ContractError: One is not at least twice the one before.
    """
    if any(b < 2 * a for a, b in pairwise(scales)):
        raise ContractError("scales: expected each at least twice the one before, got less")
    return itemgetter(*map(str, scales))


def _is_plain(value: float) -> bool:
    """Return whether ``orjson`` spells a number of at most 16 as RFC 8785 does."""
    return type(value) is int or (value % 1.0 != 0.0 and abs(value) >= PLAIN_FLOAT_MIN)


def _bytes_of(text: str) -> int:
    return len(text.encode())
