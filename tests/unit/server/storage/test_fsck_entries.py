"""What a ledger's entry says is checked against the record it holds, of either version."""

import json
from typing import Any

import msgspec
import pytest
from tests.support.stored_folder import decided, evidence

from fractal_lba.protocol import ContractError
from fractal_lba.server.storage.check_entry import check_entry

VERSIONS = ["1.0", "0.1"]


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
