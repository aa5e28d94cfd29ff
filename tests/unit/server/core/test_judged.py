"""What a verified record comes to: the verdict, and whatever else deciding it takes."""

import msgspec
import pytest
from tests.support import legacy
from tests.support.signed import ACME, CREATED_AT
from tests.support.verified import authenticated, verified

from fractal_lba.protocol.authenticate import authenticate
from fractal_lba.protocol.judge import decision_body
from fractal_lba.protocol.keyring import Keyring
from fractal_lba.protocol.timestamps import parse_timestamp
from fractal_lba.protocol.versions import IN_FORCE, judge_any, stored_bytes_of
from fractal_lba.server.core.judged import judged
from fractal_lba.server.core.known import RecordKey
from fractal_lba.server.core.listing import Summary, summary_of
from fractal_lba.server.core.run import Verified

OLD_RING = Keyring(keys={legacy.OLD.kid: legacy.OLD.key}, tokens={})


def old(**changes: object) -> Verified:
    body = legacy.body({**legacy.signed(), **changes})
    found = authenticate(body, OLD_RING, legacy_tenant=legacy.OLD.tenant)
    return judged(found, IN_FORCE, received_ns=7, is_recovered=False)


def summary(record: Verified) -> Summary:
    return Summary(
        version=record.version,
        shard_id=record.shard_id,
        epoch=record.epoch,
        regime=record.regime,
    )


def test_it_says_of_a_record_what_was_read_verified_and_judged() -> None:
    found = authenticated()
    record = found.record
    outcome = judge_any(record, IN_FORCE)
    ours = verified(received_ns=9, is_recovered=True)
    assert ours.key == RecordKey("acme", "1.x", record.pcs_id)
    assert (ours.kid, ours.not_before_ms, ours.not_after_ms) == (ACME.kid, None, None)
    assert (ours.record_digest, ours.content_digest) == (found.record_digest, found.content_digest)
    assert ours.created_ms == parse_timestamp(CREATED_AT)
    assert (ours.status, ours.params_version) == (outcome.status, outcome.params_version)
    assert ours.answer == decision_body(
        pcs_id=record.pcs_id, record_digest=found.record_digest, outcome=outcome
    )
    assert (ours.is_remembered, ours.spoiled) == (True, None)
    assert ours.record == stored_bytes_of(record)
    assert (ours.received_ns, ours.is_recovered) == (9, True)


@pytest.mark.parametrize("record", [verified(), old()], ids=["1.0", "0.1"])
def test_a_listing_says_the_same_of_it_as_of_what_is_stored(record: Verified) -> None:
    assert summary(record) == summary_of(record.record)


@pytest.mark.parametrize("record", [verified(), old()], ids=["1.0", "0.1"])
def test_it_holds_nothing_that_a_message_cannot(record: Verified) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=Verified) == record


def test_of_version_0_1_what_accepts_is_remembered() -> None:
    ours = old()
    assert (ours.is_remembered, ours.spoiled, ours.created_ms) == (True, None, None)


def test_of_version_0_1_a_copy_that_something_unsigned_spoils_is_refused_for_that() -> None:
    ours = old(regime="non_sticky")
    assert not ours.is_remembered
    assert ours.spoiled == (
        "unsigned_member_mismatch",
        "regime_mismatch",
        "regime: expected what agrees with the signed members, got another",
        "regime",
    )


def test_of_version_0_1_what_contradicts_itself_is_neither_remembered_nor_refused() -> None:
    record = legacy.signed(r=1.5)
    found = authenticate(legacy.body(record), OLD_RING, legacy_tenant=legacy.OLD.tenant)
    ours = judged(found, IN_FORCE, received_ns=7, is_recovered=False)
    assert (ours.status, ours.is_remembered, ours.spoiled) == (422, False, None)
