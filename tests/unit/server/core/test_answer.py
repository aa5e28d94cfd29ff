import json

from fractal_lba.protocol.canonical import canonical
from fractal_lba.protocol.errors import Refusal, RefusalCode
from fractal_lba.server.core.answer import (
    Answer,
    ServerCode,
    conflicting,
    named,
    problem,
    refused,
    timestamp,
)


def test_every_code_has_a_status_and_names_itself() -> None:
    for code in [*RefusalCode, *ServerCode]:
        answer = problem(code, "where: expected X, got Y")
        body = json.loads(answer.body)
        assert body["code"] == answer.code == str(code)
        assert body["status"] == answer.status >= 400
        assert body["type"].endswith(str(code))


def test_a_refusal_carries_its_reason_and_member() -> None:
    refusal = Refusal(RefusalCode.INVALID_RECORD, "out_of_range", "n: expected 3", member="n")
    body = json.loads(refused(refusal).body)
    assert (body["reason"], body["member"], body["detail"]) == (
        "out_of_range",
        "n",
        "n: expected 3",
    )


def test_a_problem_takes_the_name_of_its_request_and_changes_in_nothing_else() -> None:
    answer = problem(ServerCode.TOO_LARGE, 'body: expected "at most" 1 byte, got é')
    body = named(answer.body, "r-1")
    assert json.loads(body) == json.loads(answer.body) | {"request_id": "r-1"}
    assert body == canonical(json.loads(body))


def test_a_conflict_names_both_digests_and_the_first_receipt() -> None:
    answer = conflicting(
        pcs_id="0" * 64,
        first_content_digest="1" * 64,
        content_digest="2" * 64,
        first_received_ns=1_500_000,
    )
    body = json.loads(answer.body)
    assert answer.status == 409
    assert body["first_content_digest"] == "1" * 64
    assert body["content_digest"] == "2" * 64
    assert body["first_received_at"] == timestamp(1_500_000) == "1970-01-01T00:00:00.001Z"


def test_only_what_may_end_otherwise_is_not_final() -> None:
    endings = {status: Answer(status=status, body=b"").is_final for status in (200, 202, 422, 409)}
    assert all(endings.values())
    assert not any(Answer(status=status, body=b"").is_final for status in (408, 429, 500, 503))
    assert all(Answer(status=status, body=b"").is_final for status in (400, 401, 403, 410, 413))


def test_a_refusal_of_the_whole_body_names_no_member() -> None:
    code = RefusalCode.MALFORMED_JSON
    whole = refused(Refusal(code, "syntax", "document: expected JSON, got something else"))
    assert json.loads(whole.body)["reason"] == "syntax"
    assert "member" not in json.loads(whole.body)
