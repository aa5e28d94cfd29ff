"""Answers: what a server said, as a value.

Pure: headers and bytes in, values out. The rule kept here is which answers are final: a final
answer will not change however often the same bytes are sent, so it is the only thing that may end a
retry.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Annotated

import msgspec

from fractal_lba.protocol.described import described
from fractal_lba.protocol.undecodable import UNDECODABLE

# RFC 9110 section 10.2.3 gives no bound; ten digits hold three centuries.
_DELAY_SECONDS = re.compile(r"[0-9]{1,10}", re.ASCII)

_REQUEST_TIMEOUT = 408
_TOO_MANY_REQUESTS = 429

PROBLEM_STATUS_MIN = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP answer.

    Attributes:
        status: The HTTP status.
        body: The body as received; left out of ``repr``, since a read answer holds a record.
        replayed: The server had decided this content before and repeats its first answer.
        received_at: When the server received the record, as it wrote it; None where it did not say.
        retry_after_s: How long the server asks to be left alone, in seconds; None where it did not
            say.
        code: The stable ``code`` of a problem document; None for any other body.
    """

    status: int
    body: bytes = field(repr=False)
    replayed: bool = False
    received_at: str | None = None
    retry_after_s: float | None = None
    code: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether sending the same bytes again can only give this answer again."""
        return is_final(self.status)


@described
class _Problem(msgspec.Struct):
    """The one member of an RFC 9457 problem document that a program acts on."""

    # A code is a word: it is printed and logged, and a stranger's text in its place may quote a
    # record or the token.
    code: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,63}\Z")] | None = None


def is_final(status: int) -> bool:
    """Return whether a status ends the sending of a record.

    Final are 2xx and every 4xx but 408 and 429. A redirect is not: following it would carry a
    record to a host nobody configured. Whether a 4xx is the server's own, and not the page of
    something in between, its ``code`` or its decision tells.
    """
    if status in (_REQUEST_TIMEOUT, _TOO_MANY_REQUESTS):
        return False
    return status // 100 in (2, 4)


def problem_code(body: bytes) -> str | None:
    """Return the ``code`` of a problem document, or None where the body is something else."""
    try:
        return msgspec.json.decode(body, type=_Problem).code
    except UNDECODABLE:
        return None


def parse_retry_after(value: str | None, *, date: str | None, now_s: float) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks to wait.

    Args:
        value: The header, as delay seconds or as an HTTP date; None where it is absent.
        date: The same answer's ``Date`` header. A date is measured from it, so that two clocks
            which disagree do not turn a second into an hour.
        now_s: Seconds since 1970, used where ``Date`` is absent or unreadable.

    Returns:
        Seconds, 0 or more; None where the header is absent or unreadable.

    Source: RFC 9110 section 10.2.3.
    """
    if value is None:
        return None
    text = value.strip()
    if _DELAY_SECONDS.fullmatch(text):
        return float(text)
    until_s = _http_date_s(text)
    if until_s is None:
        return None
    sent_s = None if date is None else _http_date_s(date)
    return max(0.0, until_s - (now_s if sent_s is None else sent_s))


def _http_date_s(text: str) -> float | None:
    """Return the seconds since 1970 of an HTTP date (all three forms of RFC 9110), or None."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    # An HTTP date is in UTC; the asctime form carries no zone and parses as naive.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
