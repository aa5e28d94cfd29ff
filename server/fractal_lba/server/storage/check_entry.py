"""Check what an entry of a ledger says against the record it holds."""

import msgspec

from fractal_lba.protocol.errors import ContractError
from fractal_lba.protocol.legacy_record import LEGACY_VERSION
from fractal_lba.protocol.undecodable import UNDECODABLE
from fractal_lba.protocol.versions import read_stored
from fractal_lba.server.core.entry import Decision, Entry, Resolution
from fractal_lba.server.core.known import family_of

_ACCEPTED = (200, 202)


def check_entry(entry: Entry) -> None:
    """Check what an entry of a ledger says against the record it holds.

    Raises:
        ContractError: They differ, or the record is none.
    """
    if isinstance(entry, Resolution):
        return  # its id is looked for among the decisions before it
    stored = read_stored(entry.record)
    expected: dict[str, object] = {
        "family": family_of(stored.version),
        "pcs_id": stored.pcs_id,
        "kid": entry.kid if stored.kid is None else stored.kid,
        "record_digest": stored.record_digest,
        "content_digest": stored.content_digest,
    }
    for name, value in expected.items():
        if getattr(entry, name) != value:
            raise ContractError(f"{name}: expected the record's own, got another")
    if isinstance(entry, Decision):
        if stored.version == LEGACY_VERSION and entry.status not in _ACCEPTED:
            # It could be another's doing: most of such a record is not signed.
            raise ContractError(f"status: expected one that accepts, got {entry.status}")
        _check_answer(entry)


def _check_answer(decision: Decision) -> None:
    try:
        answer = msgspec.json.decode(decision.answer, type=dict[str, object])
    except UNDECODABLE as error:
        raise ContractError("answer: expected a JSON object, got something else") from error
    expected = {
        200: (True, False),
        202: (True, True),
        422: (False, False),
    }.get(decision.status)
    if expected is None:
        raise ContractError(f"status: expected 200, 202 or 422, got {decision.status}")
    if (answer.get("accepted"), answer.get("escalated")) != expected:
        raise ContractError(f"answer: expected the one of status {decision.status}, got another")
    for name in ("pcs_id", "record_digest", "params_version"):
        if answer.get(name) != getattr(decision, name):
            raise ContractError(f"answer: expected the decision's own {name}, got another")
