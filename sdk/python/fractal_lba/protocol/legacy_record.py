"""The record of version 0.1: accepted from old agents, never made.

Its signature covers eight members, `LegacySigned`, with the four numbers rounded; the others can be
changed by anyone on the way. They are read, since a verdict is checked against them, and forgotten:
what is kept, `stored_legacy_bytes`, is what was signed.

The order of refusals is that of the table in ``specs/pcs.md`` section 7.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from fractal_lba.protocol import structure
from fractal_lba.protocol.canonical import SAFE_INTEGER_MAX, JsonValue, canonical
from fractal_lba.protocol.derive import Regime, rounded
from fractal_lba.protocol.document import SCHEMA, read_document, require_version
from fractal_lba.protocol.errors import ContractError
from fractal_lba.protocol.identity import pcs_id
from fractal_lba.protocol.strict_base64 import encode_base64
from fractal_lba.protocol.structure import HASH, MISSING

LEGACY_VERSION: Final = "0.1"

SHARD_ID_BYTES_MAX: Final = 128
SENT_AT_BYTES_MAX: Final = 64
SCALES_MIN: Final = 2
SCALES_MAX: Final = 16
SCALE_MIN: Final = 2
SCALE_MAX: Final = 65_536
V_STAR_MAX: Final = 4_096

NUMBER_MAX: Final = 1_000_000
"""Of the signed numbers: nine decimals of it are exact in a double, so rounding twice is once."""

# A control character in the name of a stream would be one in a log, and in a key on disk.
_SHARD_ID: Final = re.compile(r"[^\x00-\x1f\x7f]+")
_REGIMES: Final = {regime.value: regime for regime in Regime}


class LegacySigned(msgspec.Struct, frozen=True, kw_only=True):
    """What the signature covers, and all that is remembered.

    Attributes:
        shard_id: 1 … 128 bytes of UTF-8 without control characters.
        d_hat: rounded to nine decimals, as are the next three; -1e6 … 1e6.
    """

    pcs_id: str
    merkle_root: str
    epoch: int
    shard_id: str
    d_hat: float
    coh_star: float
    r: float
    budget: float


class LegacyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record whose structure and pcs_id are right; its signature is not checked by that.

    Attributes:
        n_j: scale to occupied cells, ascending; anyone's word.
        regime: anyone's word too.
        signature: 32 or 64 bytes, or none where ``sig`` is absent or empty.
    """

    signed: LegacySigned
    n_j: Mapping[int, int]
    regime: Regime
    signature: bytes

    @property
    def version(self) -> str:
        """Always 0.1."""
        return LEGACY_VERSION

    @property
    def pcs_id(self) -> str:
        """The id of its window."""
        return self.signed.pcs_id


def parse_legacy_record(body: bytes) -> LegacyRecord:
    """Return the record of version 0.1 a body holds.

    Raises:
        Refusal: As `parse_record`, by the table of this version.
    """
    document = read_document(body)
    require_version(document, (LEGACY_VERSION,))
    return legacy_record_of(document)


def legacy_record_of(members: Mapping[str, JsonValue]) -> LegacyRecord:
    """Return the record a document of this version holds; members it does not have are ignored.

    Raises:
        Refusal: ``invalid_record`` with the member, or ``pcs_id_mismatch``, in this order.
    """

    def get(name: str) -> object:
        return members.get(name, MISSING)

    id_ = structure.require_match(get("pcs_id"), "pcs_id", HASH)
    structure.require_one_of(get("schema"), "schema", (SCHEMA,))
    shard_id = _shard_id(get("shard_id"))
    epoch = structure.require_integer(get("epoch"), "epoch", 0, SAFE_INTEGER_MAX)
    structure.require_safe_integer(get("attempt"), "attempt")
    structure.require_text(get("sent_at"), "sent_at", SENT_AT_BYTES_MAX)
    structure.require_safe_integer(get("seed"), "seed")
    n_j = _n_j(get("N_j"), _scales(get("scales")))
    coh_star = _number(get("coh_star"), "coh_star")
    _check_v_star(get("v_star"))
    d_hat = _number(get("D_hat"), "D_hat")
    r = _number(get("r"), "r")
    regime = _REGIMES[structure.require_one_of(get("regime"), "regime", _REGIMES)]
    budget = _number(get("budget"), "budget")
    merkle_root = structure.require_match(get("merkle_root"), "merkle_root", HASH)
    signature = structure.require_signature(get("sig"))
    structure.require_own_id(id_, pcs_id(merkle_root, epoch, shard_id))
    signed = LegacySigned(
        pcs_id=id_,
        merkle_root=merkle_root,
        epoch=epoch,
        shard_id=shard_id,
        d_hat=d_hat,
        coh_star=coh_star,
        r=r,
        budget=budget,
    )
    return LegacyRecord(signed=signed, n_j=n_j, regime=regime, signature=signature)


