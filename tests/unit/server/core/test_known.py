from msgspec.structs import replace
from tests.support.verified import authenticated

from fractal_lba.server.core.known import (
    CONFLICTS_KEPT_MAX,
    Known,
    KnownConflict,
    KnownResolution,
    Place,
    RecordKey,
    Standing,
    family_of,
    key_of,
    standing,
)
from fractal_lba.server.core.listing import Summary

_PLACE = Place(seq=1, segment=1, offset=128)
_RECORD = authenticated()
_DIGEST = _RECORD.content_digest


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
    assert standing(_DIGEST, None) is Standing.NEW


def test_the_same_content_is_a_repeat_whatever_conflicts_there_were() -> None:
    assert standing(_DIGEST, _known(_DIGEST, 8)) is Standing.REPEAT


def test_another_content_is_a_conflict_until_so_many_are_kept() -> None:
    assert standing(_DIGEST, _known("f" * 64, CONFLICTS_KEPT_MAX - 1)) is Standing.CONFLICT
    assert standing(_DIGEST, _known("f" * 64, CONFLICTS_KEPT_MAX)) is Standing.CONFLICT_SEEN


def test_a_conflict_whose_evidence_is_kept_is_seen() -> None:
    known = _known("f" * 64)
    seen = KnownConflict(content_digest=_DIGEST, received_ns=2, place=_PLACE)
    assert standing(_DIGEST, replace(known, conflicts=(seen,))) is Standing.CONFLICT_SEEN


def test_the_key_is_the_signing_tenants() -> None:
    assert key_of(_RECORD) == RecordKey("acme", "1.x", _RECORD.record.pcs_id)


def test_only_known_versions_have_a_family() -> None:
    assert family_of("1.0") == "1.x"
    assert family_of("0.1") == "0.1"
    assert family_of("1.1") is None


def test_nobody_has_to_look_at_what_was_not_escalated() -> None:
    decided = _known(_DIGEST)
    assert (decided.is_escalated, decided.settled_seq) == (False, _PLACE.seq)


def test_what_was_escalated_is_settled_by_its_first_resolution() -> None:
    asked = replace(_known(_DIGEST), status=202)
    assert (asked.is_escalated, asked.settled_seq) == (True, None)
    found = tuple(
        KnownResolution(received_ns=3, place=replace(_PLACE, seq=seq)) for seq in (9, 4, 7)
    )
    assert replace(asked, resolutions=found).settled_seq == 4
