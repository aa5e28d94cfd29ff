"""``fractal-agent outbox``: inspect what waits."""

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from fractal_lba.agent.inspection import SHOWN_DEFAULT, SHOWN_MAX, Filter, Inspection, inspect
from fractal_lba.agent.ports import SystemClock, now_ms
from fractal_lba.agent.seconds import Seconds
from fractal_lba.agent.tally import Exit
from fractal_lba.agent.usage import OUTBOX_END
from fractal_lba.protocol import ContractError, DurabilityError, format_timestamp
from fractal_lba.wal import RealDisk


@click.group(epilog=OUTBOX_END)
def outbox() -> None:
    """Look into the outbox."""


@outbox.command("inspect", epilog=OUTBOX_END)
@click.option(
    "--data",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The agent's folder.",
)
@click.option("--stream", "streams", multiple=True, metavar="ID", help="Only of this shard_id.")
@click.option(
    "--older-than",
    "older_than_s",
    type=Seconds(min=0),
    default=0.0,
    metavar="SECONDS",
    help="Only what was observed at least so long ago.",
)
@click.option(
    "--limit",
    "shown_max",
    type=click.IntRange(1, SHOWN_MAX),
    default=SHOWN_DEFAULT,
    show_default=True,
    metavar="N",
    help="Show the oldest so many of those that fit; all are counted.",
)
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object.")
def inspect_outbox(
    data: Path,
    streams: tuple[str, ...],
    older_than_s: float,
    shown_max: int,
    is_json: bool,  # noqa: FBT001 - click passes by name
) -> None:
    """Show the windows without a final answer, oldest first; also while an agent runs on it."""
    meant = Filter(streams=frozenset(streams), older_than_s=older_than_s, shown_max=shown_max)
    try:
        found = inspect(RealDisk(), data, meant, now_ms=now_ms(SystemClock()))
    except (ContractError, DurabilityError) as error:
        click.echo(f"fractal-agent: {error}", err=True)
        sys.exit(Exit.UNUSABLE if isinstance(error, ContractError) else Exit.UNWRITABLE)
    if is_json:
        click.echo(json.dumps(found.members()))
    else:
        _print(found)
    sys.exit(Exit.UNWRITABLE if found.is_damaged else Exit.DONE)


def _print(found: Inspection) -> None:
    if found.windows:
        shown = Table()
        for name in ("seq", "stream", "epoch", "observed at", "age", "bytes"):
            shown.add_column(name, justify="left" if name in {"stream", "observed at"} else "right")
        for window in found.windows:
            shown.add_row(
                str(window.seq),
                window.shard_id,
                str(window.epoch),
                format_timestamp(window.received_ms),
                f"{window.age_s:.0f} s",
                str(window.size),
            )
        Console().print(shown)
    click.echo(
        f"{len(found.windows)} of {found.fitting} that fit ({found.fitting_bytes} bytes);"
        f" {found.pending} wait in all ({found.pending_bytes} bytes)"
    )
