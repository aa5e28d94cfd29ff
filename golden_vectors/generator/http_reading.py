"""Exchanges of reading back: one record, pages, exports, resolutions."""

from collections.abc import Sequence
from typing import Any, Final

from golden_vectors.generator.bodies import text
from golden_vectors.generator.files import VectorFile
from golden_vectors.generator.http_records import (
    DEGRADED,
    LISTS,
    RFC6750_TOKEN,
    RING,
    Records,
    bearer,
    everything,
    signed,
    who,
)
from golden_vectors.generator.http_talk import (
    JSON,
    NDJSON,
    Pieces,
    Talk,
    compact,
    decision_of,
    rule,
    talk,
)

from fractal_lba.protocol import content_digest, parse_record, stored_bytes

Document = dict[str, Any]
_OUTCOMES: Final = {200: "accepted", 202: "escalated", 422: "not_accepted"}


def document(body: bytes, received: int, **more: object) -> str:
    """Return what is read back of a record."""
    record, _, decided = decision_of(body)
    rest = {
        "received_at": rule("timestamp", f"received-{received}"),
        "tier": "warm",
        "conflicts": [],
        "resolutions": [],
        **more,
    }
    kept = stored_bytes(record).decode()
    return f'{{"record":{kept},"outcome":{decided},{compact(rest)[1:]}'


def row(body: bytes, received: int, **more: object) -> str:
    """Return what a page says of a record."""
    record, status, _ = decision_of(body)
    return compact(
        {
            "pcs_id": record.pcs_id,
            "shard_id": record.members["shard_id"],
            "epoch": record.members["epoch"],
            "version": "1.0",
            "ledger": rule("ledger"),
            "number": rule("number"),
            "status": status,
            "outcome": _OUTCOMES[status],
            "regime": record.members["regime"],
            "received_at": rule("timestamp", f"received-{received}"),
            "conflicts": 0,
            "resolutions": 0,
            **more,
        }
    )


def page(rows: Sequence[str], *, is_last: bool = True) -> str:
    """Return a page."""
    following = "null" if is_last else f'"{rule("cursor")}"'
    return f'{{"records":[{",".join(rows)}],"next":{following}}}'


def id_of(body: bytes) -> str:
    """Return a record's id."""
    return parse_record(body).pcs_id


def add_reading(made: VectorFile, records: Records) -> None:
    """Add records read back, listed and resolved."""
    own = {"Authorization": bearer(everything("acme"))}
    with talk(made, "a record without optional members", "Read", RING) as case:
        body = signed(records())
        case.decides(body, 200)
        reads(case, body, own)
    with talk(made, "meta is kept, delivery is not", "Read", RING) as case:
        delivery = {"attempt": 1, "sent_at": "2026-11-21T06:00:00.000Z", "outbox_seq": 1}
        body = signed(records(meta={"model": "demo"}, delivery=delivery))
        case.decides(body, 200)
        reads(case, body, {"Authorization": bearer(RFC6750_TOKEN)})
    with talk(made, "a conflict shows", "Read", RING) as case:
        members = records()
        body, other = signed(members), signed({**members, "seed": 43})
        case.decides(body, 200)
        digest = content_digest(parse_record(other).members)
        first = content_digest(parse_record(body).members)
        case.refuses(
            case.submission(other),
            "pcs_id_conflict",
            {
                "pcs_id": id_of(body),
                "first_content_digest": first,
                "content_digest": digest,
                "first_received_at": rule("timestamp", "received-1"),
            },
        )
        shown = {"content_digest": digest, "received_at": rule("timestamp", "received-2")}
        reads(case, body, own, conflicts=[shown])
    for comment, target, headers, code in (
        ("nobody asks", "", {}, "unauthenticated"),
        ("a token nobody knows", "", {"Authorization": bearer("nobody")}, "unauthenticated"),
        ("a token to submit", "", {"Authorization": bearer("submit-acme")}, "forbidden"),
        ("another tenant", "", {"Authorization": bearer(everything("globex"))}, "not_found"),
        ("another version", "?version=2.0", own, "not_found"),
    ):
        with talk(made, comment, "Read", RING) as case:
            body = signed(records())
            case.decides(body, 200)
            case.refuses(case.asks("GET", f"/v1/pcs/{id_of(body)}{target}", None, **headers), code)
    for comment, path in (("an id nobody sent", "0" * 64), ("no id", "0" * 63)):
        with talk(made, comment, "Read", RING) as case:
            case.refuses(case.asks("GET", f"/v1/pcs/{path}", None, **own), "not_found")
    add_listings(made, records)
    add_resolutions(made, records)


def reads(case: Talk, body: bytes, headers: dict[str, str], **more: object) -> None:
    """Read back the record that was submitted first."""
    asked = case.asks("GET", f"/v1/pcs/{id_of(body)}", None, **headers)
    receipt = rule("timestamp", "received-1")
    case.told(asked, 200, document(body, 1, **more), JSON, X_Received_At=receipt)


