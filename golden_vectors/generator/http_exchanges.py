"""HTTP exchanges: what is asked, and what is answered, to the byte."""

from typing import Final

from golden_vectors.generator.bodies import text
from golden_vectors.generator.files import Note, VectorFile
from golden_vectors.generator.http_batches import add_batches
from golden_vectors.generator.http_legacy import add_legacy, add_legacy_published
from golden_vectors.generator.http_operations import add_operations
from golden_vectors.generator.http_reading import add_reading
from golden_vectors.generator.http_records import (
    CREATED_AT,
    DEGRADED,
    NEXT,
    RFC6750_TOKEN,
    RING,
    Records,
    bearer,
    everything,
    signed,
)
from golden_vectors.generator.http_talk import NDJSON, request, rule, talk

from fractal_lba.protocol import content_digest, parse_record

NOTES: Final = {
    "Rfc9110": Note(
        explanation="The request of the RFC's example: of another server, well-formed.",
        source="RFC 9110, section 3.9",
    ),
    "Rfc9112": Note(
        explanation="Request targets of the RFC's examples.",
        source="RFC 9112, sections 3.2.1 and 3.2.2",
    ),
    "Rfc9457": Note(
        explanation="The request of the RFC's example of a problem.", source="RFC 9457, section 3"
    ),
    "Rfc6750": Note(
        explanation="The request of the RFC's example of a bearer token, and the token itself, "
        "which the ring knows as acme's to read.",
        source="RFC 6750, section 2.1",
    ),
    "FirstPrototype": Note(
        explanation="The first prototype's golden record, byte for byte, in its agents' request.",
        source="the first prototype's test vector pcs_tiny_case_1.json",
    ),
    "Decided": Note(
        explanation="A record that is decided: 200, 202 or 422. The created_at of every record of "
        "this file is in the year 9999, so that no clock makes it too old."
    ),
    "Repeated": Note(explanation="The same content again: the first answer, byte for byte."),
    "Conflict": Note(explanation="Another content under a decided id."),
    "Refused": Note(explanation="A body that is refused: its code, reason and member."),
    "Identity": Note(explanation="Who calls, and for which tenant."),
    "Head": Note(explanation="Media types, encodings, names of requests."),
    "Bounds": Note(explanation="Sizes, times, rates and quotas."),
    "Batch": Note(explanation="Records in lines, an answer on each."),
    "Read": Note(explanation="One record read back."),
    "Listing": Note(explanation="Pages, exports and their parameters."),
    "Resolution": Note(explanation="What an operator found, appended."),
    "Operations": Note(explanation="How the server is; paths and methods that are none."),
    "Legacy": Note(explanation="Records of version 0.1 and the requests of old agents."),
    "NoHttp": Note(explanation="What is not HTTP/1.1 as it should be."),
}
Reason = dict[str, str]


def http_exchanges_file() -> VectorFile:
    """Return the cases of ``http_exchanges.json``."""
    made = VectorFile(
        name="http_exchanges",
        algorithm="HTTP: a keyring, settings and requests in; the answers out",
        specification="specs/http.md",
        notes=NOTES,
    )
    records = Records()
    add_published(made)
    add_legacy_published(made)
    add_decided(made, records)
    add_refused(made, records)
    add_identities(made, records)
    add_heads(made, records)
    add_bounds(made, records)
    add_batches(made, records)
    add_reading(made, records)
    add_operations(made)
    add_legacy(made)
    return made


def add_published(made: VectorFile) -> None:
    """Add requests that stand in RFCs."""
    agents = "User-Agent: curl/7.64.1\r\nHost: www.example.com\r\nAccept-Language: en, mi\r\n"
    order = b'{\n  "item": 123456,\n  "quantity": 2\n}'
    accepts = {
        "Host": "store.example.com",
        "Content-Type": "application/json",
        "Accept": "application/json, application/problem+json",
    }
    token = {"Host": "server.example.com", "Authorization": bearer(RFC6750_TOKEN)}
    host = "Host: www.example.org\r\n\r\n"
    for comment, flag, asked in (
        ("GET /hello.txt", "Rfc9110", f"GET /hello.txt HTTP/1.1\r\n{agents}\r\n".encode()),
        ("origin-form", "Rfc9112", f"GET /where?q=now HTTP/1.1\r\n{host}".encode()),
        (
            "absolute-form",
            "Rfc9112",
            f"GET http://www.example.org/pub/WWW/TheProject.html HTTP/1.1\r\n{host}".encode(),
        ),
        ("POST /purchase", "Rfc9457", request("POST", "/purchase", order, accepts)),
        ("GET /resource", "Rfc6750", request("GET", "/resource", None, token)),
    ):
        with talk(made, comment, flag, RING) as case:
            case.refuses(asked, "not_found", called=rule("request_id"))


