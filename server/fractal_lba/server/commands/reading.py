"""Read stored records for a command: which it asks for, how they are printed, how it ends.

The ledger is read beside the server, as far as it is marked durable.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from fractal_lba.protocol.errors import FractalError
from fractal_lba.server import offline
from fractal_lba.server.commands.options import EXIT_PROBLEMS, load, unusable
from fractal_lba.server.core.answer import timestamp
from fractal_lba.server.core.entry import Decision
from fractal_lba.server.core.listing import OUTCOMES, summary_of
from fractal_lba.server.core.listing_request import parse_listing

EXIT_CODES = {
    0: "done",
    1: "show: there is none; or a part of the ledger is damaged, and the rest was shown",
    2: "a setting, the folder or an option cannot be used",
}

COLUMNS = {
    "ledger": 12,
    "number": 8,
    "received_at": 24,
    "tenant": 12,
    "shard_id": 16,
    "epoch": 8,
    "outcome": 12,
    "regime": 10,
    "conflicts": 9,
    "resolutions": 11,
    "pcs_id": 64,
}
EVIDENCE_COLUMNS = {"received_at": 24, "tenant": 12, "pcs_id": 64, "content_digest": 64}

JSON_FLAG = click.option("--json", "is_json", is_flag=True, help="One JSON object a line.")
TENANT = click.option("--tenant", help="This tenant alone.")
LIMIT = click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Rows at most."
)
FILTERS = {
    "--shard-id": "This stream alone.",
    "--from-epoch": "This epoch and later ones.",
    "--to-epoch": "This epoch and earlier ones.",
    "--since": "Received then or later, like 2026-11-01T12:00:00.000Z.",
    "--outcome": "accepted, escalated or not_accepted.",
    "--regime": "sticky, mixed or non_sticky.",
}

Stored = tuple[dict[str, Any], Callable[[], dict[str, Any]]]
"""A row, and how to get the whole document."""


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the filters of a listing."""
    for flag, meaning in reversed(FILTERS.items()):
        command = click.option(flag, help=meaning)(command)
    return command


class Reading:
    """The records of a data folder, and how a command that read them ends.

    Args:
        config: The settings file.
        flags: Settings given on the command line.
    """

    def __init__(self, config: Path, flags: dict[str, str | None]) -> None:
        settings = load(config, flags)
        try:
            self._records = offline.stored_records(settings, config.resolve().parent)
        except (FractalError, OSError) as error:
            unusable(error)

    def stored(self, tenant: str | None, filters: dict[str, str | None]) -> Iterator[Stored]:
        """Yield what a command asks for; a wrong filter ends it."""
        try:
            query = parse_listing(
                (name, value) for name, value in filters.items() if value is not None
            ).query
            for item, decision, appended in self._records.decisions():
                summary = summary_of(decision.record)
                if (
                    tenant in {None, decision.tenant}
                    and query.shard_id in {None, summary.shard_id}
                    and query.asks_for(
                        summary, status=decision.status, received_ns=item.received_ns
                    )
                ):
                    row = {
                        "ledger": item.shard,
                        "number": item.number,
                        "received_at": timestamp(item.received_ns),
                        "tenant": decision.tenant,
                        "shard_id": summary.shard_id,
                        "epoch": summary.epoch,
                        "version": summary.version,
                        "status": decision.status,
                        "outcome": str(OUTCOMES[decision.status]),
                        "regime": summary.regime,
                        "conflicts": len(appended.conflicts),
                        "resolutions": len(appended.resolutions),
                        "pcs_id": decision.pcs_id,
                    }
                    yield row, _document(decision, row, appended)
        except (FractalError, OSError) as error:
            unusable(error)

    def end(self, *, is_found: bool = True) -> None:
        """End the command: with 1 where nothing was found, or something could not be read."""
        for damage in self._records.damage:
            click.echo(f"fractal-server: not read: {damage}", err=True)
        sys.exit(0 if is_found and not self._records.damage else EXIT_PROBLEMS)


def _document(
    decision: Decision, row: dict[str, Any], appended: offline.Appended
) -> Callable[[], dict[str, Any]]:
    return lambda: {
        "pcs_id": decision.pcs_id,
        "tenant": decision.tenant,
        "ledger": row["ledger"],
        "number": row["number"],
        "record": json.loads(decision.record),
        "outcome": json.loads(decision.answer),
        "received_at": row["received_at"],
        "conflicts": [
            {
                "content_digest": each.content_digest,
                "received_at": timestamp(received_ns),
                "record": json.loads(each.record),
            }
            for received_ns, each in appended.conflicts
        ],
        "resolutions": [
            {"note": each.note, "who": each.who, "at": timestamp(received_ns)}
            for received_ns, each in appended.resolutions
        ],
    }


def print_rows(
    rows: Iterator[dict[str, Any]], columns: dict[str, int], limit: int, *, is_json: bool
) -> None:
    """Print rows: a table for people, an object a line for programs."""
    if not is_json:
        click.echo("  ".join(f"{name:<{width}}" for name, width in columns.items()).rstrip())
    for count, row in enumerate(rows):
        if count == limit:
            click.echo(f"fractal-server: there are more than --limit {limit}", err=True)
            return
        cells = (f"{row[name]!s:<{width}}" for name, width in columns.items())
        click.echo(json.dumps(row) if is_json else "  ".join(cells).rstrip())


def show_record(
    config: Path,
    pcs_id: str,
    tenant: str | None,
    flags: dict[str, str | None],
    *,
    is_wanted: Callable[[dict[str, Any]], bool] = lambda _: True,
) -> None:
    """Print a whole record of each tenant that has it, if its row is wanted, and end."""
    reading = Reading(config, flags)
    is_found = False
    for row, document in reading.stored(tenant, {}):
        if row["pcs_id"] == pcs_id and is_wanted(row):
            is_found = True
            click.echo(json.dumps(document(), indent=2))
    if not is_found:
        click.echo(f"fractal-server: expected such a record {pcs_id}, got none", err=True)
    reading.end(is_found=is_found)


def apart(options: dict[str, str | None]) -> tuple[dict[str, str | None], dict[str, str | None]]:
    """Return settings and filters."""
    names = {flag.removeprefix("--").replace("-", "_") for flag in FILTERS}
    return (
        {name: value for name, value in options.items() if name not in names},
        {name: value for name, value in options.items() if name in names},
    )
