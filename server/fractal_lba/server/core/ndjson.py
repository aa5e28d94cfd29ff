"""A batch's lines: the records in it, and the answers that go back, one line for each.

A line ends with a line feed; the last one may lack it. What a line may not be is refused on the
line (``line_fault``), what a batch may not be as a whole (``check_count``).
"""

from collections.abc import Iterator

import msgspec

from fractal_lba.protocol.document import RECORD_BYTES_MAX
from fractal_lba.protocol.errors import Refusal, RefusalCode
from fractal_lba.server.core.answer import (
    Answer,
    body_too_large,
    named,
    refused,
    timestamp,
    whole_seconds,
)

BATCH_RECORDS_MAX = 10_000
BATCH_BYTES_MAX = 16 << 20
"""Of a batch as it came over the wire, and again of what it says once it is decoded."""


def count_lines(data: bytes) -> int:
    """Return how many lines there are."""
    return data.count(b"\n") + (not data.endswith(b"\n") and bool(data))


def lines_of(data: bytes) -> Iterator[bytes]:
    """Yield each line without its line feed; at no time more than one is copied."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start)
        if end < 0:
            end = len(data)
        yield data[start:end]
        start = end + 1


def check_count(count: int) -> None:
    """Refuse a batch of no line or of too many, before any of them is looked at.

    Raises:
        Refusal: ``malformed_json`` for none, since nobody means to send nothing: a caller that lost
            its lines on the way must not read a success; ``too_large`` for too many.
    """
    if not count:
        raise Refusal(
            RefusalCode.MALFORMED_JSON,
            reason="empty_batch",
            message="body: expected at least one line, got none",
        )
    if count > BATCH_RECORDS_MAX:
        raise Refusal(
            RefusalCode.TOO_LARGE,
            reason="too_many_records",
            message=f"body: expected at most {BATCH_RECORDS_MAX} lines, got {count}",
        )


def line_fault(line: bytes) -> Answer | None:
    """Return the problem of a line that is refused before it is read as JSON.

    A carriage return before the line feed would be white space to a JSON parser; it is refused, so
    that a line has one spelling and a file that was edited elsewhere is noticed.
    """
    if not line:
        return _malformed("blank_line", "line: expected a record, got a blank one")
    if len(line) > RECORD_BYTES_MAX:
        return body_too_large(RECORD_BYTES_MAX)
    if line.endswith(b"\r"):
        return _malformed(
            "carriage_return",
            "line: expected a line feed alone at its end, got a carriage return before it",
        )
    return None


def _malformed(reason: str, message: str) -> Answer:
    return refused(Refusal(RefusalCode.MALFORMED_JSON, reason=reason, message=message))


class _Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    status: int
    body: msgspec.Raw
    replayed: bool = False
    received_at: str | None = None
    retry_after: int | None = None


_ENCODER = msgspec.json.Encoder()


def encode_line(answer: Answer, request_id: str) -> bytes:
    """Return an answer as its line, line feed included.

    Its body is byte for byte what submit would give, its other members what submit says in headers.
    """
    body = answer.body if answer.code is None else named(answer.body, request_id)
    line = _Line(
        status=answer.status,
        body=msgspec.Raw(body),
        replayed=answer.is_replayed,
        received_at=None if answer.received_ns is None else timestamp(answer.received_ns),
        retry_after=None if answer.retry_after_s is None else whole_seconds(answer.retry_after_s),
    )
    return _ENCODER.encode(line) + b"\n"
