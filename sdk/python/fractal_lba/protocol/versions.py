"""The versions a record can have: the one place that asks which it is.

Each function here is one step of the way of a record, with the step of the version behind it. Every
version that ever was accepted stays readable, since ledgers keep what they decided.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias, assert_never

from fractal_lba.protocol.document import read_document, require_version
from fractal_lba.protocol.errors import Refusal, RefusalCode
from fractal_lba.protocol.identity import content_digest, record_digest, signing_input
from fractal_lba.protocol.judge import CURRENT_PARAMS, LEGACY_PARAMS, Outcome, Params, judge
from fractal_lba.protocol.legacy_judge import judge_legacy, refuse_unsigned
from fractal_lba.protocol.legacy_record import (
    LEGACY_VERSION,
    LegacyRecord,
    legacy_record_of,
    legacy_signed_of,
    stored_legacy_bytes,
)
from fractal_lba.protocol.legacy_signing import legacy_digest
from fractal_lba.protocol.reading import plain_record
from fractal_lba.protocol.record import VERSION, Record, record_of, stored_bytes

AnyRecord: TypeAlias = Record | LegacyRecord

IN_FORCE: Final[Mapping[str, Params]] = {VERSION: CURRENT_PARAMS, LEGACY_VERSION: LEGACY_PARAMS}
"""What a record of each version is judged by today."""


class Stored(NamedTuple):
    """What a ledger's bytes of a record say of it. ``kid`` is None where it names no key."""

    version: str
    pcs_id: str
    kid: str | None
    record_digest: str
    content_digest: str


def parse_any_record(body: bytes, *, accepts_legacy: bool) -> AnyRecord:
    """Return the record a body holds, of any version that is taken.

    Args:
        body: As sent.
        accepts_legacy: Whether version 0.1 is taken; where it is not, it is refused as such, before
            any member is looked at.

    Raises:
        Refusal: As `parse_record`, by the rules of the body's own version.
    """
    plain = plain_record(body)
    if plain is not None:
        return plain
    document = read_document(body)
    if require_version(document, tuple(IN_FORCE)) == VERSION:
        return record_of(document)
    if not accepts_legacy:
        code = RefusalCode.UNSUPPORTED_VERSION
        message = f"version: expected {VERSION}, got {LEGACY_VERSION}, which is switched off here"
        raise Refusal(code, "legacy_switched_off", message, member="version")
    return legacy_record_of(document)


def judge_any(record: AnyRecord, in_force: Mapping[str, Params]) -> Outcome:
    """Return the verdict on a record under the parameter set of its version; pure."""
    params = in_force[record.version]
    match record:
        case Record():
            return judge(record, params)
        case LegacyRecord():
            return judge_legacy(record, params)
        case _:
            assert_never(record)


def is_remembered(record: AnyRecord, outcome: Outcome) -> bool:
    """Return whether an outcome is kept: of version 0.1 only one that accepts.

    A relay can spoil a copy of such a record; it must not decide for the honest sender.

    Raises:
        Refusal: ``unsigned_member_mismatch``: the outcome is not even the record's.
    """
    if isinstance(record, Record):
        return True
    refuse_unsigned(outcome)
    return outcome.accepted


def created_at_ms(record: AnyRecord) -> int | None:
    """Return when a record says it was made, in ms since 1970; version 0.1 signs no time."""
    return record.created_at_ms if isinstance(record, Record) else None


def key_member(record: AnyRecord) -> str | None:
    """Return the member that names a record's key; version 0.1 has none."""
    return "kid" if isinstance(record, Record) else None


def stored_bytes_of(record: AnyRecord) -> bytes:
    """Return what a ledger keeps of a record."""
    match record:
        case Record():
            return stored_bytes(record)
        case LegacyRecord():
            return stored_legacy_bytes(record.signed, record.signature)
        case _:
            assert_never(record)


def read_stored(data: bytes) -> Stored:
    """Return what the bytes that `stored_bytes_of` gave say of their record.

    Raises:
        ContractError: They are not such bytes.
    """
    document = read_document(data)
    if require_version(document, tuple(IN_FORCE)) == LEGACY_VERSION:
        signed = legacy_signed_of(document)
        digest = legacy_digest(signed)
        return Stored(LEGACY_VERSION, signed.pcs_id, None, digest, digest)
    record = record_of(document)
    digest = record_digest(signing_input(record.members))
    return Stored(record.version, record.pcs_id, record.kid, digest, content_digest(record.members))
