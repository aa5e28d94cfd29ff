"""Shipping: durable windows out, final answers in.

For each window, in this order: read the record back, send it until an answer is final, write the
dead letter where it was not accepted, note the answer in the outbox. A crash between any two of
these leads to a repeat, never to a loss.
"""

import asyncio
import random
from dataclasses import dataclass

from fractal_lba.agent.deadletters import DeadLetters, dead_letter
from fractal_lba.agent.outbox import Outbox
from fractal_lba.agent.ports import Clock, Lane, Lanes, Server, now_ms
from fractal_lba.agent.stop import Stop, first_of
from fractal_lba.agent.tally import Tally
from fractal_lba.agent.verdict import Fate, fate_of, is_about
from fractal_lba.client import Answer, RetryPolicy
from fractal_lba.protocol import (
    Delivery,
    DurabilityError,
    FencedError,
    Record,
    UnavailableError,
    format_timestamp,
    sent_bytes,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipper:
    """Sends what the outbox holds.

    Attributes:
        in_flight: Windows on their way at once; each holds one record in memory.
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

    async def run(self) -> None:
        """Send until the outbox is empty and will stay so, or sending is stopped."""
        await first_of(self.stop.sending, self._send_all())

    async def _send_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self.in_flight):
                group.create_task(self._send_in_turn())

    async def _send_in_turn(self) -> None:
        while (seq := await self.outbox.take()) is not None:
            try:
                await self._ship(seq)
            except FencedError:
                self.stop.give_up()  # whoever met the failure that led to it said why
            except DurabilityError as error:
                # The window stays pending, or its acknowledgement is lost: the next run sends it
                # again.
                self.tally.durability_failed(str(error))
                self.stop.give_up()

    async def _ship(self, seq: int) -> None:
        record = await self.outbox.read(seq)
        begun_s = self.clock.monotonic_s()
        answer = await self.policy.until_final(
            lambda attempt: self._attempt(record, seq, attempt),
            rng=self.rng,
            sleep=self.clock.sleep,
            on_retry=self._note_retry,
        )
        after_s = self.clock.monotonic_s() - begun_s
        fate = fate_of(answer.status)
        if fate is Fate.DEAD:
            at = format_timestamp(now_ms(self.clock))
            letter = dead_letter(record, answer, outbox_seq=seq, at=at)
            # On disk before the outbox forgets the record: it is the only copy a person will find.
            await self.lanes.run(Lane.OUTBOX, self.letters.append, letter)
        self.tally.answered(
            fate, is_replayed=answer.replayed, after_s=after_s, refusal=_in_words(answer)
        )
        await self.outbox.acknowledge(seq, status=answer.status, replayed=answer.replayed)

    async def _attempt(self, record: Record, seq: int, attempt: int) -> Answer:
        delivery = Delivery(
            attempt=attempt, sent_at=format_timestamp(now_ms(self.clock)), outbox_seq=seq
        )
        answer = await self.server.submit(sent_bytes(record, delivery))
        if not is_about(answer, record.pcs_id):
            raise UnavailableError(
                f"answer {answer.status} to outbox frame {seq}: expected a decision about this"
                " record or a problem document with a code, got something else: is the URL that of"
                " a fractal-server?",
                retry_after_s=answer.retry_after_s,
            )
        return answer

    def _note_retry(self, reason: Answer | UnavailableError) -> None:
        if isinstance(reason, Answer):
            self.tally.retried(f"answer {_in_words(reason)}")
        else:
            self.tally.retried(str(reason))


def _in_words(answer: Answer) -> str:
    return f"{answer.status} {answer.code or ''}".rstrip()
