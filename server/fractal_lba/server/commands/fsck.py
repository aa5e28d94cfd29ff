"""``fractal-server fsck``: read everything on disk, say what is wrong, and rebuild what can be."""

import sys
from pathlib import Path
from typing import NoReturn

import click
import msgspec

from fractal_lba.command.usage import epilog
from fractal_lba.protocol.errors import ContractError, DurabilityError, FractalError, LockedError
from fractal_lba.server import offline
from fractal_lba.server.commands.options import CONFIG, EXIT_PROBLEMS, load, unusable, with_settings
from fractal_lba.server.core.problems import Report


@click.command(
    epilog=epilog(
        examples=[
            "fractal-server fsck --config ./flba/server.toml",
            "fractal-server fsck --config ./flba/server.toml --signatures",
            "fractal-server fsck --config ./flba/server.toml --repair",
        ],
        exit_codes={
            0: "nothing is wrong, or not any more",
            1: "something is wrong and named; or the disk failed while repairing",
            2: "the settings or the folder cannot be used, or --repair met a server that holds it",
        },
    )
)
@CONFIG
@click.option(
    "--signatures",
    "has_signatures",
    is_flag=True,
    help="Verify each record's signature again, with the keyring.",
)
@click.option(
    "--repair",
    "is_repair",
    is_flag=True,
    help="Build each index that is wrong or missing again from its ledger; the server is stopped.",
)
@click.option(
    "--accept-loss",
    is_flag=True,
    help="With --repair: forget ids that only damaged bytes held, and begin a ledger that is gone."
    " Restore the segments if you can.",
)
@with_settings("data", "shards", "keyring")
def fsck(
    config: Path,
    has_signatures: bool,  # noqa: FBT001 - a flag of the command line
    is_repair: bool,  # noqa: FBT001 - a flag of the command line
    accept_loss: bool,  # noqa: FBT001 - a flag of the command line
    **flags: str | None,
) -> None:
    """Read everything on disk and say what is wrong, as one JSON object on stdout.

    Every frame, footer, entry and digest of ledgers and inboxes, and each index against its ledger;
    each problem has its place and its remedy. Changes nothing without --repair, and then only an
    index: a ledger's bytes stay as they are. Without --repair the server may be running: what it
    is writing is no damage. Exits 0 only if nothing is wrong.
    """
    settings = load(config, flags)
    base = config.resolve().parent
    if accept_loss and not is_repair:
        unusable(ContractError("--accept-loss: expected it with --repair, got it alone"))
    try:
        if is_repair:
            report = offline.repair(
                settings, base, accept_loss=accept_loss, has_signatures=has_signatures
            )
        else:
            report = offline.fsck(settings, base, has_signatures=has_signatures)
    except LockedError as error:
        unusable(error)
    except (FractalError, OSError) as error:
        if is_repair and isinstance(error, DurabilityError):
            click.echo(f"fractal-server: {error}", err=True)
            sys.exit(EXIT_PROBLEMS)
        unusable(error)
    _end(report)


@click.command(
    epilog=epilog(
        examples=[
            "fractal-server scrub --config ./flba/server.toml",
            "fractal-server scrub --config ./flba/server.toml --scrub-bytes-per-s 8388608",
        ],
        exit_codes={
            0: "nothing is wrong",
            1: "something is wrong and named",
            2: "the settings or the folder cannot be used",
        },
    )
)
@CONFIG
@with_settings("data", "shards", "scrub_bytes_per_s")
def scrub(config: Path, **flags: str | None) -> None:
    """Read everything on disk slowly, once, and say what is wrong: fsck at a bounded rate.

    A running server does the same by itself, every scrub_interval_s, and counts what it finds in
    flk_scrub_problems. Changes nothing.
    """
    settings = load(config, flags)
    try:
        report = offline.scrub(settings, config.resolve().parent)
    except (FractalError, OSError) as error:
        unusable(error)
    _end(report)


def _end(report: Report) -> NoReturn:
    click.echo(msgspec.json.format(msgspec.json.encode(report)))
    sys.exit(0 if report.is_sound else EXIT_PROBLEMS)
