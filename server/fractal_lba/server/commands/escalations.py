"""``escalations``: look at what is open, and resolve it through the running server."""

import json
import sys
from pathlib import Path

import click

from fractal_lba.access import access_of
from fractal_lba.command.usage import epilog
from fractal_lba.protocol.errors import ContractError, FractalError
from fractal_lba.server.commands.call import post
from fractal_lba.server.commands.options import (
    CONFIG,
    EXIT_PROBLEMS,
    access_options,
    unusable,
    with_settings,
)
from fractal_lba.server.commands.reading import (
    COLUMNS,
    EXIT_CODES,
    JSON_FLAG,
    LIMIT,
    TENANT,
    Reading,
    print_rows,
    show_record,
)

_PCS_ID_DIGITS = 64


@click.group(
    epilog=epilog(
        examples=["fractal-server escalations list --config ./flba/server.toml"],
        exit_codes=EXIT_CODES,
    )
)
def escalations() -> None:
    """Look at escalated records, and resolve them."""


@escalations.command(
    "list",
    epilog=epilog(
        examples=[
            "fractal-server escalations list --config ./flba/server.toml",
            "fractal-server escalations list --config ./flba/server.toml --all --json",
        ],
        exit_codes=EXIT_CODES,
    ),
)
@CONFIG
@TENANT
@click.option("--all", "is_all", is_flag=True, help="Those that are resolved too.")
@LIMIT
@JSON_FLAG
@with_settings("data", "shards")
def list_escalations(
    config: Path,
    tenant: str | None,
    is_all: bool,  # noqa: FBT001 - a flag of the command line
    limit: int,
    is_json: bool,  # noqa: FBT001 - a flag of the command line
    **flags: str | None,
) -> None:
    """List escalated records without a resolution, oldest first."""
    reading = Reading(config, flags)
    found = (
        row
        for row, _ in reading.stored(tenant, {"outcome": "escalated"})
        if is_all or not row["resolutions"]
    )
    print_rows(found, COLUMNS, limit, is_json=is_json)
    reading.end()


@escalations.command(
    "show",
    epilog=epilog(
        examples=["fractal-server escalations show --config ./flba/server.toml PCS_ID"],
        exit_codes=EXIT_CODES,
    ),
)
@CONFIG
@click.argument("pcs_id")
@TENANT
@with_settings("data", "shards")
def show_escalation(config: Path, pcs_id: str, tenant: str | None, **flags: str | None) -> None:
    """Show the escalated record PCS_ID with its outcome and resolutions."""
    show_record(
        config, pcs_id, tenant, flags, is_wanted=lambda row: bool(row["outcome"] == "escalated")
    )


@escalations.command(
    epilog=epilog(
        examples=[
            (
                "fractal-server escalations resolve PCS_ID --note 'a loose cable'"
                " --url http://127.0.0.1:8080 --token-file ./operator-token"
            )
        ],
        exit_codes={
            0: "resolved",
            1: "the server refused, and why",
            2: "an option cannot be used, or no answer came: look before trying again",
        },
    )
)
@click.argument("pcs_id")
@click.option("--note", required=True, help="What was found, 1 to 1,024 bytes.")
@click.option("--url", required=True, help="Of the running server, http:// or https://.")
@access_options
@click.option("--version", "version", default="1.0", show_default=True, help="Of the record.")
def resolve(pcs_id: str, note: str, url: str, version: str, **files: Path | None) -> None:
    """Append a resolution to the escalated record PCS_ID, through the running server.

    The token or the certificate must be the record's tenant's, with the scope operate.
    """
    try:
        if len(pcs_id) != _PCS_ID_DIGITS or set(pcs_id) - set("0123456789abcdef"):
            raise ContractError(f"PCS_ID: expected 64 lower-case hex digits, got {pcs_id!r}")
        if version not in {"1.0", "0.1"}:
            raise ContractError(f"--version: expected 1.0 or 0.1, got {version!r}")
        path = f"/v1/escalations/{pcs_id}/resolve?version={version}"
        called = post(url, path, {"note": note}, access=access_of(**files))
    except FractalError as error:
        unusable(error)
    if called.status != 200:  # noqa: PLR2004 - the one status of success
        detail = called.document.get("detail", "no problem that it names")
        click.echo(f"fractal-server: {called.status}: {detail}", err=True)
        sys.exit(EXIT_PROBLEMS)
    click.echo(json.dumps(called.document))
