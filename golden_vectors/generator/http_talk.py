"""Conversations in the making: requests as they are sent, and the answers stated beside them."""

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from golden_vectors.generator.files import VectorFile

from fractal_lba.protocol import (
    CURRENT_PARAMS,
    Record,
    canonical,
    decision_body,
    judge,
    parse_record,
    record_digest,
    signing_input,
)

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
PROBLEM: Final = "application/problem+json"

STATUS: Final = {
    "bad_encoding": 400,
    "malformed_json": 400,
    "unsupported_version": 400,
    "invalid_record": 400,
    "pcs_id_mismatch": 400,
    "bad_request": 400,
    "unknown_key": 401,
    "signature_missing": 401,
    "signature_invalid": 401,
    "key_not_valid_now": 401,
    "unauthenticated": 401,
    "tenant_mismatch": 403,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "timeout": 408,
    "pcs_id_conflict": 409,
    "beyond_horizon": 410,
    "too_large": 413,
    "unsupported_media_type": 415,
    "unsigned_member_mismatch": 422,
    "rate_limited": 429,
    "quota_exceeded": 429,
}
_RULE: Final = re.compile('"?\ue000([a-z_]+)(?: ([a-z0-9-]+))?\ue001"?')
_RUN: Final = re.compile(r"(.)\1{4095,}", re.DOTALL)
_BARE: Final = frozenset({"seconds", "number", "growth"})

Pieces = list[dict[str, Any]]
Headers = Mapping[str, str]


def rule(name: str, what: str | None = None) -> str:
    """Return what stands in a text for a value of the moment."""
    return f"\ue000{name}\ue001" if what is None else f"\ue000{name} {what}\ue001"


def pieces(text: str) -> Pieces:
    """Return a text as a case states it: what is fixed, and the rules between."""
    made: Pieces = []
    at = 0
    for found in _RULE.finditer(text):
        name = found[1]
        # A rule of a number stands in JSON without the quotes of a text.
        start, end = found.span() if name in _BARE else (text.index("\ue000", found.start()), 0)
        end = end or text.index("\ue001", start) + 1
        made += [{"text": text[at:start]}] if start > at else []
        made.append({"rule": name, "name": found[2]})
        at = end
    return made + ([{"text": text[at:]}] if at < len(text) else [])


def compact(value: object) -> str:
    """Return JSON without white space, members in the order given."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def request(
    method: str, target: str, body: bytes | None = None, headers: Headers | None = None
) -> bytes:
    """Return the bytes of a request; its length is right unless ``headers`` says otherwise."""
    given = {"Host": "fractal-lba.example"}
    if body is not None:
        given["Content-Length"] = str(len(body))
    given |= headers or {}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + (body or b"")


def sent(data: bytes) -> Pieces:
    """Return request bytes as a case has them: as text where they are one, long runs counted."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return [{"base64": base64.b64encode(data).decode()}]
    made: Pieces = []
    at = 0
    for found in _RUN.finditer(text):
        made += [{"text": text[at : found.start()]}, {"repeat": found[1], "times": len(found[0])}]
        at = found.end()
    return made + ([{"text": text[at:]}] if at < len(text) else [])


def decision_of(body: bytes) -> tuple[Record, int, str]:
    """Return a record, its status and its decision."""
    record = parse_record(body)
    outcome = judge(record, CURRENT_PARAMS)
    digest = record_digest(signing_input(record.members))
    decided = decision_body(pcs_id=record.pcs_id, record_digest=digest, outcome=outcome)
    return record, outcome.status, decided.decode()


def problem(code: str, request_id: str, members: Mapping[str, str]) -> str:
    """Return the body of a problem."""
    return canonical(
        {
            **members,
            "type": f"urn:fractal-lba:problem:{code}",
            "title": code.replace("_", " "),
            "status": STATUS[code],
            "code": code,
            "detail": rule("detail"),
            "request_id": request_id,
        }
    ).decode()


@dataclass(kw_only=True)
class Talk:
    """One case: what is asked, in order, and what is answered.

    Every request is called ``request-`` and its number, unless it is given as it stands.
    """

    requests: list[Pieces] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def number(self) -> int:
        """The number of the next request."""
        return len(self.requests) + 1

    @property
    def called(self) -> str:
        """What the next request is called."""
        return f"request-{self.number}"

    @property
    def receipt(self) -> str:
        """The rule of the time at which the next request is received."""
        return rule("timestamp", f"received-{self.number}")

    def asks(self, method: str, target: str, body: bytes | None = None, **headers: str) -> bytes:
        """Return a request's bytes; ``_`` in a header's name stands for ``-``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return request(method, target, body, {"X-Request-Id": self.called, **named})

    def submission(self, body: bytes, **headers: str) -> bytes:
        """Return the bytes of a submit."""
        return self.asks("POST", "/v1/pcs/submit", body, **{"Content_Type": JSON, **headers})

    def batch(self, lines: Sequence[bytes] | bytes, **headers: str) -> bytes:
        """Return the bytes of a batch."""
        body = lines if isinstance(lines, bytes) else b"\n".join(lines)
        return self.asks("POST", "/v1/pcs/batch", body, **{"Content_Type": NDJSON, **headers})

    def told(
        self, asked: bytes | Pieces, status: int, body: str, media: str, **headers: str
    ) -> None:
        """Add a request and its answer."""
        given = {"X-Request-Id": self.called, "Content-Type": media}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        self.requests.append(sent(asked) if isinstance(asked, bytes) else asked)
        self.answers.append(
            {
                "status": status,
                "headers": {name: pieces(given[name]) for name in sorted(given)},
                "body": pieces(body),
            }
        )

    def decides(
        self,
        body: bytes,
        status: int,
        *,
        first: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Submit a record; ``first`` is the request that it repeats, ``body`` then the first's."""
        self.decides_as(self.submission(body, **(headers or {})), body, status, first=first)

    def decides_as(
        self, asked: bytes, body: bytes, status: int, *, first: int | None = None
    ) -> None:
        """Add a submit whose answer is the decision on ``body``, perhaps another one's."""
        _, judged, decided = decision_of(body)
        if judged != status:
            raise AssertionError(f"the record is decided {judged}, not {status}")
        if first is None:
            self.told(asked, status, decided, JSON, X_Received_At=self.receipt)
        else:
            receipt = rule("timestamp", f"received-{first}")
            replayed = {"X_Received_At": receipt, "Idempotent_Replayed": "true"}
            self.told(asked, status, decided, JSON, **replayed)

    def refuses(
        self,
        asked: bytes | Pieces,
        code: str,
        members: Mapping[str, str] | None = None,
        *,
        called: str | None = None,
        **headers: str,
    ) -> None:
        """Add a request that gets a problem."""
        request_id = self.called if called is None else called
        more = {"X_Request_Id": request_id, **headers}
        if STATUS[code] == 429:  # noqa: PLR2004 - the status that says when to come again
            more["Retry_After"] = rule("seconds")
        if code == "unauthenticated":
            more["WWW_Authenticate"] = "Bearer"
        self.told(asked, STATUS[code], problem(code, request_id, members or {}), PROBLEM, **more)


@contextmanager
def talk(
    made: VectorFile, comment: str, flag: str, keyring: str, **settings: str
) -> Iterator[Talk]:
    """Add a case once its conversation is over."""
    case = Talk()
    yield case
    given = {"keyring": keyring, "settings": settings, "requests": case.requests}
    made.stated(comment, flag, given, {"answers": case.answers})
