"""The ``fractal-server`` command."""

import asyncio
import json
import signal
import sys
from importlib.metadata import version
from pathlib import Path

import click
import uvloop

from fractal_lba.command.usage import epilog
from fractal_lba.protocol.errors import ContractError, DurabilityError, FractalError, LockedError
from fractal_lba.server import app, offline
from fractal_lba.server.commands.escalations import escalations
from fractal_lba.server.commands.fsck import fsck, scrub
from fractal_lba.server.commands.migrate import migrate
from fractal_lba.server.commands.options import CONFIG, EXIT_PROBLEMS, load, unusable, with_settings
from fractal_lba.server.commands.records import conflicts, records
from fractal_lba.server.config import (
    SHARDS_DEFAULT,
    Settings,
    policies,
    shard_set,
    to_toml,
    workers_of,
)
from fractal_lba.server.core.usage import day_name, day_named
from fractal_lba.server.supervisor.begin import supervise
from fractal_lba.server.telemetry.logs import configure


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=epilog(
        examples=[
            "fractal-server init ./flba",
            "fractal-server run --config ./flba/server.toml",
            "fractal-server fsck --config ./flba/server.toml",
        ],
        exit_codes={
            0: "done; for run: drained after SIGTERM or SIGINT; for fsck: nothing is wrong",
            1: "fsck: something is wrong and named; run: the disk failed while opening",
            2: "unusable input: a setting, a file, a folder that another server holds",
        },
    ),
)
@click.version_option(
    version("fractal-lba"), prog_name="fractal-server", message="%(prog)s %(version)s"
)
def main() -> None:
    """Verify signed records, remember each exactly once, answer from what is on disk."""


@main.command(
    epilog=epilog(
        examples=["fractal-server init /var/lib/fractal-lba"],
        exit_codes={
            0: "made, and its files printed",
            2: "the folder cannot be written, or holds one of the files",
        },
    )
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--shards",
    "shards",
    default=SHARDS_DEFAULT,
    show_default=True,
    metavar="SET",
    help="How many, 1 to 64, or NAME or NAME:WEIGHT of each, with commas; never changed later.",
)
def init(folder: Path, shards: str) -> None:
    """Make FOLDER: server.toml, keyring.json, agent-keyring.json, token, data/.

    keyring.json is what the server needs (a public key and the hash of the token).
    agent-keyring.json holds the secret seed: move it to the machine of the agent. token is a read
    token for GET /v1/pcs/ID.
    """
    try:
        made = app.initialise(folder, shard_set(shards))
    except (ContractError, DurabilityError) as error:
        unusable(error)
    except OSError as error:
        unusable(ContractError(f"{folder}: expected a folder to write, got {error.strerror}"))
    for path in (made.settings, made.server_keyring, made.agent_keyring, made.token, made.data):
        click.echo(path)


@main.command(
    epilog=epilog(
        examples=[
            "fractal-server run --config ./flba/server.toml",
            "fractal-server run --config ./flba/server.toml --listen 0.0.0.0:8080",
        ],
        exit_codes={
            0: "drained after SIGTERM or SIGINT",
            1: "the disk failed while opening, or a defect of this program",
            2: "a setting, a file, the address or the folder cannot be used",
            130: "interrupted before anything was opened",
        },
    )
)
@CONFIG
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Decide ids again that are lost to damage in the ledger. Restore its segments if you can.",
)
@with_settings()
def run(config: Path, accept_loss: bool, **flags: str | None) -> None:  # noqa: FBT001 - a flag of the command line
    """Serve until SIGTERM or SIGINT, with several processes where workers asks for them.

    Prints {"ready": true, "url": ...} on stdout once it can answer; log lines are JSON on stderr.
    Every setting of server.toml is also FLBA_NAME in the environment and a flag here, the flag
    winning. SIGHUP loads keyring and TLS files again; SIGUSR1 replaces the workers one by one.
    """
    # A reload asked for before there is a ring to reload must not end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    settings = load(config, flags)
    configure(settings.log_level)
    base = config.resolve().parent
    try:
        workers = workers_of(settings, len(app.check_data(settings, base).shards))
        if workers > 1:
            supervise(settings, base, workers=workers, accept_loss=accept_loss, announce=_announce)
        else:
            uvloop.run(_run(settings, base, accept_loss=accept_loss))
    except (ContractError, LockedError) as error:
        unusable(error)
    except (FractalError, OSError) as error:
        click.echo(f"fractal-server: {error}", err=True)
        sys.exit(EXIT_PROBLEMS)


