"""``fractal-server migrate``: say what an upgrade finds on disk, and do what it has to do there."""

import sys
from pathlib import Path

import click
import msgspec

from fractal_lba.command.usage import epilog
from fractal_lba.protocol.errors import FractalError
from fractal_lba.server import offline
from fractal_lba.server.commands.options import CONFIG, EXIT_PROBLEMS, load, unusable, with_settings


@click.command(
    epilog=epilog(
        examples=[
            "fractal-server migrate --config ./flba/server.toml",
            "fractal-server migrate --config ./flba/server.toml --apply",
        ],
        exit_codes={
            0: "this release reads all of it as it is",
            1: "something is to be done, and named in to_do",
            2: "a later release wrote it, a server holds it, or it cannot be used",
        },
    )
)
@CONFIG
@click.option("--apply", "is_applied", is_flag=True, help="Do it; the server is stopped.")
@with_settings("data", "shards")
def migrate(config: Path, is_applied: bool, **flags: str | None) -> None:  # noqa: FBT001 - a flag of the command line
    """Say which formats the data folder holds and what this release would do to it.

    One JSON object a line. Changes nothing without --apply, and never a ledger. A start does the
    same by itself; --apply does it while nobody waits. It may be ended at any point and run again.
    """
    settings = load(config, flags)
    try:
        found = offline.migrate(settings, config.resolve().parent, is_applied=is_applied)
    except (FractalError, OSError) as error:
        unusable(error)
    for each in found:
        click.echo(msgspec.json.encode(each))
    sys.exit(EXIT_PROBLEMS if any(each.to_do for each in found) else 0)
