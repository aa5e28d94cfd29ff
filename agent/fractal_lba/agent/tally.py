"""The tally of one run: what was observed and what became of it, and the exit code that follows.

The counts are a partition, so that a reader can check them::

    windows + resumed = acknowledged + dead_letters + pending
    acknowledged      = accepted + escalated
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from fractal_lba.agent.measures import Kind, Sample
from fractal_lba.agent.verdict import Fate
from fractal_lba.protocol import DurabilityError, FencedError, Record, Regime


class Exit(IntEnum):
    """How the command ends; the first that applies, from top to bottom."""

    UNWRITABLE = 4  # the outbox or the dead letters could not be written, or are damaged
    UNUSABLE = 2  # a setting or a source cannot be used
    GAVE_UP = 6  # no final answer for --give-up-after; everything is kept, as with 3
    PENDING = 3  # stopped before everything was answered; the rest is kept and sent by the next run
    DEAD_LETTERS = 5  # everything was answered, and something was not accepted
    DONE = 0


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts of one run.

    Attributes:
        say: Told of each failure at once, since a run may take days.
        windows: Windows observed and made durable.
        resumed: Windows that were pending when the run began.
        accepted: Answered 200.
        escalated: Answered 202: accepted, and a person should look.
        repeats: Answers to content the server had decided before, whatever they said.
        dead_letters: Answered finally, not accepted.
        pending: Not answered finally yet.
        retries: Windows that had to be sent again, each time.
        retry_reasons: The same by what made it necessary: a status, or ``no_answer``.
        requests: Requests to the server, of one window or of several.
        slowest_answer_ms: The longest time from a window's first attempt to its final answer.
        trouble: Why the last attempt had to be repeated; empty since the last final answer.
        last_failure: The same, kept to the end of the run.
        refusals: Status and code of what was not accepted → how many.
        degraded: Observed windows of which something was replaced, or whose clock had jumped.
        late_rows: Rows of observed windows whose own windows had ended.
        regimes: Observed windows by regime.
        unreadable: Pending windows, and frames of the outbox, that cannot be read any more.
        notes: What a source holds and was left for a later run, because it is not whole yet.
        source_failures: Why a source could not be read, or not to its end.
        durability_failures: What could not be written or read back.
        has_given_up: No window had a final answer for as long as the run waits for one.
    """

    say: Callable[[str], None]
    windows: int = 0
    resumed: int = 0
    accepted: int = 0
    escalated: int = 0
    repeats: int = 0
    dead_letters: int = 0
    pending: int = 0
    degraded: int = 0
    late_rows: int = 0
    retries: int = 0
    retry_reasons: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    slowest_answer_ms: float = 0.0
    trouble: str = ""
    last_failure: str = ""
    refusals: dict[str, int] = field(default_factory=dict)
    regimes: dict[str, int] = field(default_factory=lambda: {regime.value: 0 for regime in Regime})
    unreadable: int = 0
    notes: list[str] = field(default_factory=list)
    source_failures: list[str] = field(default_factory=list)
    durability_failures: list[str] = field(default_factory=list)
    has_given_up: bool = False

    @property
    def answers(self) -> int:
        """Windows that had their final answer."""
        return self.acknowledged + self.dead_letters

    @property
    def is_idle(self) -> bool:
        """Whether nothing was observed, and nothing waited."""
        return not (self.windows or self.resumed)

    @property
    def acknowledged(self) -> int:
        """Windows the server accepted."""
        return self.accepted + self.escalated

    def observed(self, record: Record) -> None:
        """Count a window that is on disk."""
        self.windows += 1
        self.pending += 1
        self.degraded += record.ft.degraded
        self.regimes[record.regime.value] += 1

    def answered(self, fate: Fate, *, is_replayed: bool, after_s: float, refusal: str = "") -> None:
        """Count a final answer that was noted; ``refusal`` is its status and code."""
        self.pending -= 1
        self.trouble = ""
        self.repeats += is_replayed
        self.slowest_answer_ms = max(self.slowest_answer_ms, round(after_s * 1000, 3))
        match fate:
            case Fate.ACCEPTED:
                self.accepted += 1
            case Fate.ESCALATED:
                self.escalated += 1
            case Fate.DEAD:
                self.dead_letters += 1
                self.refusals[refusal] = self.refusals.get(refusal, 0) + 1

    def retried(self, why: str, windows: int = 1, *, status: int | None = None) -> None:
        """Count windows that have to be sent again; ``status`` is None where no answer came."""
        self.retries += windows
        self.retry_reasons["no_answer" if status is None else str(status)] += windows
        self.trouble = self.last_failure = why

    def left_over(self, what: str) -> None:
        """Note what a source holds that is not whole yet; no failure."""
        self.notes.append(what)
        self.say(what)

    def source_failed(self, why: str) -> None:
        """Note that a source cannot be read, or not to its end."""
        self.source_failures.append(why)
        self.say(why)

    def gave_up(self, after_s: float) -> None:
        """Note that nothing was answered for so long."""
        self.has_given_up = True
        self.say(
            f"no final answer for {after_s:g} s (--give-up-after, give_up_s): nothing more is"
            f" observed or sent, {self.pending} windows are kept"
        )

    def durability_failed(self, why: str) -> None:
        """Note that something could not be written or read back."""
        self.durability_failures.append(why)
        self.say(why)

    def could_not_keep(self, error: DurabilityError) -> None:
        """Note a window that could not be kept.

        Where the outbox is fenced, whoever met the failure that led to it said why.
        """
        if not isinstance(error, FencedError):
            self.durability_failed(str(error))

    def members(self) -> dict[str, object]:
        """Return the report as one object, for ``--json``."""
        return {
            "windows": self.windows,
            "resumed": self.resumed,
            "acknowledged": self.acknowledged,
            "accepted": self.accepted,
            "escalated": self.escalated,
            "repeats": self.repeats,
            "dead_letters": self.dead_letters,
            "pending": self.pending,
            "regimes": self.regimes,
            "degraded": self.degraded,
            "late_rows": self.late_rows,
            "slowest_answer_ms": self.slowest_answer_ms,
            "retries": self.retries,
            "requests": self.requests,
            "unreadable": self.unreadable,
            "notes": self.notes,
            "source_failures": self.source_failures,
            "durability_failures": self.durability_failures,
            "exit_code": int(self.exit),
        }

    def samples(self) -> Iterator[Sample]:
        """Yield the counts for the metrics endpoint; see ``Measured``."""

        def count(name: str, value: float, meaning: str, **labels: str) -> Sample:
            return Sample(
                name=f"flk_agent_{name}_total",
                kind=Kind.COUNTER,
                meaning=meaning,
                value=value,
                labels=labels,
            )

        yield count("windows_observed", self.windows, "Windows observed and made durable.")
        yield count("rows_late", self.late_rows, "Rows that came behind the end of their windows.")
        yield count("windows_degraded", self.degraded, "Windows observed with a repair.")
        answers = {
            Fate.ACCEPTED: self.accepted,
            Fate.ESCALATED: self.escalated,
            Fate.DEAD: self.dead_letters,
        }
        for fate, value in answers.items():
            yield count("windows_answered", value, "Final answers, by fate.", fate=fate.value)
        yield count("repeats", self.repeats, "Final answers the server had given before.")
        for reason, windows in sorted(self.retry_reasons.items()):
            meaning = "Windows that had to be sent again, each time, by status or no_answer."
            yield count("retries", windows, meaning, reason=reason)
        yield count("requests", self.requests, "Requests to the server.")
        yield count("source_failures", len(self.source_failures), "Sources that failed.")
        yield count("durability_failures", len(self.durability_failures), "What could not be kept.")
        yield Sample(
            name="flk_agent_windows_pending",
            kind=Kind.GAUGE,
            meaning="Windows without a final answer.",
            value=self.pending,
        )

    @property
    def exit(self) -> Exit:
        """The exit code the counts ask for."""
        if self.durability_failures or self.unreadable:
            return Exit.UNWRITABLE
        if self.source_failures:
            return Exit.UNUSABLE
        if self.pending:
            return Exit.GAVE_UP if self.has_given_up else Exit.PENDING
        return Exit.DEAD_LETTERS if self.dead_letters else Exit.DONE
