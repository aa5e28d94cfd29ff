"""What a record that verified comes to, should its id be new: pure, wherever it was verified."""

from collections.abc import Mapping

from fractal_lba.protocol.authenticate import Authenticated
from fractal_lba.protocol.errors import Refusal
from fractal_lba.protocol.judge import Params, decision_body
from fractal_lba.protocol.record import Record
from fractal_lba.protocol.versions import (
    created_at_ms,
    is_remembered,
    judge_any,
    stored_bytes_of,
)
from fractal_lba.server.core.known import key_of
from fractal_lba.server.core.listing import summary_of
from fractal_lba.server.core.run import Spoiled, Verified


def judged(
    authenticated: Authenticated,
    in_force: Mapping[str, Params],
    *,
    received_ns: int,
    is_recovered: bool,
) -> Verified:
    """Return all that is needed to decide a record.

    Args:
        authenticated: The record.
        in_force: What a record of each version is judged by.
        received_ns: When its body was first received, in ns since 1970.
        is_recovered: See ``Verified``.
    """
    record, key = authenticated.record, authenticated.key
    tenant, family, pcs_id = key_of(authenticated)
    outcome = judge_any(record, in_force)
    is_kept, spoiled = False, None
    try:
        is_kept = is_remembered(record, outcome)
    except Refusal as refusal:
        spoiled = Spoiled(refusal.code, refusal.reason, str(refusal), refusal.member)
    stored = stored_bytes_of(record)
    # Version 0.1 does not sign its regime: what is listed of it follows from what is stored.
    listed = record if isinstance(record, Record) else summary_of(stored)
    return Verified(
        tenant=tenant,
        family=family,
        pcs_id=pcs_id,
        kid=key.kid,
        not_before_ms=key.not_before_ms,
        not_after_ms=key.not_after_ms,
        version=record.version,
        record_digest=authenticated.record_digest,
        content_digest=authenticated.content_digest,
        created_ms=created_at_ms(record),
        status=outcome.status,
        answer=decision_body(
            pcs_id=pcs_id, record_digest=authenticated.record_digest, outcome=outcome
        ),
        params_version=outcome.params_version,
        is_remembered=is_kept,
        spoiled=spoiled,
        record=stored,
        shard_id=listed.shard_id,
        epoch=listed.epoch,
        regime=str(listed.regime),
        received_ns=received_ns,
        is_recovered=is_recovered,
    )
