"""Exchanges of operations, of what is no call, and of what is no HTTP."""

from typing import Final

from golden_vectors.generator.files import VectorFile
from golden_vectors.generator.http_records import (
    RING,
)
from golden_vectors.generator.http_talk import (
    pieces,
    request,
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
        case.told(case.asks("GET", "/ready"), 200, '{"ready": true, "reasons": []}', media)
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
    for comment, asked in (
        ("a later version", b"GET /health HTTP/3.0\r\n\r\n"),
        ("a method nobody knows", b"FOO /health HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a length that is none", request("POST", "/v1/pcs/submit", b"", LETTERS)),
        ("a length and chunks", request("POST", "/v1/pcs/submit", b"", CHUNKED)),
        ("bytes of TLS", bytes.fromhex("160301020001000001fc0303") + b"\r\n\r\n"),
    ):
        with talk(made, comment, "NoHttp", RING) as case:
            case.refuses(asked, "bad_request", called=rule("request_id"))


LETTERS: Final = {"Content-Length": "ten"}
CHUNKED: Final = {"Transfer-Encoding": "chunked"}