async def _run(settings: Settings, base: Path, *, accept_loss: bool) -> None:
    server = app.Server(settings, base)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    loop.add_signal_handler(signal.SIGHUP, server.reload)
    await server.run(_announce, accept_loss=accept_loss)


def _announce(url: str) -> None:
    print(json.dumps({"ready": True, "url": url}), flush=True)


@main.group(
    epilog=epilog(
        examples=[
            "fractal-server config check --config ./flba/server.toml",
            "fractal-server config show --config ./flba/server.toml --region eu",
        ],
        exit_codes={0: "done", 2: "a setting or what it names cannot be used"},
    )
)
def config() -> None:
    """Check or show the settings as run would use them."""


@config.command(
    epilog=epilog(
        examples=["fractal-server config check --config ./flba/server.toml"],
        exit_codes={0: "run could use them", 2: "it could not, and why"},
    )
)
@CONFIG
@with_settings()
def check(config: Path, **flags: str | None) -> None:
    """Say whether run could use the settings, the keyring and the data folder they name."""
    settings = load(config, flags)
    try:
        app.check(settings, config.resolve().parent)
    except ContractError as error:
        unusable(error)
    click.echo("OK")


@config.command(
    epilog=epilog(
        examples=[
            "fractal-server config show --config ./flba/server.toml --region eu > other.toml"
        ],
        exit_codes={0: "printed", 2: "a setting cannot be used"},
    )
)
@CONFIG
@with_settings()
def show(config: Path, **flags: str | None) -> None:
    """Print the settings in force as server.toml."""
    click.echo(to_toml(load(config, flags)), nl=False)


@main.group(
    epilog=epilog(
        examples=["fractal-server tenants usage --config ./flba/server.toml --day 2026-11-21"],
        exit_codes={0: "printed", 2: "the settings, the folder or an option cannot be used"},
    )
)
def tenants() -> None:
    """Look at what tenants send."""


@tenants.command(
    epilog=epilog(
        examples=["fractal-server tenants usage --config ./flba/server.toml --day 2026-11-21"],
        exit_codes={0: "printed", 2: "the settings, the folder or an option cannot be used"},
    )
)
@CONFIG
@click.option("--tenant", help="This tenant alone.")
@click.option("--day", help="This UTC day of receipt alone, YYYY-MM-DD.")
@click.option("--json", "is_json", is_flag=True, help="One JSON object a line.")
@with_settings("data", "shards")
def usage(
    config: Path,
    tenant: str | None,
    day: str | None,
    is_json: bool,  # noqa: FBT001 - a flag of the command line
    **flags: str | None,
) -> None:
    """Show new records and their bytes by tenant and UTC day of receipt, and the limits of a day.

    Reads the index beside a running server, which commits it when idle and under load after every
    index_flush_records decisions. A limit of 0 is none.
    """
    settings = load(config, flags)
    try:
        wanted = None if day is None else day_named(day)
    except ValueError:
        unusable(ContractError(f"--day: expected YYYY-MM-DD, got {day!r}"))
    try:
        found = offline.tenants_usage(settings, config.resolve().parent)
    except (FractalError, OSError) as error:
        unusable(error)
    asked = policies(settings)
    shown = [each for each in found if tenant in {None, each.tenant} and wanted in {None, each.day}]
    if not shown:
        known = ", ".join(sorted({each.tenant for each in found})) or "none"
        click.echo(f"nothing was counted; tenants with records here: {known}", err=True)
    for each in shown:
        policy = asked.of(each.tenant)
        row = {
            "tenant": each.tenant,
            "day": day_name(each.day),
            "records": each.usage.records,
            "records_per_day": policy.records_per_day,
            "bytes": each.usage.bytes,
            "bytes_per_day": policy.bytes_per_day,
        }
        click.echo(json.dumps(row) if is_json else "  ".join(f"{k} {v}" for k, v in row.items()))


for group in (records, conflicts, escalations):
    main.add_command(group)
main.add_command(fsck)
main.add_command(scrub)
main.add_command(migrate)


if __name__ == "__main__":
    main()
