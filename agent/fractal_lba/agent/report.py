"""Reports: the progress of a run while it goes on, and the table at its end.

Progress goes to stderr, drawn on a terminal and one plain line every few seconds elsewhere; the
report goes to stdout. Both show counts and durations, never what was observed.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fractal_lba.agent.tally import Tally

PLAIN_INTERVAL_S = 5.0
_DRAWS_PER_S = 4


def progress_line(tally: Tally) -> str:
    """Return where a run is, in one line."""
    counts = (
        f"windows {tally.windows}  acknowledged {tally.acknowledged}  pending {tally.pending}"
        f"  retries {tally.retries}  dead letters {tally.dead_letters}"
    )
    return f"{counts}  ({tally.trouble})" if tally.trouble else counts


def drawn_progress(tally: Tally, console: Console) -> AbstractContextManager[object]:
    """Draw the progress on a terminal for as long as the context lasts."""
    return Live(
        get_renderable=lambda: Text(progress_line(tally)),
        console=console,
        refresh_per_second=_DRAWS_PER_S,
        transient=True,
    )


async def plain_progress(tally: Tally, say: Callable[[str], None]) -> None:
    """Say a line every few seconds; ends by being cancelled."""
    while True:
        await asyncio.sleep(PLAIN_INTERVAL_S)
        say(progress_line(tally))


def endings(tally: Tally, data: Path) -> list[str]:
    """Return why windows ended otherwise than accepted, one line for each reason.

    Args:
        tally: Of a run that ended.
        data: The agent's folder.
    """
    lines = [
        f"{_windows(count)} not accepted: {refusal};"
        f" see fractal-agent dead-letters list --data {data}"
        for refusal, count in sorted(tally.refusals.items())
    ]
    if tally.pending:
        why = tally.last_failure or "none, sending was stopped"
        kept = "is kept" if tally.pending == 1 else "are kept"
        lines.append(f"{_windows(tally.pending)} not answered and {kept}; the last failure: {why}")
    return lines


def _windows(count: int) -> str:
    return "1 window was" if count == 1 else f"{count} windows were"


def table(tally: Tally) -> Table:
    """Return the report of a run that ended."""
    regimes = "  ".join(f"{name} {count}" for name, count in tally.regimes.items() if count)
    rows = (
        ("windows observed", str(tally.windows)),
        ("pending at the start", str(tally.resumed)),
        ("acknowledged", str(tally.acknowledged)),
        ("  accepted", str(tally.accepted)),
        ("  escalated", str(tally.escalated)),
        ("dead letters", str(tally.dead_letters)),
        ("pending", str(tally.pending)),
        ("repeats", str(tally.repeats)),
        ("windows sent again", str(tally.retries)),
        ("requests", str(tally.requests)),
        ("slowest answer", f"{tally.slowest_answer_ms:.1f} ms"),
        ("regimes", regimes or "none"),
    )
    shown = Table(show_header=False)
    shown.add_column()
    shown.add_column(justify="right")
    for name, value in rows:
        shown.add_row(name, value)
    if tally.unreadable:
        shown.add_row("unreadable frames", str(tally.unreadable))
    return shown