def add_decided(made: VectorFile, records: Records) -> None:
    """Add decisions, repeats and conflicts."""
    for comment, status, changes in (
        ("accepted", 200, {}),
        ("accepted, of bytes", 200, {"profile": "bytes/1", "d": 1}),
        ("degraded: accepted and escalated", 202, {"ft": DEGRADED}),
        ("another regime: accepted and escalated", 202, {"regime": "non_sticky"}),
        ("another D_hat: not accepted", 422, {"D_hat": 1.5}),
        ("another D_hat and degraded: both reasons", 422, {"D_hat": 1.5, "ft": DEGRADED}),
    ):
        with talk(made, comment, "Decided", RING) as case:
            case.decides(signed(records(**changes)), status)
    for status, changes in ((200, {}), (202, {"ft": DEGRADED}), (422, {"D_hat": 1.5})):
        with talk(made, f"the same bytes after {status}", "Repeated", RING) as case:
            body = signed(records(**changes))
            case.decides(body, status)
            case.decides(body, status, first=1)
            case.decides(body, status, first=1)
    for comment, change in (
        ("another delivery", {"delivery": {"attempt": 2, "sent_at": CREATED_AT, "outbox_seq": 1}}),
        ("a later created_at, another meta", {"created_at": CREATED_AT, "meta": {"run": 2}}),
        ("signed by the next key", {"kid": NEXT.kid}),
        ("another r and budget, since deflate differs", {"r": 0.51, "budget": 0.297}),
    ):
        with talk(made, comment, "Repeated", RING) as case:
            members = records()
            body = signed(members)
            again = signed({**members, **change})
            case.decides(body, 200)
            case.decides_as(case.submission(again), body, 200, first=1)
    with talk(made, "white space and another order of members", "Repeated", RING) as case:
        members = records()
        body = signed(members)
        spelled = text(dict(reversed([*parse_record(body).members.items()]))).replace(b",", b",\n ")
        case.decides_as(case.submission(spelled), body, 200)
        case.decides(body, 200, first=1)
    with talk(made, "another content, twice, and the first again", "Conflict", RING) as case:
        members = records()
        body, other = signed(members), signed({**members, "seed": 43})
        case.decides(body, 200)
        for _ in range(2):
            case.refuses(case.submission(other), "pcs_id_conflict", conflict(body, other, 1))
        case.decides(body, 200, first=1)
    with talk(made, "one id of two tenants", "Conflict", RING) as case:
        members = records()
        case.decides(signed(members), 200)
        case.decides(signed({**members, "kid": "globex", "seed": 43}), 200)


def conflict(first: bytes, other: bytes, received: int) -> Reason:
    """Return the members of a 409."""
    return {
        "pcs_id": parse_record(first).pcs_id,
        "first_content_digest": content_digest(parse_record(first).members),
        "content_digest": content_digest(parse_record(other).members),
        "first_received_at": rule("timestamp", f"received-{received}"),
    }


def reason(code: str, member: str | None = None, why: str | None = None) -> Reason:
    """Return the members of a record's refusal."""
    return {"reason": why or code} | ({} if member is None else {"member": member})


