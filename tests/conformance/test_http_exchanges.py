"""The golden exchanges against the description of the calls, and against the list of codes."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from golden_vectors.exchanges import agrees
from tests.support.described import assert_described
from tests.support.stated_exchanges import OF_EACH_RULE, exchanges, text

from fractal_lba.protocol.errors import RefusalCode
from fractal_lba.server.core.answer import STATUS_OF, ServerCode
from fractal_lba.server.http.calls import OPERATIONS

ROOT = Path(__file__).parents[2]
# Codes that no exchange of fixed bytes can reach, and the test that does, over a real socket.
REACHED_ELSEWHERE = {
    "overloaded": (
        "test_server_limits.py",
        "test_more_in_flight_than_fits_is_refused_before_its_body",
    ),
    "draining": (
        "test_server_lifecycle.py",
        "test_a_stop_answers_what_was_accepted_and_refuses_what_is_new",
    ),
    "storage_unavailable": (
        "test_server_damage.py",
        "test_a_server_says_what_is_damaged_and_serves_the_rest",
    ),
    "internal_error": ("test_server_bugs.py", "test_a_bug_is_a_problem_that_names_nothing"),
}


def stated(answer: dict[str, Any]) -> tuple[dict[str, str], str]:
    headers = {name.lower(): text(value) for name, value in answer["headers"].items()}
    return headers, text(answer["body"])


def test_every_golden_exchange_is_as_the_calls_are_described() -> None:
    count = 0
    for where, method, target, answer in exchanges():
        headers, body = stated(answer)
        try:
            assert_described(method, target, answer["status"], headers, body.encode())
        except Exception as error:
            raise AssertionError(where) from error
        count += 1
    assert count >= 200


def test_another_golden_exchange_would_not_be() -> None:
    caught = 0
    for _, method, target, answer in exchanges():
        headers, body = stated(answer)
        if answer["status"] != 409:
            continue
        for changed in (
            (answer["status"] + 1, headers, body),
            (answer["status"], {**headers, "x-another": "1"}, body),
            (answer["status"], {"content-type": headers["content-type"]}, body),
            (answer["status"], headers, body.replace('"code"', '"kode"')),
        ):
            with pytest.raises((AssertionError, ValueError)):
                assert_described(method, target, *changed[:2], changed[2].encode())
            caught += 1
    assert caught >= 8


def codes_reached() -> set[str]:
    reached = set()
    for _, _, _, answer in exchanges():
        headers, body = stated(answer)
        if headers["content-type"] == "application/problem+json" and body:
            reached.add(json.loads(body)["code"])
    return reached


def test_every_code_is_reached_by_an_exchange_or_by_a_test_that_is_named() -> None:
    codes = {code.value for code in (*RefusalCode, *ServerCode)}
    assert codes == set(STATUS_OF)
    assert codes_reached() | REACHED_ELSEWHERE.keys() == codes
    assert not codes_reached() & REACHED_ELSEWHERE.keys()
    for code, (file, name) in REACHED_ELSEWHERE.items():
        source = (ROOT / "tests" / "integration" / file).read_text(encoding="utf-8")
        functions = {
            node.name: node
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.FunctionDef)
        }
        assert f'"{code}"' in ast.unparse(functions[name]).replace("'", '"'), name


def test_every_call_is_in_an_exchange_with_each_answer_that_is_no_problem() -> None:
    seen = {
        (method.lower(), re.sub("[0-9a-f]{64}", "{pcs_id}", target.partition("?")[0]), status)
        for _, method, target, answer in exchanges()
        for status in [answer["status"]]
    }
    # What they say hangs on the moment, and what stands in the way of being ready on a fault.
    moment = {("get", "/metrics", 200), ("get", "/openapi.json", 200), ("get", "/ready", 503)}
    for operation in OPERATIONS:
        for status in operation.answers:
            expected = (operation.method, operation.path, status)
            assert (expected in seen) != (expected in moment), expected


def test_every_status_of_the_table_of_codes_is_in_an_exchange() -> None:
    statuses = {answer["status"] for _, _, _, answer in exchanges()}
    assert statuses >= {*STATUS_OF.values(), 200, 202, 422} - {500, 503}


def rules_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    texts = [*answer["headers"].values(), answer["body"]]
    return [piece for pieces in texts for piece in pieces if "rule" in piece]


def test_a_named_rule_stands_for_one_text() -> None:
    receipt = {"rule": "timestamp", "name": "received-1"}
    answer = {"status": 200, "headers": {"X-Received-At": [receipt]}, "body": [receipt]}
    given = {"status": 200, "headers": {"X-Received-At": OF_EACH_RULE["timestamp"]}}
    for body, holds in (
        (OF_EACH_RULE["timestamp"], True),
        ("2026-11-21T06:00:00.001Z", False),
        ("now", False),
    ):
        answers = {"answers": [{**given, "body": body}]}
        assert agrees(answers, {"answers": [answer]}) == holds


@pytest.mark.parametrize("rule", OF_EACH_RULE)
def test_every_rule_is_used(rule: str) -> None:
    used = {each["rule"] for _, _, _, answer in exchanges() for each in rules_of(answer)}
    assert rule in used
