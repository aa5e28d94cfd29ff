"""Every status and code of ``specs/http.md``, each met over a real socket."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.server_process import Folder, Reply, ServerProcess
from tests.support.signed import ACME, GLOBEX, Signer, body, members
from tests.support.wire import JSON, Wire, request, submission

from fractal_lba.protocol.canonical import canonical

STATUSES = {
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
    "overloaded": 503,
    "draining": 503,
    "storage_unavailable": 503,
}
RETIRED = Signer("acme", "acme-0", b"o" * 32, not_after="2026-01-01T00:00:00.000Z")
EARLY = Signer("acme", "acme-9", b"e" * 32, not_before="9999-01-01T00:00:00.000Z")


def assert_problem(answer: Reply, code: str) -> dict[str, Any]:
    """Check that an answer is a whole problem of this code, and return it."""
    problem = answer.json
    assert (answer.status, problem["code"]) == (STATUSES[code], code)
    assert problem["status"] == answer.status
    assert problem["type"] == f"urn:fractal-lba:problem:{code}"
    assert problem["title"] == code.replace("_", " ")
    assert ": expected " in problem["detail"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["server"] == "fractal-lba"
    assert ("retry-after" in answer.headers) == (answer.status in {429, 503})
    assert ("www-authenticate" in answer.headers) == (code == "unauthenticated")
    assert "idempotent-replayed" not in answer.headers
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = Folder(tmp_path_factory.mktemp("problems") / "folder")
    folder.write_keyring([ACME, GLOBEX, RETIRED, EARLY])
    with ServerProcess(folder) as server:
        yield server
        assert server.stop() == 0
        assert [line for line in server.log_lines() if line["level"] == "error"] == []


def unsigned(epoch: int, **changes: object) -> bytes:
    return canonical(members(epoch, **changes))


def with_sig(sent: bytes, sig: str) -> bytes:
    start = sent.index(b'"sig":"') + len(b'"sig":"')
    return sent[:start] + sig.encode() + sent[sent.index(b'"', start) :]


REFUSED_BODIES = {
    "no UTF-8": (body(1).replace(b"press-7", b"press\xff7"), "bad_encoding"),
    "empty": (b"", "malformed_json"),
    "cut": (body(1)[:-1], "malformed_json"),
    "a member twice": (body(1)[:-1] + b',"epoch":1}', "malformed_json"),
    "too deep": (b"[" * 9 + b"]" * 9, "malformed_json"),
    "an array": (b"[]", "invalid_record"),
    "a later version": (unsigned(1, version="1.1"), "unsupported_version"),
    "a version before it was signed": (unsigned(1, version="0.2"), "unsupported_version"),
    "an unknown member": (unsigned(1, extra=1), "invalid_record"),
    "a number out of range": (unsigned(1, coh_star=2), "invalid_record"),
    "an id that is not its own": (unsigned(1, pcs_id="0" * 64), "pcs_id_mismatch"),
    "no key of the ring": (body(1, signer=Signer("x", "x-1", b"x" * 32)), "unknown_key"),
    "no signature": (unsigned(1), "signature_missing"),
    "an empty signature": (with_sig(body(1), ""), "signature_missing"),
    "another signature": (with_sig(body(1), "A" * 43 + "="), "signature_invalid"),
    "a signature of another length": (with_sig(body(1), "A" * 86 + "=="), "signature_invalid"),
    "a retired key": (body(1, signer=RETIRED), "key_not_valid_now"),
    "a key of later": (body(1, signer=EARLY), "key_not_valid_now"),
    "a window of long ago": (body(1, created_at="2020-01-01T00:00:00.000Z"), "beyond_horizon"),
}


@pytest.mark.parametrize(("sent", "code"), REFUSED_BODIES.values(), ids=REFUSED_BODIES)
def test_a_refused_body_gets_its_own_problem(server: ServerProcess, sent: bytes, code: str) -> None:
    problem = assert_problem(server.submit(sent), code)
    assert problem["reason"]
    assert ("member" in problem) == (
        code not in {"malformed_json", "bad_encoding"} and sent != b"[]"
    )


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/", "not_found"),
        ("GET", "/v1/pcs/" + "0" * 63, "not_found"),
        ("GET", "/v1/pcs/" + "A" * 64, "not_found"),
        ("GET", "/%ff%00", "not_found"),
        ("GET", "/v1/pcs/batch", "method_not_allowed"),
        ("GET", "/v1/pcs/submit", "method_not_allowed"),
        ("PUT", "/v1/pcs/submit", "method_not_allowed"),
        ("DELETE", "/v1/pcs/" + "0" * 64, "method_not_allowed"),
        ("POST", "/health", "method_not_allowed"),
        ("POST", "/metrics", "method_not_allowed"),
    ],
)
def test_what_is_not_there_is_a_problem(
    server: ServerProcess, method: str, path: str, code: str
) -> None:
    answer = server.ask(method, path)
    assert_problem(answer, code)
    assert ("allow" in answer.headers) == (code == "method_not_allowed")


@dataclass(frozen=True)
class Refused:
    headers: Mapping[str, str | bytes]
    code: str


REFUSED_HEADERS = {
    "text": Refused({"Content-Type": "text/plain"}, "unsupported_media_type"),
    "lines": Refused({"Content-Type": "application/x-ndjson"}, "unsupported_media_type"),
    "no type": Refused({"Content-Type": ""}, "unsupported_media_type"),
    "bytes as a type": Refused({"Content-Type": b"\xff/\xfe"}, "unsupported_media_type"),
    "gzip": Refused({**JSON, "Content-Encoding": "gzip"}, "unsupported_media_type"),
    "zstd": Refused({**JSON, "Content-Encoding": "zstd"}, "unsupported_media_type"),
    "an unknown token": Refused({**JSON, "Authorization": "Bearer no"}, "unauthenticated"),
    "bytes as a token": Refused({**JSON, "Authorization": b"Bearer \xff\xfe"}, "unauthenticated"),
    "no token after all": Refused({**JSON, "Authorization": "Bearer"}, "unauthenticated"),
    "another scheme": Refused(
        {**JSON, "Authorization": "Basic submit-token-of-acme"}, "unauthenticated"
    ),
    "a token to read": Refused({**JSON, "Authorization": "Bearer read-token-of-acme"}, "forbidden"),
    "a token of another tenant": Refused(
        {**JSON, "Authorization": "Bearer submit-token-of-globex"}, "tenant_mismatch"
    ),
    "a header of another tenant": Refused({**JSON, "X-Tenant-Id": "globex"}, "tenant_mismatch"),
    "a header in other letters": Refused({**JSON, "X-Tenant-Id": "Acme"}, "tenant_mismatch"),
    "bytes as a tenant": Refused({**JSON, "X-Tenant-Id": b"acme\xff"}, "tenant_mismatch"),
    "an Expect of its own": Refused({**JSON, "Expect": "more"}, "bad_request"),
}


@pytest.mark.parametrize("refused", REFUSED_HEADERS.values(), ids=REFUSED_HEADERS)
def test_a_refused_head_leaves_its_record_undecided(
    server: ServerProcess, fresh_epoch: int, refused: Refused
) -> None:
    sent = body(fresh_epoch)
    with Wire(server.address) as wire:
        assert_problem(wire.ask("POST", "/v1/pcs/submit", sent, refused.headers), refused.code)
        # The same connection goes on with the next request, and the record is new.
        answer = wire.submit(sent)
    assert (answer.status, answer.is_replayed) == (200, False)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json; charset=utf-8"},
        {**JSON, "Content-Encoding": "identity"},
        {**JSON, "Content-Encoding": ""},
        {**JSON, "Authorization": "Bearer submit-token-of-acme", "X-Tenant-Id": "acme"},
        {**JSON, "X-Tenant-Id": ""},
        {**JSON, "Authorization": "bearer   submit-token-of-acme"},
    ],
)
def test_an_honest_head_is_taken(
    server: ServerProcess, fresh_epoch: int, headers: Mapping[str, str]
) -> None:
    assert server.ask("POST", "/v1/pcs/submit", body(fresh_epoch), headers).status == 200


NOT_HTTP = {
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "an unknown method": b"FOO /health HTTP/1.1\r\n\r\n",
    "a later version": b"GET /health HTTP/3.0\r\n\r\n",
    "a length that is none": submission(b"", {"Content-Length": "secret-word"}),
    "two lengths": submission(b"{}", {"Transfer-Encoding": "chunked"}),
    "a chunk without a size": submission(b"", {})
    .replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    .replace(b"\r\n\r\n", b"\r\n\r\nsecret-word\r\n"),
    "a line without an end": request("GET", "/" + "a" * 20_000),
    "a header without an end": request("GET", "/health", None, {"X-Long": "a" * 20_000}),
    "a header twice": submission(b"{}").replace(b"\r\n\r\n", b"\r\nContent-Type: a/b\r\n\r\n"),
    "a control sign": b"GET /health\x00 HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("sent", NOT_HTTP.values(), ids=NOT_HTTP)
def test_what_is_not_http_gets_a_problem_that_quotes_nothing(
    server: ServerProcess, sent: bytes
) -> None:
    with Wire(server.address) as wire:
        wire.send(sent)
        answer = wire.reply()
        assert_problem(answer, "bad_request")
        assert b"secret-word" not in answer.body
        assert b"a" * 40 not in answer.body  # a request_id may hold a few of them
        assert wire.is_ended()


def test_a_tenant_over_its_quota_gets_a_problem(folder: Folder) -> None:
    with ServerProcess(folder, "--tenant-records-per-day", "1") as server:
        assert server.submit(body(1)).status == 200
        assert_problem(server.submit(body(2)), "quota_exceeded")


def test_the_documented_problems_are_the_ones_that_are_met() -> None:
    text = (Path(__file__).parents[2] / "specs" / "http.md").read_text(encoding="utf-8")
    table = text.partition("## Problems")[2].partition("## Order")[0]
    documented: dict[str, int] = {}
    for statuses, cell in re.findall(r"^\| (\d[\d, ]*) \| (.*?) \|", table, re.MULTILINE):
        codes = re.findall(r"`([a-z_]+)`", cell.partition(" with ")[0])
        each = [int(status) for status in statuses.split(", ")]
        # One status for every code of the row, or one for each.
        documented |= zip(codes, each * len(codes) if len(each) == 1 else each, strict=True)
    # A bug is the one that no test can meet on purpose.
    assert documented == {**STATUSES, "internal_error": 500}


def test_problems_hold_names_and_numbers_and_nothing_else_of_the_body(
    server: ServerProcess,
) -> None:
    texts = ("secret-word", "geheim")
    for sent in (
        unsigned(1, regime="secret-word"),
        unsigned(1, shard_id="secret-word|"),
        unsigned(1, merkle_root="secret-word"),
        unsigned(1, meta={"k": ["secret-word"]}),
        unsigned(1, ft={"degraded": "secret-word", "fallbacks": [], "clock_skew_ms": 0}),
        b'{"version":"secret-word"}',
        b'{"version":"1.0","kid":"secret-word|"}',
        b'"secret-word',
        b"geheim",
        with_sig(body(1), "secret-word"),
    ):
        answer = server.submit(sent)
        assert answer.status in {400, 401}
        assert not [text for text in texts if text in answer.body.decode()]


def test_a_caller_that_hangs_up_within_its_body_leaves_nothing(
    server: ServerProcess, fresh_epoch: int
) -> None:
    sent = body(fresh_epoch)
    for end in (Wire.close, Wire.reset):
        wire = Wire(server.address)
        wire.send(submission(sent)[:-1])
        end(wire)
    # The module's server is asked at its end whether it met a bug.
    answer = server.submit(sent)
    assert (answer.status, answer.is_replayed) == (200, False)
