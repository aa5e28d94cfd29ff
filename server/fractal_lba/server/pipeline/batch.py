"""Take a batch in: inbox, inflate, then each line as a record of its own, in order.

The bytes are on disk as they came, still compressed, before anything is undone. What is wrong with
the whole (the stream, its size, the number of lines) is found before any line is looked at; from
then on a bad line is a problem on its line. The frame stays open until every line is decided or
refused, and is tried again as a whole: what was decided answers itself.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fractal_lba.protocol.errors import Refusal
from fractal_lba.server.core.answer import Answer, ServerCode, problem, refused
from fractal_lba.server.core.inbox_frame import Received
from fractal_lba.server.core.inflate import inflate
from fractal_lba.server.core.ndjson import (
    BATCH_BYTES_MAX,
    check_count,
    count_lines,
    line_fault,
    lines_of,
)
from fractal_lba.server.core.poison import SET_ASIDE
from fractal_lba.server.pipeline.intake import Intake
from fractal_lba.server.pipeline.settled import Settled
from fractal_lba.server.pipeline.turns import Turns
from fractal_lba.server.pipeline.verify import Piece, VerifiedOrNot
from fractal_lba.server.ports import Inbox, InboxFrame, Meter

LINES_AT_ONCE_MAX = 512
"""Lines of one batch decided together: they share lookups, commits and messages. More would keep
the event loop from others for longer than 5 ms."""
LINES_BYTES_AT_ONCE_MAX = 4 << 20
"""Their bytes."""

_log = logging.getLogger(__name__)

OnLines = Callable[[Sequence[Settled]], None]
"""Takes how the next lines ended, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettled:
    """How a batch ended.

    ``refusal`` is the answer to the whole, ``None`` where its lines have answers of their own.
    """

    refusal: Answer | None
    is_over: bool


class Batches:
    """The way of a batch through the server.

    Args:
        inbox: Where a batch is before it is inflated.
        intake: The way of each record in it.
        meter: Counts.
        at_once_max: How many of identified callers are inflated and decided at once, and one of
            the others beside them; the rest wait as they came, each for the turn of its sender.
    """

    def __init__(self, *, inbox: Inbox, intake: Intake, meter: Meter, at_once_max: int) -> None:
        self._inbox = inbox
        self._intake = intake
        self._meter = meter
        self._turns = Turns(at_once_max)
        self._turns_unidentified = Turns(1)

    async def receive(
        self,
        body: bytes,
        received: Received,
        on_lines: OnLines,
        *,
        on_count: Callable[[int], None] | None = None,
        whose: str,
    ) -> BatchSettled:
        """Log a batch that has just arrived, then settle it.

        ``on_count`` is told how many lines it has, before they are looked at; batches of the same
        ``whose`` take turns with those of others.
        """

        def ingested(count: int) -> None:
            self._meter.ingested(count)
            if on_count is not None:
                on_count(count)

        frame = await self._intake.log(body, received)
        if isinstance(frame, Settled):
            return BatchSettled(refusal=frame.answer, is_over=False)
        return await self._settle(
            frame, on_lines, whose=whose, ingested=ingested, is_recovered=False
        )

    async def settle(self, frame: InboxFrame, *, is_recovered: bool = True) -> BatchSettled:
        """Settle a logged batch again; nobody waits for its answers."""
        return await self._settle(
            frame, lambda _: None, whose="", ingested=lambda _: None, is_recovered=is_recovered
        )

    async def _settle(
        self,
        frame: InboxFrame,
        on_lines: OnLines,
        *,
        whose: str,
        ingested: Callable[[int], None],
        is_recovered: bool,
    ) -> BatchSettled:
        if self._intake.is_poison(frame.body):  # known only since it was logged
            self._inbox.finish(frame.seq, is_refused=True)
            return BatchSettled(refusal=SET_ASIDE, is_over=True)
        is_identified = frame.received.identified_tenant is not None
        async with (self._turns if is_identified else self._turns_unidentified).of(whose):
            try:
                data, count = await self._intake.run(lambda: _decoded(frame), frame)
            except Refusal as refusal:
                answer = refused(refusal)
                ingested(1)
                self._meter.answered(
                    tenant=None, status=answer.status, code=answer.code, is_replayed=False
                )
                self._inbox.finish(frame.seq, is_refused=True)
                return BatchSettled(refusal=answer, is_over=True)
            ingested(count)
            return await self._settle_lines(
                lines_of(data), frame, on_lines, is_recovered=is_recovered
            )

    async def _settle_lines(
        self, lines: Iterator[bytes], frame: InboxFrame, on_lines: OnLines, *, is_recovered: bool
    ) -> BatchSettled:
        is_over, is_refused = True, False
        has_met_a_bug = False
        for together in runs_of(lines):
            verified = await self._verify(together, frame, is_recovered=is_recovered)
            # Decided in the order of the lines: of two with one id the first is first.
            ends = await self._conclude(verified, frame)
            for settled in ends:
                is_over = is_over and settled.is_over
                is_refused = is_refused or settled.is_refused
                has_met_a_bug = has_met_a_bug or settled is _BUG
            on_lines(ends)
        if is_over:
            self._inbox.finish(frame.seq, is_refused=is_refused)
        elif not has_met_a_bug:
            # With a bug in it, it stays open on disk and is not tried again before the next start.
            self._intake.put_back(frame, is_recovered=is_recovered)
        return BatchSettled(refusal=None, is_over=is_over)

    async def _verify(
        self, lines: list[bytes], frame: InboxFrame, *, is_recovered: bool
    ) -> Sequence[VerifiedOrNot | Answer]:
        """Return each line's record, why it was refused, or the problem of a line that is none."""
        faults = [line_fault(line) for line in lines]
        sound = [line for line, fault in zip(lines, faults, strict=True) if fault is None]
        verified = await self._intake.verify([Piece(sound, frame, is_recovered)])
        if len(sound) == len(lines):
            return verified
        ends = iter(verified)
        return [next(ends) if fault is None else fault for fault in faults]

    async def _conclude(
        self, verified: Sequence[VerifiedOrNot | Answer], frame: InboxFrame
    ) -> list[Settled]:
        ends: Sequence[Settled | Exception]
        try:
            ends = await self._intake.conclude(verified, [frame] * len(verified))
        except Exception as error:  # noqa: BLE001 - answered on each of these lines, and logged
            ends = [error] * len(verified)
        return [each if isinstance(each, Settled) else _bug(each) for each in ends]


def _decoded(frame: InboxFrame) -> tuple[bytes, int]:
    """Return what a batch says and how many lines that is.

    Raises:
        Refusal: The whole is refused; no line was looked at.
    """
    data = inflate(frame.body, frame.received.content_encoding, bytes_max=BATCH_BYTES_MAX)
    count = count_lines(data)
    check_count(count)
    return data, count


def runs_of(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Yield what is decided together, in order: lines within both bounds, or one alone."""
    together: list[bytes] = []
    size = 0
    for line in lines:
        size += len(line)
        if together and (len(together) == LINES_AT_ONCE_MAX or size > LINES_BYTES_AT_ONCE_MAX):
            yield together
            together, size = [], len(line)
        together.append(line)
    if together:
        yield together


_BUG = Settled(
    answer=problem(
        ServerCode.INTERNAL_ERROR, "server: expected an answer, got a failure; it is logged"
    ),
    is_over=False,
)


def _bug(error: BaseException) -> Settled:
    # One record that meets a bug must not keep the answers of the others back.
    _log.error("a line met a bug", exc_info=error)
    return _BUG