def add_refused(made: VectorFile, records: Records) -> None:
    """Add bodies that are refused."""
    body = signed(records())
    bare = {**records()}
    cases: list[tuple[str, bytes, str, Reason]] = [
        ("no body", b"", "malformed_json", reason("syntax")),
        ("cut", body[:-1], "malformed_json", reason("syntax")),
        (
            "a member twice",
            body[:-1] + b',"epoch":1}',
            "malformed_json",
            reason("duplicate_member"),
        ),
        ("depth 9", b"[" * 9 + b"]" * 9, "malformed_json", reason("too_deep")),
        ("an array", b"[]", "invalid_record", reason("not_an_object")),
        (
            "no UTF-8",
            body.replace(b"mixed", b"mi\xffed").replace(b"sticky", b"st\xffcky"),
            "bad_encoding",
            reason("invalid_utf8"),
        ),
        (
            "version 1.1",
            text({**bare, "version": "1.1"}),
            "unsupported_version",
            reason("unsupported_version", "version"),
        ),
        (
            "an unknown member",
            text({**bare, "more": 1}),
            "invalid_record",
            reason("unknown_member", "more"),
        ),
        (
            "coh_star over 1",
            text({**bare, "coh_star": 1.5}),
            "invalid_record",
            reason("out_of_range", "coh_star"),
        ),
        (
            "another id",
            text({**bare, "pcs_id": "0" * 64}),
            "pcs_id_mismatch",
            reason("pcs_id_mismatch", "pcs_id"),
        ),
        (
            "a key nobody knows",
            text({**bare, "kid": "nobody"}),
            "unknown_key",
            reason("unknown_key", "kid"),
        ),
        ("no sig", text(bare), "signature_missing", reason("signature_missing", "sig")),
        (
            "an empty sig",
            text({**bare, "sig": ""}),
            "signature_missing",
            reason("signature_missing", "sig"),
        ),
        (
            "another sig",
            text({**bare, "sig": "A" * 43 + "="}),
            "signature_invalid",
            reason("signature_invalid", "sig", "signature_mismatch"),
        ),
        (
            "a sig of 64 bytes for HMAC",
            text({**bare, "sig": "A" * 86 + "=="}),
            "signature_invalid",
            reason("signature_invalid", "sig", "signature_length"),
        ),
        (
            "a retired key",
            signed(records("acme-retired")),
            "key_not_valid_now",
            reason("key_not_valid_now", "kid"),
        ),
        (
            "a key of later",
            signed(records("acme-later")),
            "key_not_valid_now",
            reason("key_not_valid_now", "kid"),
        ),
        (
            "created in 1970",
            signed(records(created_at="1970-01-01T00:00:00.000Z")),
            "beyond_horizon",
            reason("beyond_horizon", "created_at"),
        ),
    ]
    for comment, sent, code, members in cases:
        with talk(made, comment, "Refused", RING) as case:
            case.refuses(case.submission(sent), code, members)
    with talk(made, "a refused body leaves its id free", "Refused", RING) as case:
        made_here = records()
        forged = text({**made_here, "seed": 43, "sig": "A" * 43 + "="})
        mismatch = reason("signature_invalid", "sig", "signature_mismatch")
        case.refuses(case.submission(forged), "signature_invalid", mismatch)
        case.decides(signed(made_here), 200)


def add_identities(made: VectorFile, records: Records) -> None:
    """Add callers: known and not, of this tenant and another."""
    for comment, headers in (
        ("nobody", {}),
        ("a token to submit", {"Authorization": bearer("submit-acme")}),
        ("a scheme in lower case", {"Authorization": "bearer submit-acme"}),
        ("the tenant named", {"X_Tenant_Id": "acme"}),
        ("an empty X-Tenant-Id names none", {"X_Tenant_Id": ""}),
        ("both", {"Authorization": bearer(everything("acme")), "X_Tenant_Id": "acme"}),
    ):
        with talk(made, comment, "Identity", RING) as case:
            case.decides(signed(records()), 200, headers=headers)
    refusals: tuple[tuple[str, str, Reason], ...] = (
        ("a token nobody knows", "unauthenticated", {"Authorization": bearer("nobody")}),
        ("another scheme", "unauthenticated", {"Authorization": "Basic submit-acme"}),
        ("no token", "unauthenticated", {"Authorization": "Bearer"}),
        ("a token to read", "forbidden", {"Authorization": bearer(RFC6750_TOKEN)}),
        ("another tenant's token", "tenant_mismatch", {"Authorization": bearer(GLOBEX)}),
        ("another tenant named", "tenant_mismatch", {"X_Tenant_Id": "globex"}),
        ("a tenant in other letters", "tenant_mismatch", {"X_Tenant_Id": "Acme"}),
        ("a tenant of no form", "tenant_mismatch", {"X_Tenant_Id": "a b"}),
    )
    for comment, code, headers in refusals:
        with talk(made, f"{comment}; then without it", "Identity", RING) as case:
            body = signed(records())
            why = reason(code) if code == "tenant_mismatch" else {}
            case.refuses(case.submission(body, **headers), code, why)
            case.decides(body, 200)


GLOBEX: Final = everything("globex")


