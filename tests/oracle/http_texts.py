"""Answers as a case states them: texts, and rules where a value is of the moment."""

import json
from typing import Any

from tests.oracle.canonical_json import canonical_bytes

Values = dict[str, Any]

STATUSES = {
    400: "bad_encoding malformed_json unsupported_version invalid_record pcs_id_mismatch "
    "bad_request",
    401: "unknown_key signature_missing signature_invalid key_not_valid_now unauthenticated",
    403: "tenant_mismatch forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "timeout",
    409: "pcs_id_conflict",
    410: "beyond_horizon",
    413: "too_large",
    415: "unsupported_media_type",
    422: "unsigned_member_mismatch",
    429: "rate_limited quota_exceeded",
}
STATUS_OF = {code: status for status, codes in STATUSES.items() for code in codes.split()}
# Letters of the private use area stand around a rule while it is in a text.
OPEN, CLOSE = "\ue000", "\ue001"
# And this one stands for what the request is called.
CALLED = "\ue002"
NUMBERS = ("number", "seconds", "growth")


def rule(name: str, what: str = "") -> str:
    return f"{OPEN}{name} {what}{CLOSE}"


def pieces(text: str) -> list[Values]:
    for number in NUMBERS:
        text = text.replace(f'"{rule(number)}"', rule(number))
    made: list[Values] = []
    while text:
        before, is_rule, text = text.partition(OPEN)
        made += [{"text": before}] if before else []
        if is_rule:
            inner, _, text = text.partition(CLOSE)
            name, _, what = inner.partition(" ")
            made.append({"rule": name, "name": what or None})
    return made


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Answer:
    """A status, a body, its media type and other headers."""

    def __init__(
        self, status: int, body: str, media: str, headers: dict[str, str] | None = None
    ) -> None:
        self.status = status
        self.body = body
        self.headers = {**(headers or {}), "Content-Type": media}

    def text(self, called: str) -> str:
        return self.body.replace(CALLED, called)

    def stated(self, called: str, *, is_head: bool) -> Values:
        headers = {**self.headers, "X-Request-Id": called}
        return {
            "status": self.status,
            "headers": {name: pieces(headers[name]) for name in sorted(headers)},
            "body": pieces("" if is_head else self.text(called)),
        }


class Problem(Answer, Exception):  # noqa: N818 - the domain's word for it
    """An answer that says what is wrong; raised where it is found."""

    def __init__(
        self,
        code: str,
        members: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        Exception.__init__(self, code)
        status = STATUS_OF[code]
        whole = {
            **(members or {}),
            "code": code,
            "detail": rule("detail"),
            "request_id": CALLED,
            "status": float(status),
            "title": code.replace("_", " "),
            "type": f"urn:fractal-lba:problem:{code}",
        }
        given = dict(headers or {})
        if code == "unauthenticated":
            given["WWW-Authenticate"] = "Bearer"
        if status == 429:
            given["Retry-After"] = rule("seconds")
        body = canonical_bytes(whole).decode()
        Answer.__init__(self, status, body, "application/problem+json", given)


def line_of(answer: Answer, called: str) -> str:
    """Return the answer to a line of a batch."""
    line = f'{{"status":{answer.status},"body":{answer.text(called)}'
    if "Idempotent-Replayed" in answer.headers:
        line += ',"replayed":true'
    if "X-Received-At" in answer.headers:
        line += f',"received_at":"{answer.headers["X-Received-At"]}"'
    if "Retry-After" in answer.headers:
        line += f',"retry_after":{answer.headers["Retry-After"]}'
    return line + "}\n"