def stored_legacy_bytes(signed: LegacySigned, signature: bytes) -> bytes:
    """Return what a ledger keeps: the signed members, ``schema``, ``version`` and ``sig``.

    Nothing else, since whoever carried the record could have changed it: two copies of one record
    that differ in what is not signed are stored alike.
    """
    return canonical(
        {
            "schema": SCHEMA,
            "version": LEGACY_VERSION,
            "pcs_id": signed.pcs_id,
            "merkle_root": signed.merkle_root,
            "epoch": signed.epoch,
            "shard_id": signed.shard_id,
            "D_hat": signed.d_hat,
            "coh_star": signed.coh_star,
            "r": signed.r,
            "budget": signed.budget,
            "sig": encode_base64(signature),
        }
    )


def legacy_signed_of(members: Mapping[str, JsonValue]) -> LegacySigned:
    """Return what was signed, from the members that `stored_legacy_bytes` wrote.

    Raises:
        ContractError: They are not exactly what it writes.
    """

    def get(name: str) -> object:
        return members.get(name, MISSING)

    signed = LegacySigned(
        pcs_id=structure.require_match(get("pcs_id"), "pcs_id", HASH),
        merkle_root=structure.require_match(get("merkle_root"), "merkle_root", HASH),
        epoch=structure.require_integer(get("epoch"), "epoch", 0, SAFE_INTEGER_MAX),
        shard_id=_shard_id(get("shard_id")),
        d_hat=_number(get("D_hat"), "D_hat"),
        coh_star=_number(get("coh_star"), "coh_star"),
        r=_number(get("r"), "r"),
        budget=_number(get("budget"), "budget"),
    )
    structure.require_own_id(
        signed.pcs_id, pcs_id(signed.merkle_root, signed.epoch, signed.shard_id)
    )
    signature = structure.require_signature(get("sig"))
    if not signature or canonical(members) != stored_legacy_bytes(signed, signature):
        raise ContractError("record: expected the signed members of version 0.1, got others")
    return signed


def _number(value: object, member: str) -> float:
    return rounded(structure.require_number(value, member, -NUMBER_MAX, NUMBER_MAX))


def _shard_id(value: object) -> str:
    shard_id = structure.require_text(value, "shard_id", SHARD_ID_BYTES_MAX)
    return structure.require_match(shard_id, "shard_id", _SHARD_ID)


def _scales(value: object) -> list[int]:
    scales: list[int] = []
    least = SCALE_MIN
    for index, item in enumerate(structure.require_array(value, "scales", SCALES_MIN, SCALES_MAX)):
        scales.append(structure.require_integer(item, f"scales.{index}", least, SCALE_MAX))
        least = scales[-1] + 1
    return scales


def _n_j(value: object, scales: list[int]) -> dict[int, int]:
    counts = structure.require_object(value, "N_j")
    n_j = {
        scale: structure.require_integer(
            counts.get(str(scale), MISSING), f"N_j.{scale}", 1, SAFE_INTEGER_MAX
        )
        for scale in scales
    }
    structure.refuse_unknown(counts, frozenset(map(str, scales)), "N_j.")
    return n_j


def _check_v_star(value: object) -> None:
    for index, item in enumerate(structure.require_array(value, "v_star", 1, V_STAR_MAX)):
        if type(item) is not float and type(item) is not int:
            structure.refuse_type(item, f"v_star.{index}", "a number")
