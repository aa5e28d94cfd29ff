"""Counts, the exit code that follows from them, and how they are shown."""

import asyncio
import io
from pathlib import Path

import pytest
from rich.console import Console
from tests.support.agent_world import RECIPE
from tests.support.virtual_time import run_virtual

from fractal_lba.agent import report
from fractal_lba.agent.record import make_record
from fractal_lba.agent.tally import Exit, Tally
from fractal_lba.agent.verdict import Fate
from fractal_lba.agent.window import Window

RECORD = make_record(
    Window(data=b"abc", after=None),
    RECIPE,
    epoch=0,
    shard_id="s",
    created_at="2026-01-01T00:00:00.000Z",
)


def tally(*fates: Fate, observed: int = 0, resumed: int = 0) -> Tally:
    counts = Tally(say=lambda _text: None, resumed=resumed, pending=resumed)
    for _ in range(observed):
        counts.observed(RECORD)
    for fate in fates:
        counts.answered(fate, is_replayed=fate is Fate.ESCALATED, after_s=0.25)
    return counts


@pytest.mark.parametrize(
    ("counts", "code"),
    [
        (tally(), Exit.DONE),
        (tally(Fate.ACCEPTED, Fate.ESCALATED, observed=2), Exit.DONE),
        (tally(Fate.ACCEPTED, observed=2), Exit.PENDING),
        (tally(resumed=1), Exit.PENDING),
        (tally(Fate.DEAD, observed=1), Exit.DEAD_LETTERS),
        (tally(Fate.DEAD, observed=2), Exit.PENDING),
    ],
)
def test_the_counts_ask_for_an_exit_code(counts: Tally, code: Exit) -> None:
    assert counts.exit is code


def test_what_failed_weighs_more_than_what_waits() -> None:
    counts = tally(Fate.DEAD, observed=2)
    codes = [counts.exit]
    counts.source_failed("x")
    codes.append(counts.exit)
    counts.durability_failed("y")
    codes.append(counts.exit)
    assert codes == [Exit.PENDING, Exit.UNUSABLE, Exit.UNWRITABLE]


def test_unreadable_frames_are_no_success() -> None:
    counts = tally()
    counts.unreadable = 1
    assert counts.exit is Exit.UNWRITABLE


def test_failures_are_said_at_once() -> None:
    said: list[str] = []
    counts = Tally(say=said.append)
    counts.source_failed("a source")
    counts.durability_failed("a disk")
    assert said == ["a source", "a disk"]


def test_the_report_is_a_partition() -> None:
    counts = tally(Fate.ACCEPTED, Fate.ESCALATED, Fate.DEAD, observed=3, resumed=2)
    shown = counts.members()
    assert shown == {
        "windows": 3,
        "resumed": 2,
        "acknowledged": 2,
        "accepted": 1,
        "escalated": 1,
        "repeats": 1,
        "dead_letters": 1,
        "pending": 2,
        "regimes": {"sticky": 3, "mixed": 0, "non_sticky": 0},
        "degraded": 0,
        "late_rows": 0,
        "slowest_answer_ms": 250.0,
        "retries": 0,
        "requests": 0,
        "unreadable": 0,
        "notes": [],
        "source_failures": [],
        "durability_failures": [],
        "exit_code": 3,
    }
    assert counts.windows + counts.resumed == (
        counts.acknowledged + counts.dead_letters + counts.pending
    )


def test_trouble_is_shown_until_an_answer_comes() -> None:
    counts = tally(observed=1)
    counts.retried("answer 503 overloaded")
    assert report.progress_line(counts) == (
        "windows 1  acknowledged 0  pending 1  retries 1  dead letters 0  (answer 503 overloaded)"
    )
    counts.answered(Fate.ACCEPTED, is_replayed=False, after_s=1)
    assert report.progress_line(counts).endswith("dead letters 0")


def test_the_end_says_why_windows_were_not_accepted_and_why_some_wait() -> None:
    counts = tally(Fate.ACCEPTED, observed=9)
    path, see = Path("d"), "see fractal-agent dead-letters list --data d"
    for refusal in ("422", "401 unknown_key", "401 unknown_key"):
        counts.answered(Fate.DEAD, is_replayed=False, after_s=1, refusal=refusal)
    assert report.endings(counts, path) == [
        f"2 windows were not accepted: 401 unknown_key; {see}",
        f"1 window was not accepted: 422; {see}",
        "5 windows were not answered and are kept; the last failure: none, sending was stopped",
    ]
    counts.retried("answer 503 overloaded")
    counts.answered(Fate.ACCEPTED, is_replayed=False, after_s=1)
    assert report.endings(counts, path)[-1] == (
        "4 windows were not answered and are kept; the last failure: answer 503 overloaded"
    )
    assert report.endings(tally(Fate.ACCEPTED, observed=1), path) == []


def test_the_table_names_every_count() -> None:
    out = io.StringIO()
    counts = tally(Fate.ACCEPTED, Fate.ESCALATED, Fate.DEAD, observed=3, resumed=2)
    counts.unreadable = 7
    Console(file=out, width=100).print(report.table(counts))
    shown = [
        " ".join(line.strip("│ ").replace("│", " ").split()) for line in out.getvalue().splitlines()
    ]
    assert shown[1:-1] == [
        "windows observed 3",
        "pending at the start 2",
        "acknowledged 2",
        "accepted 1",
        "escalated 1",
        "dead letters 1",
        "pending 2",
        "repeats 1",
        "windows sent again 0",
        "requests 0",
        "slowest answer 250.0 ms",
        "regimes sticky 3",
        "unreadable frames 7",
    ]


def test_progress_is_drawn_on_a_terminal_and_leaves_nothing_behind() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    with report.drawn_progress(tally(observed=1), console):
        pass
    assert "windows 1" in out.getvalue()


def test_progress_is_a_line_every_few_seconds_elsewhere() -> None:
    said: list[str] = []

    async def main() -> None:
        lines = asyncio.create_task(report.plain_progress(tally(observed=1), said.append))
        await asyncio.sleep(report.PLAIN_INTERVAL_S * 3.5)
        lines.cancel()

    run_virtual(main())
    assert said == ["windows 1  acknowledged 0  pending 1  retries 0  dead letters 0"] * 3
