"""What a ledger's entry says is checked against the record it holds, of either version."""

import json
from typing import Any

import msgspec
import pytest
from tests.support.legacy import OLD, OLD_LAB
from tests.support.legacy import signed as old_signed
from tests.support.signed import ACME, body

from fractal_lba.protocol import (
    IN_FORCE,
    ContractError,
    Keyring,
    authenticate,
    decision_body,
    judge_any,
    stored_bytes_of,
)
from fractal_lba.server.core.entry import Conflict, Decision
from fractal_lba.server.core.known import family_of
from fractal_lba.server.storage.fsck import check_entry

RING = Keyring(keys={signer.kid: signer.key for signer in (ACME, OLD, OLD_LAB)}, tokens={})
VERSIONS = ["1.0", "0.1"]


def decided(version: str, **changes: Any) -> Decision:  # noqa: ANN401 - members of a record
    """Return the decision a server would append, whatever its outcome."""
    sent = body(1, **changes) if version == "1.0" else json.dumps(old_signed(1, **changes)).encode()
    found = authenticate(sent, RING, legacy_tenant="default")
    outcome = judge_any(found.record, IN_FORCE)
    family = family_of(version)
    assert family is not None
    return Decision(
        tenant=found.tenant,
        family=family,
        pcs_id=found.record.pcs_id,
        record_digest=found.record_digest,
        content_digest=found.content_digest,
        kid=found.key.kid,
        params_version=outcome.params_version,
        region="local",
        status=outcome.status,
        answer=decision_body(
            pcs_id=found.record.pcs_id, record_digest=found.record_digest, outcome=outcome
        ),
        record=stored_bytes_of(found.record),
    )


def evidence(decision: Decision) -> Conflict:
    names = ("tenant", "family", "pcs_id", "record_digest", "content_digest", "kid", "record")
    return Conflict(**{name: getattr(decision, name) for name in names})


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_server_appends_is_sound(version: str) -> None:
    check_entry(decided(version))
    check_entry(decided(version, budget=0.9))
    check_entry(evidence(decided(version)))


OTHERS: dict[str, Any] = {
    "family": "2.x",
    "pcs_id": "0" * 64,
    "record_digest": "0" * 64,
    "content_digest": "0" * 64,
    "params_version": "other",
    "status": 202,
    "answer": b"{}",
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_the_record_s_own_is_named(version: str, name: str) -> None:
    sound = decided(version)
    with pytest.raises(ContractError, match="expected"):
        check_entry(msgspec.structs.replace(sound, **{name: OTHERS[name]}))
    if hasattr(evidence(sound), name):
        with pytest.raises(ContractError, match=f"{name}: expected the record's own"):
            check_entry(msgspec.structs.replace(evidence(sound), **{name: OTHERS[name]}))


def test_the_record_of_one_version_is_none_of_the_other() -> None:
    new, old = decided("1.0"), decided("0.1")
    for one, other in ((new, old), (old, new)):
        with pytest.raises(ContractError, match="expected the record's own"):
            check_entry(msgspec.structs.replace(one, record=other.record))


@pytest.mark.parametrize(
    "changes", [{"regime": "mixed"}, {"seed": 42}, {"D_hat": 0.5}, {"sig": ""}, {"version": "1.0"}]
)
def test_an_old_record_holds_what_was_signed_and_no_more(changes: dict[str, object]) -> None:
    sound = decided("0.1")
    record = json.dumps({**json.loads(sound.record), **changes}).encode()
    with pytest.raises(ContractError, match="expected"):
        check_entry(msgspec.structs.replace(sound, record=record))


def test_an_outcome_that_does_not_accept_is_none_of_an_old_record() -> None:
    check_entry(decided("1.0", D_hat=3.0))
    with pytest.raises(ContractError, match="status: expected one that accepts, got 422"):
        check_entry(decided("0.1", r=2))
