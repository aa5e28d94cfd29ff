"""Exchanges of version 0.1, as old agents have them."""

import base64
from typing import Any, Final

from golden_vectors.generator.bodies import text
from golden_vectors.generator.files import VectorFile
from golden_vectors.generator.http_records import RING, bearer, everything
from golden_vectors.generator.http_talk import (
    JSON,
    NDJSON,
    Talk,
    compact,
    request,
    rule,
    talk,
)
from golden_vectors.generator.legacy_bodies import PUBLISHED_TEXT, old, signed

from fractal_lba.protocol import (
    Authenticated,
    authenticate,
    decision_body,
    parse_keyring,
)
from fractal_lba.protocol.versions import IN_FORCE, judge_any, stored_bytes_of

Members = dict[str, Any]
OLD_TENANT: Final = "default"


def authenticated(body: bytes) -> Authenticated:
    """Return a record of the tenant of old agents."""
    ring = parse_keyring(base64.b64decode(RING), lambda _: b"")
    return authenticate(body, ring, legacy_tenant=OLD_TENANT)


def decision_of(body: bytes) -> tuple[int, str]:
    """Return the status and the decision of a record."""
    found = authenticated(body)
    outcome = judge_any(found.record, IN_FORCE)
    decided = decision_body(
        pcs_id=found.record.pcs_id, record_digest=found.record_digest, outcome=outcome
    )
    return outcome.status, decided.decode()


def decides(case: Talk, asked: bytes, of: bytes, status: int, *, first: int | None = None) -> None:
    """Ask, and get the decision on ``of``; ``first`` is the request that was the first of it."""
    judged, decided = decision_of(of)
    if judged != status:
        raise AssertionError(f"the record is decided {judged}, not {status}")
    replayed = {} if first is None else {"Idempotent_Replayed": "true"}
    receipt = rule("timestamp", f"received-{case.number if first is None else first}")
    case.told(asked, status, decided, JSON, X_Received_At=receipt, **replayed)


def submits(case: Talk, body: bytes, status: int, *, first: int | None = None) -> None:
    """Submit a record and get its own decision."""
    decides(case, case.submission(body), body, status, first=first)


def add_legacy_published(made: VectorFile) -> None:
    """Add the first prototype's record, as its agents sent it."""
    with talk(made, "the whole request of an old agent, twice", "FirstPrototype", RING) as case:
        for first in (None, 1):
            asked = case.submission(PUBLISHED_TEXT, X_Tenant_Id=OLD_TENANT)
            decides(case, asked, PUBLISHED_TEXT, 200, first=first)


def add_legacy(made: VectorFile) -> None:
    """Add what differs from version 1.0."""
    with talk(made, "neither tenant nor media type", "Legacy", RING) as case:
        body = own(2)
        asked = request("POST", "/v1/pcs/submit", body, {"X-Request-Id": case.called})
        decides(case, asked, body, 200)
    with talk(made, "unsigned members differ in a repeat", "Legacy", RING) as case:
        body = own(3)
        submits(case, body, 200)
        again = text({**signed(old(epoch=3)), "attempt": 7, "sent_at": "later", "more": [1]})
        decides(case, case.submission(again), body, 200, first=1)
    with talk(made, "numbers as ECMAScript writes them", "Legacy", RING) as case:
        submits(case, text(signed(old(epoch=4), 3)), 200)
    with talk(made, "a relay changes the regime: nothing is remembered", "Legacy", RING) as case:
        record = signed(old(epoch=5))
        bent = text({**record, "regime": "non_sticky"})
        why = {"reason": "regime_mismatch", "member": "regime"}
        for _ in range(2):
            case.refuses(case.submission(bent), "unsigned_member_mismatch", why)
        submits(case, text(record), 200)
        # What was signed is the same: a repeat, whatever stands beside it.
        decides(case, case.submission(bent), text(record), 200, first=3)
    with talk(made, "a signed check fails: decided, not remembered", "Legacy", RING) as case:
        body = own(6, coh_star=1.125)
        submits(case, body, 422)
        submits(case, body, 422)
    with talk(made, "another budget: accepted and escalated", "Legacy", RING) as case:
        body = own(7, budget=0.9)
        submits(case, body, 202)
        submits(case, body, 202, first=1)
    with talk(made, "another content under the id", "Legacy", RING) as case:
        body, other = own(8), own(8, r=0.25)
        submits(case, body, 200)
        digests = [authenticated(each).content_digest for each in (body, other)]
        members = {
            "pcs_id": authenticated(body).record.pcs_id,
            "first_content_digest": digests[0],
            "content_digest": digests[1],
            "first_received_at": rule("timestamp", "received-1"),
        }
        case.refuses(case.submission(other), "pcs_id_conflict", members)
    add_legacy_refused(made)
    with talk(made, "read back: what was signed", "Legacy", RING) as case:
        body = own(9)
        submits(case, body, 200)
        headers = {"Authorization": bearer(everything(OLD_TENANT))}
        target = f"/v1/pcs/{authenticated(body).record.pcs_id}"
        case.refuses(case.asks("GET", target, None, **headers), "not_found")
        receipt = rule("timestamp", "received-1")
        asked = case.asks("GET", f"{target}?version=0.1", None, **headers)
        case.told(asked, 200, document(body), JSON, X_Received_At=receipt)
    with talk(made, "in a batch", "Legacy", RING) as case:
        body = own(10)
        receipt = rule("timestamp", "received-1")
        line = f'{{"status":200,"body":{decision_of(body)[1]},"received_at":"{receipt}"}}\n'
        case.told(case.batch([body]), 200, line, NDJSON)


def add_legacy_refused(made: VectorFile) -> None:
    """Add old records that are refused."""
    body = own(20)
    refusals: tuple[tuple[str, str, Members, dict[str, str]], ...] = (
        (
            "a tenant without old keys",
            "unknown_key",
            {"reason": "no_legacy_key"},
            {"X_Tenant_Id": "globex"},
        ),
        (
            "another tenant's token",
            "tenant_mismatch",
            {"reason": "tenant_mismatch"},
            {"Authorization": bearer(everything("globex"))},
        ),
    )
    for comment, code, members, headers in refusals:
        with talk(made, comment, "Legacy", RING) as case:
            case.refuses(case.submission(body, **headers), code, members)
    with talk(made, "another sig", "Legacy", RING) as case:
        forged = text({**signed(old(epoch=20)), "sig": "A" * 43 + "="})
        why = {"reason": "signature_mismatch", "member": "sig"}
        case.refuses(case.submission(forged), "signature_invalid", why)
    off = {"tenant_accepts_legacy": "false"}
    with talk(made, "switched off", "Legacy", RING, **off) as case:
        why = {"reason": "legacy_switched_off", "member": "version"}
        case.refuses(case.submission(body), "unsupported_version", why)


def own(epoch: int, **changes: object) -> bytes:
    """Return a signed record of an epoch."""
    return text(signed(old(epoch=epoch, **changes)))


def document(body: bytes) -> str:
    """Return what is read back of a record that was received first."""
    kept = stored_bytes_of(authenticated(body).record).decode()
    rest = {
        "received_at": rule("timestamp", "received-1"),
        "tier": "warm",
        "conflicts": [],
        "resolutions": [],
    }
    return f'{{"record":{kept},"outcome":{decision_of(body)[1]},{compact(rest)[1:]}'
