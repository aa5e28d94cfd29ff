"""A server in memory, as plain as its answers allow: what ``http_exchanges.json`` must say."""

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.oracle.canonical_json import canonical_bytes
from tests.oracle.http_listing import chosen, parameters_of
from tests.oracle.http_message import NotHttp, Request, called, decoded, request_of
from tests.oracle.http_texts import Answer, Problem, compact, line_of, rule
from tests.oracle.judgement import decision_body, status, verdict
from tests.oracle.keys import authenticated, ring_of
from tests.oracle.legacy import digest
from tests.oracle.legacy_records import decided, legacy_record_of, signer_of
from tests.oracle.record_rules import BYTES_MAX, document_of
from tests.oracle.records import content_digest, without
from tests.oracle.refusal import Refused
from tests.oracle.strict_json import parse

Values = dict[str, Any]

Place = tuple[str, str, str]  # tenant, family of versions, id

NOW = "2026-11-21T06:00:01.000Z"  # any time: no case hangs on it
BATCH_BYTES_MAX = 16 * 1024 * 1024
BATCH_LINES_MAX = 10_000
HORIZON = timedelta(days=400)
ID = "{id}"
CALLS = {
    "/v1/pcs/submit": ["POST"],
    "/v1/pcs/batch": ["POST"],
    "/v1/pcs": ["GET"],
    "/v1/pcs/{id}": ["GET"],
    "/v1/escalations": ["GET"],
    "/v1/escalations/{id}/resolve": ["POST"],
    "/health": ["GET", "HEAD"],
    "/ready": ["GET", "HEAD"],
}


@dataclass
class Known:
    """What is remembered of an id."""

    record: Values
    kept: bytes
    content: str
    status: int
    decision: str
    received: int
    number: int
    conflicts: list[tuple[str, int]] = field(default_factory=list)
    resolutions: list[Values] = field(default_factory=list)