def add_listings(made: VectorFile, records: Records) -> None:
    """Add pages of tenants whose records are this case's alone."""
    with talk(made, "no record, then three: pages and filters", "Listing", RING) as case:
        tenant = LISTS[0]
        own = {"Authorization": bearer(everything(tenant))}
        case.told(case.asks("GET", "/v1/pcs", None, **own), 200, page([]), JSON)
        # The later epoch comes first.
        late = signed(records(tenant, epoch=9))
        early = signed(records(tenant, epoch=2, ft=DEGRADED))
        other = signed(records(tenant, epoch=5, shard_id="other", D_hat=1.5))
        for body, status in ((late, 200), (early, 202), (other, 422)):
            case.decides(body, status)
        rows = [row(late, 2), row(early, 3), row(other, 4)]
        for target, chosen in (
            ("", rows),
            ("?shard_id=test-shard-001", [rows[1], rows[0]]),
            ("?shard_id=test-shard-001&from_epoch=3&to_epoch=9", [rows[0]]),
            ("?outcome=not_accepted", [rows[2]]),
            ("?regime=sticky", []),
            ("?since=9999-01-01T00:00:00.000Z", []),
        ):
            case.told(case.asks("GET", f"/v1/pcs{target}", None, **own), 200, page(chosen), JSON)
        first = case.number
        asked = case.asks("GET", "/v1/pcs?limit=2", None, **own)
        case.told(asked, 200, page(rows[:2], is_last=False), JSON)
        case.told(following(case, "limit=2", first, own), 200, page(rows[2:]), JSON)
        case.refuses(following(case, "outcome=accepted", first, own), "bad_request")
    with talk(made, "an export, a line for each record", "Listing", RING) as case:
        tenant = LISTS[1]
        own = {"Authorization": bearer(everything(tenant)), "Accept": NDJSON}
        bodies = [signed(records(tenant)), signed(records(tenant, ft=DEGRADED))]
        for body, status in zip(bodies, (200, 202), strict=True):
            case.decides(body, status)
        lines = "".join(export_line(body, place) for place, body in enumerate(bodies, start=1))
        case.told(case.asks("GET", "/v1/pcs", None, **own), 200, lines, NDJSON)
        case.refuses(case.asks("GET", "/v1/pcs?limit=1", None, **own), "bad_request")
    own = {"Authorization": bearer(everything("acme"))}
    for target in (
        "limit=0",
        "limit=1001",
        "limit=1&limit=1",
        "from_epoch=-1",
        "since=yesterday",
        "outcome=other",
        "another=1",
        "cursor=AAAA",
    ):
        with talk(made, target, "Listing", RING) as case:
            case.refuses(case.asks("GET", f"/v1/pcs?{target}", None, **own), "bad_request")
    for path in ("/v1/pcs", "/v1/escalations"):
        with talk(made, f"nobody asks for {path}", "Listing", RING) as case:
            case.refuses(case.asks("GET", path), "unauthenticated")
        with talk(made, f"who may submit alone asks for {path}", "Listing", RING) as case:
            headers = {"Authorization": bearer("submit-acme")}
            case.refuses(case.asks("GET", path, None, **headers), "forbidden")


def following(case: Talk, query: str, first: int, headers: dict[str, str]) -> Pieces:
    """Return the request for the page behind another request's."""
    whole = case.asks("GET", f"/v1/pcs?{query}&cursor=CURSOR", None, **headers).decode()
    before, _, after = whole.partition("CURSOR")
    return [{"text": before}, {"answer": first, "member": "next"}, {"text": after}]


def export_line(body: bytes, received: int) -> str:
    """Return a line of an export."""
    shown = document(body, received)
    return f'{{"pcs_id":"{id_of(body)}",{shown[1:-1]},"cursor":"{rule("cursor")}"}}\n'


def add_resolutions(made: VectorFile, records: Records) -> None:
    """Add resolutions, and who may not give one."""
    tenant = LISTS[2]
    own = {"Authorization": bearer(everything(tenant))}
    caller = who(everything(tenant))
    with talk(made, "an escalation, resolved twice", "Resolution", RING) as case:
        body, plain = signed(records(tenant, ft=DEGRADED)), signed(records(tenant))
        case.decides(body, 202)
        case.decides(plain, 200)
        case.told(case.asks("GET", "/v1/escalations", None, **own), 200, page([row(body, 1)]), JSON)
        shown = []
        for count, note in enumerate(("belt replaced", "and again"), start=1):
            at = rule("timestamp", f"resolved-{count}")
            shown.append({"note": note, "who": caller, "at": at})
            told = {"pcs_id": id_of(body), "who": caller, "at": at, "resolutions": count}
            case.told(resolution(case, body, {"note": note}, own), 200, compact(told), JSON)
        case.told(case.asks("GET", "/v1/escalations", None, **own), 200, page([]), JSON)
        reads(case, body, own, resolutions=shown)
        case.decides(body, 202, first=1)
        case.refuses(resolution(case, plain, {"note": "nothing"}, own), "not_found")
        for wrong in ({}, {"note": ""}, {"note": "x" * 1_025}, {"note": 1}, {"note": "x", "by": 1}):
            case.refuses(resolution(case, body, wrong, own), "bad_request")
    with talk(made, "who may not resolve", "Resolution", RING) as case:
        body = signed(records(ft=DEGRADED))
        case.decides(body, 202)
        given = {"note": "x"}
        case.refuses(resolution(case, body, given, {}), "unauthenticated")
        reader = {"Authorization": bearer(RFC6750_TOKEN)}
        case.refuses(resolution(case, body, given, reader), "forbidden")
        other = {"Authorization": bearer(everything("globex"))}
        case.refuses(resolution(case, body, given, other), "not_found")


def resolution(case: Talk, body: bytes, note: Document, headers: dict[str, str]) -> bytes:
    """Return the bytes of a resolution."""
    target = f"/v1/escalations/{id_of(body)}/resolve"
    return case.asks("POST", target, text(note), **{"Content_Type": JSON, **headers})
