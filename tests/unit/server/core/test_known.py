from dataclasses import replace

import pytest
from tests.support.signed import ACME, CREATED_AT, body

from fractal_lba.protocol.authenticate import Authenticated, authenticate
from fractal_lba.protocol.errors import Refusal, RefusalCode
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.protocol.timestamps import parse_timestamp
from fractal_lba.server.core.known import (
    CONFLICTS_KEPT_MAX,
    Known,
    KnownConflict,
    KnownResolution,
    Place,
    RecordKey,
    Standing,
    admit_new,
    family_of,
    key_of,
    standing,
)
from fractal_lba.server.core.listing import Summary

_PLACE = Place(seq=1, segment=1, offset=128)
_DAY_MS = 86_400_000
_RECORD = authenticate(body(1), Keyring(keys={ACME.kid: ACME.key}, tokens={}))


def _known(content_digest: str, conflicts: int = 0) -> Known:
    return Known(
        content_digest=content_digest,
        received_ns=1,
        place=_PLACE,
        status=200,
        summary=Summary(version="1.0", shard_id="press-7", epoch=1, regime="mixed"),
        conflicts=tuple(
            KnownConflict(content_digest=f"{n:064x}", received_ns=2, place=_PLACE)
            for n in range(conflicts)
        ),
    )


def test_an_unknown_id_is_new() -> None:
    assert standing(_RECORD, None) is Standing.NEW


def test_the_same_content_is_a_repeat_whatever_conflicts_there_were() -> None:
    assert standing(_RECORD, _known(_RECORD.content_digest, 8)) is Standing.REPEAT


def test_another_content_is_a_conflict_until_so_many_are_kept() -> None:
    assert standing(_RECORD, _known("f" * 64, CONFLICTS_KEPT_MAX - 1)) is Standing.CONFLICT
    assert standing(_RECORD, _known("f" * 64, CONFLICTS_KEPT_MAX)) is Standing.CONFLICT_SEEN


def test_a_conflict_whose_evidence_is_kept_is_seen() -> None:
    known = _known("f" * 64)
    seen = KnownConflict(content_digest=_RECORD.content_digest, received_ns=2, place=_PLACE)
    assert standing(_RECORD, replace(known, conflicts=(seen,))) is Standing.CONFLICT_SEEN


def test_the_key_is_the_signing_tenants() -> None:
    assert key_of(_RECORD) == RecordKey("acme", "1.x", _RECORD.record.pcs_id)


def test_only_known_versions_have_a_family() -> None:
    assert family_of("1.0") == "1.x"
    assert family_of("0.1") == "0.1"
    assert family_of("1.1") is None


def _admit(authenticated: Authenticated, received_ms: int, horizon_days: int = 400) -> None:
    admit_new(
        authenticated, received_ns=received_ms * 1_000_000, horizon_days=horizon_days, floor_ms=None
    )


def test_the_horizon_is_inclusive_to_the_millisecond() -> None:
    last_ms = parse_timestamp(CREATED_AT) + 400 * _DAY_MS
    _admit(_RECORD, last_ms)
    with pytest.raises(Refusal) as caught:
        _admit(_RECORD, last_ms + 1)
    assert caught.value.code is RefusalCode.BEYOND_HORIZON
    assert caught.value.member == "created_at"


def test_a_key_is_judged_at_receipt_and_before_the_horizon() -> None:
    received_ms = parse_timestamp(CREATED_AT)
    key = replace(_RECORD.key, not_after_ms=received_ms)
    expiring = replace(_RECORD, key=key)
    _admit(expiring, received_ms - 1)
    with pytest.raises(Refusal) as caught:
        _admit(expiring, received_ms + 401 * _DAY_MS)
    assert caught.value.code is RefusalCode.KEY_NOT_VALID_NOW


def test_nobody_has_to_look_at_what_was_not_escalated() -> None:
    decided = _known(_RECORD.content_digest)
    assert (decided.is_escalated, decided.settled_seq) == (False, _PLACE.seq)


def test_what_was_escalated_is_settled_by_its_first_resolution() -> None:
    asked = replace(_known(_RECORD.content_digest), status=202)
    assert (asked.is_escalated, asked.settled_seq) == (True, None)
    found = tuple(
        KnownResolution(received_ns=3, place=replace(_PLACE, seq=seq)) for seq in (9, 4, 7)
    )
    assert replace(asked, resolutions=found).settled_seq == 4


def test_what_was_made_before_the_floor_is_beyond_the_horizon() -> None:
    received_ms = created_ms = parse_timestamp(CREATED_AT)
    admit_new(
        _RECORD, received_ns=received_ms * 1_000_000, horizon_days=400, floor_ms=created_ms - 1
    )
    with pytest.raises(Refusal, match="after that of every record that was forgotten") as caught:
        admit_new(
            _RECORD, received_ns=received_ms * 1_000_000, horizon_days=400, floor_ms=created_ms
        )
    assert caught.value.code is RefusalCode.BEYOND_HORIZON
