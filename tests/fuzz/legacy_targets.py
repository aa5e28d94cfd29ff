"""Bytes that claim to be a record of version 0.1: whoever bends what is not signed bends nothing.

Held to the oracle: what is read is what it reads, what is refused it refuses for the same reason.
"""

import base64
from typing import Any, Final

from tests.oracle.canonical_json import canonical_bytes
from tests.oracle.legacy import digest, stored
from tests.oracle.legacy_records import legacy_record_of, verdict
from tests.oracle.refusal import Refused
from tests.support.legacy import OLD, OLD_ED25519, body, golden_record, members, signed

from fractal_lba.protocol import (
    IN_FORCE,
    Authenticated,
    Keyring,
    LegacyRecord,
    Refusal,
    RefusalCode,
    authenticate,
    decision_body,
    is_remembered,
    judge_any,
    parse_legacy_record,
    read_stored,
    stored_bytes_of,
)

MESSAGE_CHARACTERS_MAX: Final = 300
PIECES: Final = (
    b'"N_j"', b'"regime"', b'"scales"', b'"ft"', b'"attempt"', b'"sent_at"', b'"v_star"', b'"sig"',
    b'"sticky"', b'"mixed"', b'"non_sticky"', b'{"2":4,"4":9,"8":20,"16":31}', b"[2,4,8,16]",
    b'{"2":4,"4":9}', b"[2,4]", b"null", b"[]", b"{}", b"-0.0", b"1e-10", b"4e-10", b"1000000",
    b"1000001", b"65536", b"65537", b"9007199254740991", b"9007199254740992", b"1.0", b"10e-1",
    b"true", rb'"S\u00fcd"', '"Süd"'.encode(), rb'"\ud800"', b"\xff", b'"0.1"', b'"1.0"',
    b'"a":[1,{}]',
)  # fmt: skip

_RING: Final = Keyring(keys={signer.kid: signer.key for signer in (OLD, OLD_ED25519)}, tokens={})
_APART: Final[dict[str, Any]] = {"r": 5e-05, "coh_star": 1, "shard_id": "Süd \U0001f600"}
RECORDS: Final = (
    golden_record(),
    *(
        body(signed(signer=signer, spelling=spelling, **_APART))
        for signer in (OLD, OLD_ED25519)
        for spelling in signer.spellings
    ),
    body(signed(2, budget=0.9)),
    body(signed(3, r=2)),
    body(signed(6, r=0.2500000004)),
    body({**signed(4), "regime": "sticky"}),
    body(members(5)),
)


def _verdict_of(copy: dict[str, object]) -> tuple[str, bytes | None]:
    """Return what the oracle says of a copy whose signature holds."""
    try:
        decided = verdict(copy)
    except Refused as refused:
        return f"spoiled {refused.reason}", None
    named = {"pcs_id": copy["pcs_id"], "record_digest": digest(copy)}
    end = "verified remembered" if decided["accepted"] else "verified not accepted"
    return end, canonical_bytes(named | decided)


def _ended(found: Authenticated) -> tuple[str, bytes | None]:
    """Return what follows from a copy whose signature holds."""
    outcome = judge_any(found.record, IN_FORCE)
    try:
        remembered = is_remembered(found.record, outcome)
    except Refusal as refusal:
        return f"spoiled {refusal.reason}", None
    told = decision_body(
        pcs_id=found.record.pcs_id, record_digest=found.record_digest, outcome=outcome
    )
    return "verified remembered" if remembered else "verified not accepted", told


_HONEST: Final = [legacy_record_of(record, accepts_legacy=True) for record in RECORDS[:-1]]
_SIGNED: Final = frozenset(map(digest, _HONEST))
_STORED: Final = frozenset(map(stored, _HONEST))
_TOLD: Final = {digest(copy): _verdict_of(copy)[1] for copy in _HONEST}


def legacy_record(data: bytes) -> str:
    """Read the bytes as a record of version 0.1, check its signature, and judge it."""
    try:
        read = parse_legacy_record(data)
    except Refusal as refusal:
        return _told_alike(refusal, data)
    again = legacy_record_of(data, accepts_legacy=True)
    assert (read.pcs_id, read.signed.epoch) == (again["pcs_id"], again["epoch"])
    assert read.signature == base64.b64decode(str(again.get("sig", "")))
    try:
        found = authenticate(data, _RING, legacy_tenant="default")
    except Refusal as refusal:
        return _told(refusal)
    # Nobody here can sign: what verifies is what was signed, and so is what is kept.
    assert isinstance(found.record, LegacyRecord)
    assert found.record_digest == found.content_digest in _SIGNED
    kept = stored_bytes_of(found.record)
    assert kept in _STORED
    assert read_stored(kept).record_digest == found.record_digest
    end, told = _ended(found)
    assert (end, told) == _verdict_of(again)
    # A verdict is the one that the signer's own copy gets, unless that one is spoiled itself.
    assert told is None or _TOLD[found.record_digest] in {told, None}
    return end


def _told_alike(refusal: Refusal, data: bytes) -> str:
    # What is no JSON is held to its rule by the targets of JSON.
    if refusal.code not in {RefusalCode.MALFORMED_JSON, RefusalCode.BAD_ENCODING}:
        try:
            legacy_record_of(data, accepts_legacy=True)
        except Refused as refused:
            why = (refused.code, refused.reason, refused.member)
        else:
            why = ("", "", None)
        assert (str(refusal.code), refusal.reason, refusal.member) == why
    return _told(refusal)


def _told(refusal: Refusal) -> str:
    assert refusal.code in RefusalCode
    assert len(str(refusal)) <= MESSAGE_CHARACTERS_MAX
    assert str(refusal).isprintable()
    return f"{refusal.reason} {refusal.member or ''}".strip()