def add_heads(made: VectorFile, records: Records) -> None:
    """Add what a head may say of its body and of its request."""
    for comment, headers in (
        ("a charset", {"Content_Type": "application/json; charset=utf-8"}),
        ("the encoding identity", {"Content_Encoding": "identity"}),
        ("an empty encoding", {"Content_Encoding": ""}),
        ("Expect: 100-continue", {"Expect": "100-continue"}),
    ):
        with talk(made, comment, "Head", RING) as case:
            case.decides(signed(records()), 200, headers=headers)
    for comment, headers in (
        ("text", {"Content_Type": "text/plain"}),
        ("lines", {"Content_Type": NDJSON}),
        ("an empty type", {"Content_Type": ""}),
        ("gzip", {"Content_Encoding": "gzip"}),
    ):
        with talk(made, f"{comment} on submit", "Head", RING) as case:
            case.refuses(case.submission(b"{}", **headers), "unsupported_media_type")
    with talk(made, "an Expect of its own", "Head", RING) as case:
        case.refuses(case.submission(signed(records()), Expect="more"), "bad_request")
    for comment, called in (("of 65 signs", "a" * 65), ("with a space", "a b")):
        with talk(made, f"a name of the request {comment}", "Head", RING) as case:
            asked = request("GET", "/nothing", None, {"X-Request-Id": called})
            case.refuses(asked, "not_found", called=rule("request_id"))
    with talk(made, "two names of one request", "Head", RING) as case:
        twice = request("GET", "/nothing").replace(
            b"\r\n\r\n", b"\r\nX-Request-Id: a\r\nX-Request-Id: b\r\n\r\n"
        )
        case.refuses(twice, "not_found", called=rule("request_id"))
    with talk(made, "a name of 64 signs", "Head", RING) as case:
        longest = "A-z_0.9" * 9 + "x"
        asked = request("GET", "/nothing", None, {"X-Request-Id": longest})
        case.refuses(asked, "not_found", called=longest)


def add_bounds(made: VectorFile, records: Records) -> None:
    """Add bodies that are too large or too slow, rates and quotas."""
    with talk(made, "65,537 bytes announced, none sent", "Bounds", RING) as case:
        case.refuses(case.submission(b"", Content_Length="65537"), "too_large")
    with talk(made, "65,536 bytes, spaces behind the record", "Bounds", RING) as case:
        body = signed(records())
        case.decides_as(case.submission(body.ljust(65_536)), body, 200)
    with talk(made, "65,537 bytes in chunks", "Bounds", RING) as case:
        chunk = b"10001\r\n" + b" " * 65_537 + b"\r\n0\r\n\r\n"
        head = case.submission(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        case.refuses(head + chunk, "too_large")
    with talk(made, "a record in two chunks", "Bounds", RING) as case:
        body = signed(records())
        halves = (body[:100], body[100:])
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(half), half) for half in halves) + b"0\r\n\r\n"
        head = case.submission(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        case.decides_as(head + chunks, body, 200)
    with talk(made, "a body without its end", "Bounds", RING, body_timeout_s="0.25") as case:
        case.refuses(case.submission(b"{", Content_Length="2"), "timeout")
    rate = {"address_rate_per_s": "0.001", "address_burst": "1"}
    with talk(made, "an address over its rate", "Bounds", RING, **rate) as case:
        body = signed(records())
        case.decides(body, 200)
        case.refuses(case.submission(body), "rate_limited")
    lane = {"unidentified_rate_per_s": "0.001", "unidentified_burst": "1"}
    with talk(made, "callers nobody knows over their rate", "Bounds", RING, **lane) as case:
        body, other = signed(records()), signed(records())
        case.decides(body, 200)
        case.refuses(case.submission(other), "rate_limited")
        case.refuses(case.submission(signed(records("globex"))), "rate_limited")
        case.decides(other, 200, headers={"Authorization": bearer("submit-acme")})
    for comment, settings in (
        ("records a day", {"tenant_records_per_day": "1"}),
        ("rate", {"tenant_rate_per_s": "0.001", "tenant_burst": "1"}),
    ):
        with talk(made, f"a tenant over its {comment}", "Bounds", RING, **settings) as case:
            body, other = signed(records()), signed(records())
            case.decides(body, 200)
            case.refuses(case.submission(other), "quota_exceeded")
            # A repeat costs nothing, and another tenant has a quota of its own.
            case.decides(body, 200, first=1)
            case.decides(signed(records("globex")), 200)
