"""Version 0.1 against a second implementation, and against whoever carries a record."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.oracle import legacy as oracle
from tests.support.legacy import OLD, OLD_ED25519, body, members, signed

from fractal_lba.protocol import (
    IN_FORCE,
    JsonValue,
    Keyring,
    Refusal,
    authenticate,
    is_remembered,
    judge_any,
    legacy_d_hat,
    read_stored,
    stored_bytes_of,
)
from fractal_lba.protocol.legacy_record import LegacySigned
from fractal_lba.protocol.legacy_signing import (
    legacy_digest,
    spelled_as_ecmascript,
    spelled_as_python,
)

RING = Keyring(keys={signer.kid: signer.key for signer in (OLD, OLD_ED25519)}, tokens={})

numbers = (
    st.floats(-1e6, 1e6)
    | st.integers(-(10**15), 10**15).map(lambda billionths: billionths / 1e9)
    | st.integers(-1_000_000, 1_000_000)
    | st.sampled_from([0, -0.0, 1e-9, 5e-10, 4.9e-10, 1e-7, 1e-6, 1e-5, 1e-4, 0.00012345, 5e-324])
)
names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x7f").filter(lambda c: c >= " "),
    min_size=1,
).filter(lambda name: len(name.encode()) <= 128)
epochs = st.integers(0, 2**53 - 1)
spellings = st.sampled_from([(OLD, n) for n in (1, 2, 3, 4)] + [(OLD_ED25519, n) for n in (1, 3)])


@given(numbers, numbers, numbers, numbers, epochs, names)
def test_both_spellings_are_the_oracle_s(  # noqa: PLR0913, PLR0917 - one for each signed member
    d_hat: float, coh_star: float, r: float, budget: float, epoch: int, shard_id: str
) -> None:
    record = members(epoch, D_hat=d_hat, coh_star=coh_star, r=r, budget=budget, shard_id=shard_id)
    signed_ = LegacySigned(
        pcs_id=record["pcs_id"],
        merkle_root=record["merkle_root"],
        epoch=epoch,
        shard_id=shard_id,
        d_hat=oracle.rounded(d_hat),
        coh_star=oracle.rounded(coh_star),
        r=oracle.rounded(r),
        budget=oracle.rounded(budget),
    )
    assert spelled_as_python(signed_) == oracle.as_python(record)
    assert spelled_as_ecmascript(signed_) == oracle.as_ecmascript(record)
    assert legacy_digest(signed_) == oracle.digest(record)


@given(numbers, numbers, names, epochs, spellings)
def test_what_an_old_agent_signs_verifies_and_is_kept_as_signed(
    d_hat: float, r: float, shard_id: str, epoch: int, by: tuple[Any, int]
) -> None:
    signer, spelling = by
    record = signed(epoch, signer=signer, spelling=spelling, D_hat=d_hat, r=r, shard_id=shard_id)
    found = authenticate(body(record), RING, legacy_tenant="default")
    assert found.key == signer.key
    assert found.record_digest == found.content_digest == oracle.digest(record)
    kept = stored_bytes_of(found.record)
    assert kept == oracle.stored(record)
    assert read_stored(kept).record_digest == found.record_digest


@given(
    st.dictionaries(st.sampled_from([2, 3, 4, 8, 16, 48, 1024]), st.integers(1, 10**6), min_size=2)
)
def test_d_hat_is_the_oracle_s(n_j: dict[int, int]) -> None:
    assert legacy_d_hat(n_j) == oracle.d_hat({str(scale): n_j[scale] for scale in n_j})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.floats(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
UNSIGNED = ["attempt", "sent_at", "seed", "scales", "N_j", "v_star", "regime", "ft"]
HONEST = signed(budget=0.5)  # accepted and escalated: there is a reason to spoil


@given(
    st.dictionaries(
        st.sampled_from(UNSIGNED) | st.text(max_size=5).map(lambda name: "x" + name),
        json_values | st.just({"2": 4, "4": 9, "8": 20, "16": 32}) | st.just([2, 4, 8, 16]),
    )
)
def test_a_relay_that_changes_what_is_not_signed_changes_nothing_remembered(
    flipped: dict[str, JsonValue],
) -> None:
    relayed = json.dumps({**HONEST, **flipped}).encode()
    try:
        found = authenticate(relayed, RING, legacy_tenant="default")
        outcome = judge_any(found.record, IN_FORCE)
        if not is_remembered(found.record, outcome):
            raise AssertionError("a copy of a record that is accepted was decided against it")
    except Refusal as refusal:
        assert refusal.code in {"invalid_record", "unsigned_member_mismatch"}  # noqa: PT017
        return
    honest = authenticate(body(HONEST), RING, legacy_tenant="default")
    assert stored_bytes_of(found.record) == stored_bytes_of(honest.record)
    assert found.content_digest == honest.content_digest
    assert outcome == judge_any(honest.record, IN_FORCE)
