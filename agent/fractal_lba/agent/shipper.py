"""Shipping: durable windows out, final answers in.

For each window, in this order: read the record back, send it until an answer is final, write the
dead letter where it was not accepted, note the answer in the outbox. A crash between any two of
these leads to a repeat, never to a loss.

Whatever waits goes out together, a line for each window, and each is answered by its own line. What
a server says of a batch as a whole ends no window: it is sent again, in smaller batches or alone.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fractal_lba.agent.deadletters import DeadLetters, dead_letter
from fractal_lba.agent.load import BYTES_MAX, Load
from fractal_lba.agent.outbox import Outbox
from fractal_lba.agent.outcome import Outcome, outcome_of
from fractal_lba.agent.ports import Clock, Lane, Lanes, Server, now_ms
from fractal_lba.agent.stop import Stop, first_of
from fractal_lba.agent.tally import Tally
from fractal_lba.agent.verdict import Fate, fate_of, is_about
from fractal_lba.client import Answer, RetryPolicy, split_batch
from fractal_lba.protocol import (
    Delivery,
    DurabilityError,
    FencedError,
    Record,
    UnavailableError,
    format_timestamp,
    sent_bytes,
)

_TOO_MANY_REQUESTS = 429


@dataclass(slots=True, kw_only=True)
class _Window:
    """A window on its way."""

    seq: int
    record: Record
    begun_s: float
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class _Ended:
    """A window and its final answer."""

    window: _Window
    answer: Answer

    @property
    def fate(self) -> Fate:
        return fate_of(self.answer.status)


@dataclass(slots=True, kw_only=True)
class Shipper:
    """Sends what the outbox holds.

    Attributes:
        in_flight: Requests on their way at once.
        tell: Called with each final answer once it is noted; does not raise.
    """

    outbox: Outbox
    letters: DeadLetters
    server: Server
    policy: RetryPolicy
    rng: random.Random
    in_flight: int
    tally: Tally
    stop: Stop
    clock: Clock
    lanes: Lanes
    tell: Callable[[Outcome], None]
    _load: Load = field(init=False)
    _given_back: dict[int, _Window] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with the largest requests."""
        self._load = Load.of(self.in_flight)

    async def run(self) -> None:
        """Send until the outbox is empty and will stay so, or sending is stopped."""
        await first_of(self.stop.sending, self._send_all())

    async def _send_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self.in_flight):
                group.create_task(self._send_in_turn())

    async def _send_in_turn(self) -> None:
        while (seq := await self.outbox.take()) is not None:
            windows = await self._with_those_waiting(seq)
            while windows:
                await self._send(windows)

    async def _send(self, windows: list[_Window]) -> None:
        """Send until none of these is left open but those that have to go out otherwise."""
        await self.policy.until_final(
            lambda _number: self._attempt(windows),
            rng=self.rng,
            sleep=self.clock.sleep,
            on_retry=lambda why: self._note_retry(why, len(windows)),
        )

    async def _with_those_waiting(self, seq: int) -> list[_Window]:
        """Return a window and those that wait behind it, as many as a request carries."""
        windows: list[_Window] = []
        following: int | None = seq
        while following is not None:
            window = self._given_back.pop(following, None)
            try:
                windows.append(window or await self._read(following))
            except DurabilityError as error:
                self._note_failure(error)  # it stays pending
            following = None if len(windows) >= self._load.windows else self.outbox.take_waiting()
        return windows

    async def _read(self, seq: int) -> _Window:
        record = await self.outbox.read(seq)
        return _Window(seq=seq, record=record, begun_s=self.clock.monotonic_s())

    async def _attempt(self, windows: list[_Window]) -> Answer:
        """Send these, and take out those that have their final answer.

        Returns:
            An answer that is final where there is nothing to wait for: each window that is left was
            refused with others, and may go out again in a smaller batch. Otherwise the open answer
            that asks for the longest wait.
        """
        bodies = self._bodies(windows)
        self._give_back(windows, len(bodies))
        answers = await self._answers(windows, bodies)
        if isinstance(answers, Answer):
            return answers
        ended = [
            _Ended(window, answer)
            for window, answer in zip(windows, answers, strict=True)
            if answer.is_final
        ]
        settled = {each.window.seq for each in ended}
        windows[:] = [window for window in windows if window.seq not in settled]
        if ended:
            self._load.answered(now_s=self.clock.monotonic_s())
            await self._settle(ended)
        still_open = [answer for answer in answers if not answer.is_final]
        return max(still_open, key=lambda each: each.retry_after_s or 0.0, default=answers[0])

    def _bodies(self, windows: Sequence[_Window]) -> Sequence[bytes]:
        """Return the bytes of the next request, of as many of these as it carries."""
        at = format_timestamp(now_ms(self.clock))
        bodies = [
            sent_bytes(
                window.record,
                Delivery(attempt=window.attempts + 1, sent_at=at, outbox_seq=window.seq),
            )
            for window in windows[: self._load.windows]
        ]
        return next(split_batch(bodies, bytes_max=BYTES_MAX))

    def _give_back(self, windows: list[_Window], count: int) -> None:
        """Leave what a request does not carry to others, so that it waits for none of its own."""
        rest = windows[count:]
        del windows[count:]
        self._given_back |= {window.seq: window for window in rest}
        self.outbox.give_back([window.seq for window in rest])

    async def _answers(
        self, windows: Sequence[_Window], bodies: Sequence[bytes]
    ) -> Sequence[Answer] | Answer:
        """Return the answer to each window, or the one to all of them.

        Raises:
            UnavailableError: Nothing came that answers them.
        """
        for window in windows:
            window.attempts += 1
        self.tally.requests += 1
        refusal: Answer | None = None
        try:
            if len(windows) == 1:
                answers: Sequence[Answer] = [await self.server.submit(bodies[0])]
            else:
                answer = await self.server.batch(bodies)
                answers, refusal = answer.lines, answer.refusal
            for window, each in zip(windows, answers, strict=refusal is None):
                _check_about(window, each)
        except UnavailableError:
            self._load.unanswered(len(windows))
            raise
        if refusal is None:
            return answers
        if refusal.is_final:
            self._load.refused(len(windows), refusal.status, now_s=self.clock.monotonic_s())
            self.tally.retried(
                f"answer {_in_words(refusal)} to a batch of {len(windows)}", len(windows)
            )
        elif refusal.status != _TOO_MANY_REQUESTS:  # which asks for later, not for less
            self._load.unanswered(len(windows))
        return refusal

    async def _settle(self, ended: Sequence[_Ended]) -> None:
        """Note final answers: the dead letters on disk before the outbox forgets their records."""
        dead = [each for each in ended if each.fate is Fate.DEAD]
        for each in ended:
            if each.fate is not Fate.DEAD:
                await self._acknowledge(each)
        if not dead:
            return
        at = format_timestamp(now_ms(self.clock))
        letters = [
            dead_letter(each.window.record, each.answer, outbox_seq=each.window.seq, at=at)
            for each in dead
        ]
        try:
            # The only copies a person will find.
            await self.lanes.run(Lane.OUTBOX, self.letters.append, *letters)
        except DurabilityError as error:
            self._note_failure(error)  # they stay pending
            return
        for each in dead:
            await self._acknowledge(each)

    async def _acknowledge(self, ended: _Ended) -> None:
        answer = ended.answer
        self.tally.answered(
            ended.fate,
            is_replayed=answer.replayed,
            after_s=self.clock.monotonic_s() - ended.window.begun_s,
            refusal=_in_words(answer),
        )
        try:
            await self.outbox.acknowledge(
                ended.window.seq, status=answer.status, replayed=answer.replayed
            )
        except DurabilityError as error:
            self._note_failure(error)  # the next run sends it again
        self.tell(outcome_of(ended.window.record, answer, outbox_seq=ended.window.seq))

    def _note_retry(self, reason: Answer | UnavailableError, windows: int) -> None:
        why = f"answer {_in_words(reason)}" if isinstance(reason, Answer) else str(reason)
        self.tally.retried(why, windows)

    def _note_failure(self, error: DurabilityError) -> None:
        # Where it is fenced, whoever met the failure that led to it said why.
        if not isinstance(error, FencedError):
            self.tally.durability_failed(str(error))
        self.stop.give_up()


def _check_about(window: _Window, answer: Answer) -> None:
    if not is_about(answer, window.record.pcs_id):
        raise UnavailableError(
            f"answer {answer.status} to outbox frame {window.seq}: expected a decision about this"
            " record or a problem document with a code, got something else: is the URL that of"
            " a fractal-server?",
            retry_after_s=answer.retry_after_s,
        )


def _in_words(answer: Answer) -> str:
    return f"{answer.status} {answer.code or ''}".rstrip()
