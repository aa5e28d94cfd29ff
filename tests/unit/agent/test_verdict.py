"""What an answer means for a record."""

import pytest
from tests.support.scripted_server import decision

from fractal_lba.agent.verdict import Fate, fate_of, is_about
from fractal_lba.client import Answer

PCS_ID = "ab" * 32


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        (200, Fate.ACCEPTED),
        (202, Fate.ESCALATED),
        (400, Fate.DEAD),
        (401, Fate.DEAD),
        (403, Fate.DEAD),
        (404, Fate.DEAD),
        (409, Fate.DEAD),
        (410, Fate.DEAD),
        (413, Fate.DEAD),
        (422, Fate.DEAD),
    ],
)
def test_a_final_status_is_a_fate(status: int, fate: Fate) -> None:
    assert fate_of(status) is fate


@pytest.mark.parametrize("status", [200, 202])
def test_a_success_counts_when_it_names_the_record(status: int) -> None:
    assert is_about(Answer(status=status, body=decision(PCS_ID)), PCS_ID)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Welcome to the hotel</html>",
        b"{}",
        b"[]",
        b"\xff",
        b'{"pcs_id":' + b"[" * 9_000,
        decision("cd" * 32),
    ],
)
def test_a_success_that_names_another_record_or_none_is_no_acknowledgement(body: bytes) -> None:
    assert not is_about(Answer(status=200, body=body), PCS_ID)


@pytest.mark.parametrize("status", [400, 401, 403, 409, 413, 422])
def test_a_refusal_counts_when_it_has_a_code(status: int) -> None:
    assert is_about(Answer(status=status, body=b"{}", code="unknown_key"), PCS_ID)


def test_a_refusal_counts_when_it_is_the_decision_about_the_record() -> None:
    assert is_about(Answer(status=422, body=decision(PCS_ID)), PCS_ID)
    assert not is_about(Answer(status=422, body=decision("cd" * 32)), PCS_ID)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 422])
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"detail":"Not Found"}'])
def test_a_refusal_by_something_in_between_is_none(status: int, body: bytes) -> None:
    assert not is_about(Answer(status=status, body=body), PCS_ID)


@pytest.mark.parametrize("status", [404, 405])
def test_a_refusal_of_the_address_is_none_of_the_record(status: int) -> None:
    assert not is_about(Answer(status=status, body=b"{}", code="not_found"), PCS_ID)


@pytest.mark.parametrize("status", [302, 408, 429, 500, 503])
def test_an_answer_that_is_not_final_is_taken_as_it_is(status: int) -> None:
    assert is_about(Answer(status=status, body=b"<html>"), PCS_ID)
