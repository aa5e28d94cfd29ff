"""Settling: what is done with final answers, in the order that survives a crash."""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from fractal_lba.agent.deadletters import DeadLetters, dead_letter
from fractal_lba.agent.outbox import Outbox
from fractal_lba.agent.outcome import Outcome, outcome_of
from fractal_lba.agent.ports import Clock, Lane, Lanes, now_ms
from fractal_lba.agent.request import Window
from fractal_lba.agent.stop import Stop
from fractal_lba.agent.tally import Tally
from fractal_lba.agent.verdict import Fate, fate_of, in_words
from fractal_lba.client import Answer
from fractal_lba.protocol import DurabilityError, FencedError, format_timestamp

# Refusals that speak of who sends, not of what is sent.
_ABOUT_THE_CALLER = frozenset({"unauthenticated", "forbidden"})


@dataclass(frozen=True, slots=True)
class Ended:
    """A window and the answer to it."""

    window: Window
    answer: Answer

    @property
    def fate(self) -> Fate:
        """What the answer means, where it is final."""
        return fate_of(self.answer.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settling:
    """Notes final answers: the dead letters on disk before the outbox forgets their records.

    Attributes:
        tell: Called with each final answer once it is noted; does not raise.
    """

    outbox: Outbox
    letters: DeadLetters
    tally: Tally
    stop: Stop
    clock: Clock
    lanes: Lanes
    tell: Callable[[Outcome], None]
    _told: set[str] = field(default_factory=set)

    async def settle(self, ended: Sequence[Ended]) -> AbstractSet[int]:
        """Note final answers.

        Returns:
            The windows for which that failed; they stay pending.
        """
        dead = [each for each in ended if each.fate is Fate.DEAD]
        for each in ended:
            if each.fate is not Fate.DEAD:
                await self._acknowledge(each)
        if not dead:
            return set()
        at = format_timestamp(now_ms(self.clock))
        letters = [
            dead_letter(each.window.record, each.answer, outbox_seq=each.window.seq, at=at)
            for each in dead
        ]
        try:
            # The only copies a person will find.
            await self.lanes.run(Lane.OUTBOX, self.letters.append, *letters)
        except DurabilityError as error:
            self.failed(error)
            return {each.window.seq for each in dead}
        for each in dead:
            self._warn(each.answer)
            await self._acknowledge(each)
        return set()

    def _warn(self, answer: Answer) -> None:
        """Say once in a run what makes every window of it a dead letter."""
        if answer.code in _ABOUT_THE_CALLER and answer.code not in self._told:
            self._told.add(answer.code)
            self.tally.say(
                f"answer {in_words(answer)}: the server does not let this agent submit, whatever it"
                " sends: its windows go to the dead letters. Stop it, correct --token-file or"
                " --cert, put them back with `fractal-agent dead-letters retry --data"
                f" {self.letters.folder} --code {answer.code}`, and start it again"
            )

    def failed(self, error: DurabilityError) -> None:
        """Say what could not be written or read back, and end the run."""
        # Where it is fenced, whoever met the failure that led to it said why.
        if not isinstance(error, FencedError):
            self.tally.durability_failed(str(error))
        self.stop.give_up()

    async def _acknowledge(self, ended: Ended) -> None:
        answer = ended.answer
        self.tally.answered(
            ended.fate,
            is_replayed=answer.replayed,
            after_s=self.clock.monotonic_s() - ended.window.past.begun_s,
            refusal=in_words(answer),
        )
        try:
            await self.outbox.acknowledge(
                ended.window.seq, status=answer.status, replayed=answer.replayed
            )
        except DurabilityError as error:
            self.failed(error)  # the next run sends it again
        self.tell(outcome_of(ended.window.record, answer, outbox_seq=ended.window.seq))