class Server:
    """One case: a keyring, settings, and what was remembered since it began."""

    def __init__(self, keyring: bytes, settings: dict[str, str]) -> None:
        self.ring = ring_of(keyring)
        self.settings = settings
        self.known: dict[Place, Known] = {}
        self.turn = 0
        self.resolved = 0
        self.asked = 0
        self.strangers = 0

    def answer(self, data: bytes) -> Values:
        self.turn += 1
        request: Request | None = None
        try:
            request = request_of(data)
            answer = self.answer_to(request)
        except NotHttp:
            answer = Problem("bad_request")
        except Problem as problem:
            answer = problem
        except Refused as refused:
            answer = problem_of(refused)
        is_head = request is not None and request.method == "HEAD"
        return answer.stated(called(request) or rule("request_id"), is_head=is_head)

    def answer_to(self, request: Request) -> Answer:  # noqa: PLR0911 - one for each call
        if request.one("expect") not in ("", "100-continue"):
            raise Problem("bad_request")
        path, pcs_id = path_of(request.path)
        if path not in CALLS:
            raise Problem("not_found")
        if request.method not in CALLS[path]:
            raise Problem("method_not_allowed", headers={"Allow": ", ".join(CALLS[path])})
        if path == "/health":
            return Answer(200, "OK", "text/plain; charset=utf-8")
        if path == "/ready":
            ready = f'{{"ready": true, "reasons": [], "growth": "{rule("growth")}"}}'
            return Answer(200, ready, "application/json; charset=utf-8")
        if path == "/v1/pcs/submit":
            return self.submit(request)
        if path == "/v1/pcs/batch":
            return self.batch(request)
        if path == "/v1/pcs/{id}":
            return self.read(request, pcs_id)
        if path == "/v1/escalations/{id}/resolve":
            return self.resolve(request, pcs_id)
        return self.listing(request, is_open=path == "/v1/escalations")

    # Who calls

    def caller(self, request: Request, scope: str, *, needed: bool) -> Values | None:
        header = request.header("authorization")
        if not header:
            if needed:
                raise Problem("unauthenticated")
            return None
        scheme, _, text = header[0].partition(" ")
        digest = hashlib.sha256(text.strip().encode()).hexdigest()
        found: list[Values] = [each for each in self.ring["tokens"] if each["sha256"] == digest]
        if scheme.lower() != "bearer" or not found:
            raise Problem("unauthenticated")
        if scope not in found[0]["scopes"]:
            raise Problem("forbidden")
        return found[0]

    def check_rate(self) -> None:
        self.asked += 1
        if "address_burst" in self.settings and self.asked > int(self.settings["address_burst"]):
            raise Problem("rate_limited")

    # Records in

    def submit(self, request: Request) -> Answer:
        self.check_rate()
        check_media(request, "application/json", ["", "identity"])
        caller = self.caller(request, "submit", needed=False)
        if caller is None:
            self.strangers += 1
            if self.strangers > int(self.settings.get("unidentified_burst", "10000")):
                raise Problem("rate_limited")
        return self.decide(body_of(request, BYTES_MAX), request, caller)

    def batch(self, request: Request) -> Answer:
        self.check_rate()
        encodings = ["", "identity", "gzip", "zstd"]
        check_media(request, "application/x-ndjson", encodings)
        caller = self.caller(request, "submit", needed=False)
        sent = body_of(request, BATCH_BYTES_MAX)
        text = decoded(sent, request.one("content-encoding"))
        lines = text.removesuffix(b"\n").split(b"\n") if text else []
        if not lines:
            raise Refused("malformed_json", "empty_batch")
        if len(lines) > BATCH_LINES_MAX:
            raise Refused("too_large", "too_many_records")
        told = ""
        for line in lines:
            try:
                answer = self.decide(sound_line(line), request, caller)
            except Problem as problem:
                answer = problem
            except Refused as refused:
                answer = problem_of(refused)
            told += line_of(answer, called(request) or rule("request_id"))
        return Answer(200, told, "application/x-ndjson")

    def decide(self, body: bytes, request: Request, caller: Values | None) -> Answer:
        if document_of(body).get("version") == "0.1":
            return self.decide_legacy(body, request, caller)
        # Whether the key is valid now is asked of new records alone.
        always = [{**key, "not_before": None, "not_after": None} for key in self.ring["keys"]]
        record, key = authenticated(body, {"keys": always}, NOW)
        tenant = agreed(str(key["tenant"]), request, caller)
        place = (tenant, "1.x", str(record["pcs_id"]))
        content = content_digest(record)
        if place in self.known:
            return self.again(place, content)
        authenticated(body, self.ring, NOW)
        created_at = datetime.fromisoformat(str(record["created_at"]))
        if created_at < datetime.fromisoformat(NOW) - HORIZON:
            raise Refused("beyond_horizon", "beyond_horizon", "created_at")
        self.check_quota(tenant)
        outcome = verdict(record)
        decision = decision_body(record, outcome).decode()
        kept = canonical_bytes(without(record, ["delivery"]))
        return self.first(place, record, kept, content, status(outcome), decision)

    def decide_legacy(self, body: bytes, request: Request, caller: Values | None) -> Answer:
        accepts = self.settings.get("tenant_accepts_legacy", "true") == "true"
        record = legacy_record_of(body, accepts_legacy=accepts)
        meant = request.one("x-tenant-id") or "default"
        tenant = agreed(str(signer_of(record, self.ring, meant)["tenant"]), request, caller)
        place = (tenant, "0.1", str(record["pcs_id"]))
        if place in self.known:
            return self.again(place, digest(record))
        found: Values = decided(body, self.ring, meant, NOW, accepts_legacy=accepts)
        decision = base64.b64decode(found["decision_body"]).decode()
        if not found["remembered"]:
            receipt = {"X-Received-At": received(self.turn)}
            return Answer(found["status"], decision, "application/json", receipt)
        self.check_quota(tenant)
        kept = base64.b64decode(found["stored"])
        return self.first(place, record, kept, found["digest"], found["status"], decision)

    def check_quota(self, tenant: str) -> None:
        taken = sum(1 for place in self.known if place[0] == tenant)
        for name in ("tenant_records_per_day", "tenant_burst"):
            if name in self.settings and taken >= int(self.settings[name]):
                raise Problem("quota_exceeded")

    def first(  # noqa: PLR0913, PLR0917 - what is remembered
        self, place: Place, record: Values, kept: bytes, content: str, status: int, decision: str
    ) -> Answer:
        number = len(self.known) + 1
        known = Known(record, kept, content, status, decision, self.turn, number)
        self.known[place] = known
        return self.decision(known, is_replayed=False)

    def again(self, place: Place, content: str) -> Answer:
        """Answer a record whose id is decided."""
        known = self.known[place]
        if content == known.content:
            return self.decision(known, is_replayed=True)
        if content not in [other for other, _ in known.conflicts]:
            known.conflicts.append((content, self.turn))
        members = {
            "pcs_id": place[2],
            "first_content_digest": known.content,
            "content_digest": content,
            "first_received_at": received(known.received),
        }
        raise Problem("pcs_id_conflict", members)

    def decision(self, known: Known, *, is_replayed: bool) -> Answer:
        headers = {"X-Received-At": received(known.received)}
        if is_replayed:
            headers["Idempotent-Replayed"] = "true"
        return Answer(known.status, known.decision, "application/json", headers)

    # Records out

    def read(self, request: Request, pcs_id: str) -> Answer:
        caller = self.caller(request, "read", needed=True)
        assert caller is not None
        version = dict(request.parameters).get("version", "1.0")
        family = {"1.0": "1.x", "0.1": "0.1"}.get(version, "")
        known = self.known.get((caller["tenant"], family, pcs_id))
        if known is None:
            raise Problem("not_found")
        headers = {"X-Received-At": received(known.received)}
        return Answer(200, document(known), "application/json", headers)

    def listing(self, request: Request, *, is_open: bool) -> Answer:
        caller = self.caller(request, "read", needed=True)
        assert caller is not None
        asked = parameters_of(request, is_open=is_open)
        own = [known for place, known in self.known.items() if place[0] == caller["tenant"]]
        if is_open:
            own = [known for known in own if known.status == 202 and not known.resolutions]
        found = chosen(own, asked)
        if "application/x-ndjson" in request.one("accept"):
            if "limit" in asked:
                raise Problem("bad_request")
            return Answer(200, "".join(map(export_line, found)), "application/x-ndjson")
        # A cursor is what this case got with its first page of two, and its parameters.
        if "cursor" in asked:
            if set(asked) != {"cursor", "limit"}:
                raise Problem("bad_request")
            found = found[2:]
        limit = int(asked.get("limit", "100"))
        following = f'"{rule("cursor")}"' if len(found) > limit else "null"
        rows = ",".join(row(known) for known in found[:limit])
        return Answer(200, f'{{"records":[{rows}],"next":{following}}}', "application/json")

    def resolve(self, request: Request, pcs_id: str) -> Answer:
        self.check_rate()
        caller = self.caller(request, "operate", needed=True)
        assert caller is not None
        try:
            given = parse(body_of(request, BYTES_MAX), 1)
        except Refused:
            raise Problem("bad_request") from None
        note = given.get("note") if isinstance(given, dict) and list(given) == ["note"] else None
        if not isinstance(note, str) or not 1 <= len(note.encode()) <= 1_024:
            raise Problem("bad_request")
        known = self.known.get((caller["tenant"], "1.x", pcs_id))
        if known is None or known.status != 202:
            raise Problem("not_found")
        self.resolved += 1
        at = rule("timestamp", f"resolved-{self.resolved}")
        who = f"token:{caller['sha256'][:16]}"
        known.resolutions.append({"note": note, "who": who, "at": at})
        told = {"pcs_id": pcs_id, "who": who, "at": at, "resolutions": len(known.resolutions)}
        return Answer(200, compact(told), "application/json")


