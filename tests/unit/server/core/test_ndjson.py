"""Lines in, lines out."""

import json

import pytest

from fractal_lba.protocol.errors import Refusal
from fractal_lba.server.core.answer import Answer, ServerCode, problem
from fractal_lba.server.core.ndjson import check_count, encode_line, line_fault

DECISION = b'{"z":1.0,"a":"\xc3\xa9"}'


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        (b"", 400, "blank_line"),
        (b"\r", 400, "carriage_return"),
        (b"{}\r", 400, "carriage_return"),
        (b"{}" + b" " * 65_535, 413, None),
        (b" " * 65_536 + b"\r", 413, None),
    ],
)
def test_a_line_that_is_no_record_has_a_reason_of_its_own(
    line: bytes, status: int, reason: str | None
) -> None:
    fault = line_fault(line)
    assert fault is not None
    assert (fault.status, json.loads(fault.body).get("reason")) == (status, reason)


@pytest.mark.parametrize("line", [b" ", b"{}", b"{\r}", b" " * 65_536, b"\xff"])
def test_what_may_be_a_record_is_left_to_its_reader(line: bytes) -> None:
    assert line_fault(line) is None


def test_a_batch_has_one_to_ten_thousand_lines() -> None:
    check_count(1)
    check_count(10_000)
    for count, code, reason in (
        (0, "malformed_json", "empty_batch"),
        (10_001, "too_large", "too_many_records"),
    ):
        with pytest.raises(Refusal) as refused:
            check_count(count)
        assert (refused.value.code, refused.value.reason) == (code, reason)


def test_a_decision_is_in_its_line_byte_for_byte() -> None:
    line = encode_line(Answer(status=202, body=DECISION, received_ns=0), "r")
    assert line == (
        b'{"status":202,"body":' + DECISION + b',"received_at":"1970-01-01T00:00:00.000Z"}\n'
    )
    again = Answer(status=202, body=DECISION, received_ns=0, is_replayed=True)
    assert b',"replayed":true,' in encode_line(again, "r")


def test_a_problem_in_a_line_names_the_request_and_when_to_come_back() -> None:
    answer = problem(ServerCode.STORAGE_UNAVAILABLE, "x: expected", retry_after_s=1.2)
    line = json.loads(encode_line(answer, "r-1"))
    assert (line["status"], line["retry_after"], set(line)) == (
        503,
        2,
        {"status", "body", "retry_after"},
    )
    assert line["body"] == json.loads(answer.body) | {"request_id": "r-1"}
