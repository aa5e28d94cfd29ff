"""Exchanges of operations, of what is no call, and of what is no HTTP."""

from typing import Final

from golden_vectors.generator.files import VectorFile
from golden_vectors.generator.http_records import (
    RING,
)
from golden_vectors.generator.http_talk import (
    pieces,
    rule,
    talk,
)


def add_operations(made: VectorFile) -> None:
    """Add how the server is, and what is no call and no HTTP."""
    with talk(made, "health, and its head", "Operations", RING) as case:
        plain = "text/plain; charset=utf-8"
        case.told(case.asks("GET", "/health"), 200, "OK", plain)
        case.told(case.asks("HEAD", "/health"), 200, "", plain)
    with talk(made, "ready", "Operations", RING) as case:
        media = "application/json; charset=utf-8"
        body = f'{{"ready": true, "reasons": [], "growth": "{rule("growth")}"}}'
        case.told(case.asks("GET", "/ready"), 200, body, media)
    for method, path, allowed in (
        ("GET", "/v1/pcs/submit", "POST"),
        ("GET", "/v1/pcs/batch", "POST"),
        ("PUT", "/v1/pcs", "GET"),
        ("DELETE", "/v1/pcs/" + "0" * 64, "GET"),
        ("HEAD", "/v1/pcs", "GET"),
        ("GET", "/v1/escalations/" + "0" * 64 + "/resolve", "POST"),
        ("OPTIONS", "/v1/pcs/submit", "POST"),
        ("POST", "/health", "GET, HEAD"),
    ):
        with talk(made, f"{method} {path[:20]}", "Operations", RING) as case:
            case.refuses(case.asks(method, path), "method_not_allowed", Allow=allowed)
            if method == "HEAD":
                case.answers[-1]["body"] = pieces("")
    for comment, asked in NOT_HTTP:
        with talk(made, comment, "NoHttp", RING) as case:
            case.refuses(asked, "bad_request", called=rule("request_id"))
    with talk(made, "the older version, and a name with a port", "NoHttp", RING) as case:
        plain = "text/plain; charset=utf-8"
        older = case.asks("GET", "/health", None, Host="a.example:8080").replace(b"/1.1", b"/1.0")
        case.told(older, 200, "OK", plain)


def health(headers: bytes) -> bytes:
    """Return a request with these lines in its head."""
    return b"GET /health HTTP/1.1\r\n" + headers + b"\r\n"


def submit(headers: bytes, body: bytes = b"") -> bytes:
    """Return a submit with these lines beside the others in its head."""
    return (
        b"POST /v1/pcs/submit HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        + headers
        + b"\r\n"
        + body
    )


CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
NOT_HTTP: Final = (
    ("a later version", b"GET /health HTTP/3.0\r\nHost: a\r\n\r\n"),
    ("no version", b"GET /health\r\n\r\n"),
    ("a method nobody knows", b"FOO /health HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("bytes of TLS", bytes.fromhex("160301020001000001fc0303") + b"\r\n\r\n"),
    ("no Host", health(b"")),
    ("two Hosts", health(b"Host: a\r\nHost: b\r\n")),
    ("line feeds alone", b"GET /health HTTP/1.1\nHost: a\n\n"),
    ("a folded line", health(b"Host: a\r\nX-Long: a\r\n b\r\n")),
    ("a NUL", health(b"Host: a\r\nX-Nul: \x00\r\n")),
    ("a line without a colon", health(b"Host: a\r\nnothing\r\n")),
    ("a length that is none", submit(b"Content-Length: ten\r\n")),
    ("a length with a sign", submit(b"Content-Length: +2\r\n", b"{}")),
    ("a length twice", submit(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"{}")),
    ("a length and chunks", submit(b"Content-Length: 0\r\n" + CHUNKED)),
    ("another transfer coding", submit(b"Transfer-Encoding: gzip, chunked\r\n")),
    ("a chunk without a size", submit(CHUNKED, b"size\r\n")),
    ("a chunk longer than its size", submit(CHUNKED, b"1\r\n{}\r\n0\r\n\r\n")),
)