def agreed(tenant: str, request: Request, caller: Values | None) -> str:
    """Return the tenant of the key, if whoever calls means the same."""
    claimed = request.header("x-tenant-id")
    others = caller is not None and caller["tenant"] != tenant
    if others or claimed not in ([], [""], [tenant]):
        raise Refused("tenant_mismatch", "tenant_mismatch")
    return tenant


def path_of(path: str) -> tuple[str, str]:
    """Return a path with its id, if it has one, taken out."""
    parts = path.split("/")
    for place, part in enumerate(parts):
        if len(part) == 64 and set(part) <= set("0123456789abcdef"):
            return "/".join([*parts[:place], ID, *parts[place + 1 :]]), part
    return path, ""


def problem_of(refused: Refused) -> Problem:
    member = {} if refused.member is None else {"member": refused.member}
    return Problem(refused.code, {"reason": refused.reason, **member})


def check_media(request: Request, media: str, encodings: list[str]) -> None:
    given = request.one("content-type").partition(";")[0].strip()
    # Old agents that post text say nothing of it.
    may_lack = media == "application/json" and not request.header("content-type")
    if (given != media and not may_lack) or request.one("content-encoding") not in encodings:
        raise Problem("unsupported_media_type")


def body_of(request: Request, most: int) -> bytes:
    if (request.announced or 0) > most or len(request.body) > most:
        raise Problem("too_large")
    if not request.is_whole:
        raise Problem("timeout")
    return request.body


def sound_line(line: bytes) -> bytes:
    if line == b"":
        raise Refused("malformed_json", "blank_line")
    if len(line) > BYTES_MAX:
        raise Problem("too_large")
    if line.endswith(b"\r"):
        raise Refused("malformed_json", "carriage_return")
    return line


def received(turn: int) -> str:
    return rule("timestamp", f"received-{turn}")


def document(known: Known) -> str:
    conflicts = [
        {"content_digest": digest, "received_at": received(turn)}
        for digest, turn in known.conflicts
    ]
    rest = {
        "received_at": received(known.received),
        "tier": "warm",
        "conflicts": conflicts,
        "resolutions": known.resolutions,
    }
    return f'{{"record":{known.kept.decode()},"outcome":{known.decision},{compact(rest)[1:]}'


def row(known: Known) -> str:
    outcome = {200: "accepted", 202: "escalated", 422: "not_accepted"}[known.status]
    return compact(
        {
            "pcs_id": known.record["pcs_id"],
            "shard_id": known.record["shard_id"],
            "epoch": int(known.record["epoch"]),
            "version": "1.0",
            "ledger": rule("ledger"),
            "number": rule("number"),
            "status": known.status,
            "outcome": outcome,
            "regime": known.record["regime"],
            "received_at": received(known.received),
            "conflicts": len(known.conflicts),
            "resolutions": len(known.resolutions),
        }
    )


def export_line(known: Known) -> str:
    shown = document(known)[1:-1]
    return f'{{"pcs_id":"{known.record["pcs_id"]}",{shown},"cursor":"{rule("cursor")}"}}\n'
