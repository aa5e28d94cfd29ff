"""Batches: records in lines out, an answer for each line back.

Pure: bytes in, values out. The rule kept here is that lines and answers stay in step by their
number alone, so what is sent holds one line for each record and nothing else, and an answer that
does not hold one whole line for each of them answers none.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from fractal_lba.client.answer import PROBLEM_STATUS_MIN, Answer, problem_code
from fractal_lba.protocol import RECORD_BYTES_MAX, ContractError, UnavailableError
from fractal_lba.protocol.undecodable import UNDECODABLE

BATCH_RECORDS_MAX: Final = 10_000
BATCH_BYTES_MAX: Final = 16 << 20
"""Of the lines before they are compressed."""

ANSWER_LINE_BYTES_MAX: Final = 4_096
"""Counted over all lines of an answer: a decision has some 400 bytes, a problem some 900."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchAnswer:
    """What a server said to a batch.

    Attributes:
        lines: An answer for each record, in order; empty where the whole was refused.
        refusal: The answer to the whole, None where its lines were answered. It says nothing about
            any of the records.
    """

    lines: tuple[Answer, ...] = ()
    refusal: Answer | None = None


def split_batch(
    bodies: Sequence[bytes],
    *,
    records_max: int = BATCH_RECORDS_MAX,
    bytes_max: int = BATCH_BYTES_MAX,
) -> Iterator[Sequence[bytes]]:
    """Yield records in order, in pieces that a batch takes; none for no record.

    Args:
        bodies: Each a record's bytes, as ``protocol.sent_bytes`` gives them.
        records_max: Of a piece, 1 or more.
        bytes_max: Of a piece with its line feeds; a record that is larger is a piece of its own.
    """
    start = size = 0
    for at, body in enumerate(bodies):
        line_bytes = len(body) + 1
        if at > start and (at - start == records_max or size + line_bytes > bytes_max):
            yield bodies[start:at]
            start, size = at, 0
        size += line_bytes
    if bodies:
        yield bodies[start:]


def joined(bodies: Sequence[bytes]) -> bytes:
    """Return the lines of a batch.

    Raises:
        ContractError: There is no record, there are too many, they are too large together, or one
            is no line: empty, with a line feed or carriage return in it, or over 64 KiB. Such a
            batch would be refused as a whole, or answered out of step.
    """
    if not 1 <= len(bodies) <= BATCH_RECORDS_MAX:
        raise ContractError(f"batch: expected 1 to {BATCH_RECORDS_MAX} records, got {len(bodies)}")
    for at, body in enumerate(bodies):
        if not body or b"\n" in body or b"\r" in body:
            raise ContractError(f"batch: expected record {at} to be one line, got another form")
        if len(body) > RECORD_BYTES_MAX:
            raise ContractError(
                f"batch: expected record {at} to have at most {RECORD_BYTES_MAX} bytes,"
                f" got {len(body)}"
            )
    lines = b"\n".join((*bodies, b""))
    if len(lines) > BATCH_BYTES_MAX:
        raise ContractError(f"batch: expected at most {BATCH_BYTES_MAX} bytes, got {len(lines)}")
    return lines


class _Line(msgspec.Struct, frozen=True):
    """One line of an answer; members that a later server may add are passed over."""

    status: Annotated[int, msgspec.Meta(ge=200, le=599)]
    body: msgspec.Raw
    replayed: bool = False
    received_at: str | None = None
    retry_after: Annotated[float, msgspec.Meta(ge=0)] | None = None


_DECODER: Final = msgspec.json.Decoder(_Line)


def read_lines(data: bytes, count: int) -> tuple[Answer, ...]:
    """Return the answers in the body of a ``200``.

    Args:
        data: The whole body.
        count: How many records were sent.

    Raises:
        UnavailableError: It is not one whole line for each record: no record was answered.
    """
    # What is cut at its last line feed is cut.
    if not data.endswith(b"\n"):
        raise UnavailableError(f"batch answer: expected {count} whole lines, got something else")
    if (found := data.count(b"\n")) != count:
        raise UnavailableError(f"batch answer: expected {count} lines, got {found}")
    return tuple(map(_answer, data[:-1].split(b"\n")))


def _answer(line: bytes) -> Answer:
    try:
        read = _DECODER.decode(line)
    except UNDECODABLE as error:
        # The decoder's own text may quote what came.
        raise UnavailableError(
            "batch answer: expected each line to have a status and a body, got something else"
        ) from error
    body = bytes(read.body)
    return Answer(
        status=read.status,
        body=body,
        replayed=read.replayed,
        received_at=read.received_at,
        retry_after_s=read.retry_after,
        code=problem_code(body) if read.status >= PROBLEM_STATUS_MIN else None,
    )
