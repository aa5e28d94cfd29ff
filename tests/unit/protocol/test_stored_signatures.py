"""What a ledger keeps of a record can be verified again, by the key that verified it then."""

import dataclasses

import pytest
from tests.support.legacy import OLD, OLD_LAB
from tests.support.signed import ACME, ACME_NEXT
from tests.support.stored_folder import RING, decided

from fractal_lba.protocol import ContractError, Keyring, Refusal
from fractal_lba.protocol.authenticate import verify_stored


@pytest.mark.parametrize("version", ["1.0", "0.1"])
def test_stored_bytes_verify_with_the_key_that_signed_them(version: str) -> None:
    decision = decided(version)
    assert verify_stored(decision.record, decision.kid, RING) is RING.keys[decision.kid]


@pytest.mark.parametrize("version", ["1.0", "0.1"])
def test_a_key_that_is_gone_verifies_nothing(version: str) -> None:
    decision = decided(version)
    with pytest.raises(Refusal) as refused:
        verify_stored(decision.record, decision.kid, Keyring(keys={}, tokens={}))
    assert refused.value.reason == "unknown_key"


@pytest.mark.parametrize(
    ("version", "other"), [("1.0", ACME_NEXT.key), ("0.1", OLD_LAB.key), ("1.0", OLD.key)]
)
def test_another_key_under_the_same_name_does_not_verify(version: str, other: object) -> None:
    decision = decided(version)
    assert isinstance(other, type(ACME.key))
    ring = Keyring(keys={decision.kid: dataclasses.replace(other, kid=decision.kid)}, tokens={})
    with pytest.raises(Refusal):
        verify_stored(decision.record, decision.kid, ring)


def test_bytes_that_are_no_record_are_refused() -> None:
    with pytest.raises(ContractError):
        verify_stored(b'{"version":"0.1"}', OLD.kid, RING)
