"""What an answer means, without a server."""

import pytest

from fractal_lba.client import Answer, is_final, parse_retry_after
from fractal_lba.client.answer import problem_code

NOW_S = 1_767_225_600.0  # Thu, 01 Jan 2026 00:00:00 GMT


@pytest.mark.parametrize("status", [200, 202, 204, 400, 401, 403, 404, 409, 410, 413, 415, 422])
def test_success_and_refusal_are_final(status: int) -> None:
    assert is_final(status)
    assert Answer(status=status, body=b"").is_final


@pytest.mark.parametrize("status", [301, 302, 307, 408, 429, 500, 502, 503, 504])
def test_what_may_change_is_not_final(status: int) -> None:
    assert not is_final(status)


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        (None, None, None),
        ("0", None, 0.0),
        ("120", None, 120.0),
        (" 7 ", None, 7.0),
        ("Thu, 01 Jan 2026 00:00:30 GMT", None, 30.0),
        ("Thu, 01 Jan 2026 00:00:30 GMT", "Thu, 01 Jan 2026 00:00:20 GMT", 10.0),
        ("Thu, 01 Jan 2026 00:00:30 GMT", "nonsense", 30.0),
        ("Thursday, 01-Jan-26 00:00:30 GMT", None, 30.0),
        ("Thu Jan  1 00:00:30 2026", None, 30.0),
        ("Wed, 31 Dec 2025 23:59:59 GMT", None, 0.0),
        ("-5", None, None),
        ("1.5", None, None),
        ("soon", None, None),
        ("", None, None),
        ("٣", None, None),
        ("99999999999", None, None),
    ],
)
def test_retry_after_is_read_as_seconds_and_as_a_date(
    value: str | None, date: str | None, seconds: float | None
) -> None:
    assert parse_retry_after(value, date=date, now_s=NOW_S) == seconds


def test_an_answer_shows_no_body() -> None:
    assert "pcs" not in repr(Answer(status=200, body=b'{"pcs_id":"x"}'))


@pytest.mark.parametrize("body", [b"", b"\xff", b'{"code":"\xff"}', b'{"x":' + b"[" * 9_000])
def test_a_body_that_is_no_problem_has_no_code(body: bytes) -> None:
    assert problem_code(body) is None
