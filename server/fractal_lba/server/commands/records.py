"""``records`` and ``conflicts``: look at what is stored."""

import json
from pathlib import Path

import click

from fractal_lba.command.usage import epilog
from fractal_lba.server.commands.options import CONFIG, with_settings
from fractal_lba.server.commands.reading import (
    COLUMNS,
    EVIDENCE_COLUMNS,
    EXIT_CODES,
    JSON_FLAG,
    LIMIT,
    TENANT,
    Reading,
    apart,
    filtered,
    print_rows,
    show_record,
)


@click.group(
    epilog=epilog(
        examples=[
            "fractal-server records list --config ./flba/server.toml --outcome escalated",
            "fractal-server records export --config ./flba/server.toml > records.ndjson",
        ],
        exit_codes=EXIT_CODES,
    )
)
def records() -> None:
    """Look at stored records, whether the server runs or not.

    Reads the ledger as far as it is marked durable: what was acknowledged in the last 100 ms, or
    right before a crash, shows up a little later.
    """


@records.command(
    "list",
    epilog=epilog(
        examples=[
            "fractal-server records list --config ./flba/server.toml --regime sticky",
            "fractal-server records list --config ./flba/server.toml --shard-id press-7 --json",
        ],
        exit_codes=EXIT_CODES,
    ),
)
@CONFIG
@TENANT
@filtered
@LIMIT
@JSON_FLAG
@with_settings("data", "shards")
def list_records(
    config: Path,
    tenant: str | None,
    limit: int,
    is_json: bool,  # noqa: FBT001 - a flag of the command line
    **options: str | None,
) -> None:
    """List records, a row each, in the order of their decision."""
    flags, filters = apart(options)
    reading = Reading(config, flags)
    found = (row for row, _ in reading.stored(tenant, filters))
    print_rows(found, COLUMNS, limit, is_json=is_json)
    reading.end()


@records.command(
    "show",
    epilog=epilog(
        examples=["fractal-server records show --config ./flba/server.toml PCS_ID"],
        exit_codes=EXIT_CODES,
    ),
)
@CONFIG
@click.argument("pcs_id")
@TENANT
@with_settings("data", "shards")
def show(config: Path, pcs_id: str, tenant: str | None, **flags: str | None) -> None:
    """Show the record PCS_ID with its outcome, conflicts and resolutions, of each tenant."""
    show_record(config, pcs_id, tenant, flags)


@records.command(
    "export",
    epilog=epilog(
        examples=["fractal-server records export --config ./flba/server.toml > records.ndjson"],
        exit_codes=EXIT_CODES,
    ),
)
@CONFIG
@TENANT
@filtered
@with_settings("data", "shards")
def export_records(config: Path, tenant: str | None, **options: str | None) -> None:
    """Write whole records as NDJSON to stdout."""
    flags, filters = apart(options)
    reading = Reading(config, flags)
    for _, document in reading.stored(tenant, filters):
        click.echo(json.dumps(document(), separators=(",", ":")))
    reading.end()


@click.group(
    epilog=epilog(
        examples=["fractal-server conflicts list --config ./flba/server.toml --tenant demo"],
        exit_codes=EXIT_CODES,
    )
)
def conflicts() -> None:
    """Look at other contents that were signed under a decided id."""


@conflicts.command(
    "list",
    epilog=epilog(
        examples=["fractal-server conflicts list --config ./flba/server.toml --json"],
        exit_codes=EXIT_CODES,
    ),
)
@CONFIG
@TENANT
@LIMIT
@JSON_FLAG
@with_settings("data", "shards")
def list_conflicts(
    config: Path,
    tenant: str | None,
    limit: int,
    is_json: bool,  # noqa: FBT001 - a flag of the command line
    **flags: str | None,
) -> None:
    """List the evidence, a row each."""
    reading = Reading(config, flags)
    found = (
        {
            "received_at": each["received_at"],
            "tenant": row["tenant"],
            "pcs_id": row["pcs_id"],
            "content_digest": each["content_digest"],
        }
        for row, document in reading.stored(tenant, {})
        if row["conflicts"]
        for each in document()["conflicts"]
    )
    print_rows(found, EVIDENCE_COLUMNS, limit, is_json=is_json)
    reading.end()


@conflicts.command(
    "show",
    epilog=epilog(
        examples=["fractal-server conflicts show --config ./flba/server.toml PCS_ID"],
        exit_codes=EXIT_CODES,
    ),
)
@CONFIG
@click.argument("pcs_id")
@TENANT
@with_settings("data", "shards")
def show_conflicts(config: Path, pcs_id: str, tenant: str | None, **flags: str | None) -> None:
    """Show the record PCS_ID with each content that conflicts with it."""
    show_record(config, pcs_id, tenant, flags, is_wanted=lambda row: row["conflicts"] > 0)
