"""The command line of the agent: ``fractal-agent run`` and ``status``.

It translates words into a ``Plan``, meets adapters with ports, and translates what came of it into
a report and an exit code.
"""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
from rich.console import Console

from fractal_lba.access import access_of
from fractal_lba.agent import report
from fractal_lba.agent.bounds import OutboxBounds
from fractal_lba.agent.connection import connection_options
from fractal_lba.agent.endpoint import parse_address, serving_in_the_end
from fractal_lba.agent.folder import check_usable
from fractal_lba.agent.hooks import Silent
from fractal_lba.agent.kept import Keeping
from fractal_lba.agent.kept_options import kept_options
from fractal_lba.agent.letters_cli import dead_letters
from fractal_lba.agent.machine import signing_key, this_machine
from fractal_lba.agent.measures import Meter
from fractal_lba.agent.opening import FOLDER as OUTBOX
from fractal_lba.agent.outbox_cli import outbox as outbox_commands
from fractal_lba.agent.outbox_options import outbox_options
from fractal_lba.agent.ports import SystemClock, now_ms
from fractal_lba.agent.record import Recipe, rehearse
from fractal_lba.agent.run import Plan, run_agent
from fractal_lba.agent.seconds import Seconds
from fractal_lba.agent.source_options import source_options
from fractal_lba.agent.sources import live
from fractal_lba.agent.sources.choose import Choice, choose
from fractal_lba.agent.status import read_status
from fractal_lba.agent.stop import Stop
from fractal_lba.agent.tally import Exit, Tally
from fractal_lba.agent.usage import GROUP_END, RUN_END, STATUS_END, WINDOW_RULES
from fractal_lba.agent.window import check_window_size
from fractal_lba.client import Client, RetryPolicy
from fractal_lba.keyfile import load_keyring
from fractal_lba.protocol import (
    ContractError,
    DurabilityError,
    FractalError,
    LockedError,
    Profile,
)
from fractal_lba.signals import DEFAULT_SCALES, DEFAULT_SEED
from fractal_lba.wal import RealDisk

# 256 rows fill the finest default scale's cells well enough to tell a line from a cloud; 4,096
# bytes are a page of text.
WINDOW_DEFAULTS = {Profile.POINTS: 256, Profile.BYTES: 4096}

# Between two samples of live:.
INTERVAL_DEFAULT_S = 0.05

# More requests in flight than a server commits in one group win nothing.
IN_FLIGHT_MAX = 1024


@click.group(epilog=GROUP_END, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(
    package_name="fractal-lba", prog_name="fractal-agent", message="%(prog)s %(version)s"
)
def cli() -> None:
    """Observe data in windows, sign what was seen, and ship it until it is answered."""


cli.add_command(dead_letters)
cli.add_command(outbox_commands)


@cli.command(epilog=WINDOW_RULES + "\n" + RUN_END)
@click.argument("sources", metavar="[SOURCE]...", nargs=-1)
@click.option(
    "--data",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The agent's folder: the outbox and the dead letters. One agent at a time.",
)
@click.option(
    "--url",
    "urls",
    required=True,
    multiple=True,
    help="The server, http://HOST:PORT or https://…. Give it several times for several, the"
    " preferred one first: the next one is used while those before it do not answer.",
)
@click.option(
    "--keyring",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Keyring with the signing key's secret, mode 0600.",
)
@click.option("--kid", help="The key to sign with; not needed where only one can sign.")
@connection_options
@source_options
@click.option(
    "--window",
    type=int,
    metavar="N",
    help="Rows or bytes of a window, 3 … 65,536; 256 rows or 4,096 bytes by default.",
)
@click.option("--seed", type=int, default=DEFAULT_SEED, show_default=True, help="0 … 2^53−1.")
@click.option(
    "--scales",
    default=",".join(map(str, DEFAULT_SCALES)),
    show_default=True,
    help="Cells for each axis.",
)
@click.option(
    "--meta",
    "metas",
    multiple=True,
    metavar="NAME=TEXT",
    help="A member of each record's meta (model, task, …); up to 16.",
)
@click.option(
    "--interval",
    "interval_s",
    type=Seconds(min=0.001, max=3600),
    show_default=str(INTERVAL_DEFAULT_S),
    metavar="SECONDS",
    help="Between two samples of live:.",
)
@click.option(
    "--duration",
    "duration_s",
    type=Seconds(min=0, min_open=True),
    metavar="SECONDS",
    help="Stop observing after so long; without it live: is observed until SIGINT or SIGTERM.",
)
@click.option(
    "--in-flight",
    type=click.IntRange(1, IN_FLIGHT_MAX),
    default=16,
    show_default=True,
    metavar="N",
    help="Requests on their way at once at the most, each of up to 256 windows that wait; how many"
    " it is follows what the server answers.",
)
@click.option(
    "--ordered",
    "is_ordered",
    is_flag=True,
    help="Send a stream's next window only when the one before it has its final answer.",
)
@outbox_options
@kept_options
@click.option(
    "--grace",
    "grace_s",
    type=Seconds(min=0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="After SIGINT or SIGTERM sending goes on for so long; a second signal ends it.",
)
@click.option(
    "--give-up-after",
    "give_up_s",
    type=Seconds(min=1),
    metavar="SECONDS",
    help="End with code 6 where windows wait and none had a final answer for so long; without it a"
    " run waits for its server for ever.",
)
@click.option(
    "--metrics",
    metavar="HOST:PORT",
    help="Answer GET /metrics there, for Prometheus, without asking who asks; port 0: any.",
)
@click.option("--json", "is_json", is_flag=True, help="Print the report as one JSON object.")
def run(  # noqa: PLR0913, PLR0917 - one argument for each option
    sources: tuple[str, ...],
    data: Path,
    urls: tuple[str, ...],
    keyring: Path,
    kid: str | None,
    token_file: Path | None,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    choice: Choice,
    window: int | None,
    seed: int,
    scales: str,
    metas: tuple[str, ...],
    interval_s: float | None,
    duration_s: float | None,
    in_flight: int,
    is_ordered: bool,  # noqa: FBT001 - click passes by name
    outbox: OutboxBounds,
    kept: Keeping | None,
    grace_s: float,
    give_up_s: float | None,
    metrics: str | None,
    is_json: bool,  # noqa: FBT001 - click passes by name
) -> None:
    """Observe each SOURCE, and ship its windows until every one is answered.

    SOURCE is a table (.csv, .ndjson, .jsonl, .parquet), an array (.npy, each of a .npz), any file
    (as bytes/1), a folder of such files, - for standard input (csv:- and ndjson:- for rows), or
    live: for this machine's counters. Without any SOURCE only what DIR holds is sent.

    SIGINT or SIGTERM stops observing, goes on sending for the grace period, and ends; what was not
    answered is kept and sent by the next run with the same --data.
    """
    with _ending(Exit.UNUSABLE, ContractError):
        if window is not None and choice.period_s is not None:
            raise ContractError("expected --window or --window-seconds, got both")
        if window is not None and choice.text is not None:
            raise ContractError("--window: expected windows of units, got texts, each a window")
        if interval_s is not None and live.KEY not in sources:
            raise ContractError("--interval: expected live: among the sources, got none")
        check_usable(RealDisk(), data)
        if not (sources or RealDisk().is_folder(data / OUTBOX)):
            raise ContractError(f"{data}: expected a SOURCE, or a folder with an outbox to send")
        chosen = choose(sources, choice)
        recipe = Recipe(
            key=signing_key(
                load_keyring(keyring), kid, name=str(keyring), now_ms=now_ms(SystemClock())
            ),
            seed=seed,
            scales=_scales(scales),
            meta=dict(map(_meta, metas)),
            is_repairing=choice.is_repairing,
        )
        windows = {
            each: size if window is None else check_window_size(window)
            for each, size in WINDOW_DEFAULTS.items()
        }
        for shard_id, profile in chosen.streams():
            rehearse(recipe, shard_id, profile)
        address = None if metrics is None else parse_address(metrics)
        access = access_of(token_file=token_file, ca=ca, cert=cert, key=key)
        clients = {
            url: Client(url, token=access.token, tls=access.tls, connections_max=in_flight)
            for url in urls
        }
    plan = Plan(
        data=data,
        files=chosen.files,
        followed=chosen.followed,
        live=chosen.live,
        standard_input=chosen.standard_input,
        period_s=choice.period_s,
        windows=windows,
        recipe=recipe,
        interval_s=INTERVAL_DEFAULT_S if interval_s is None else interval_s,
        duration_s=duration_s,
        in_flight=in_flight,
        grace_s=grace_s,
        policy=RetryPolicy(),
        outbox=outbox,
        kept=kept,
        is_ordered=is_ordered,
        give_up_s=give_up_s,
    )
    console = Console(stderr=True)
    tally = Tally(say=lambda text: _complain(text, console))
    with (
        _ending(Exit.UNWRITABLE, DurabilityError),
        _ending(Exit.UNUSABLE, ContractError, LockedError),
    ):
        # The loop would leave Python's own handler of SIGINT behind.
        before = signal.getsignal(signal.SIGINT)
        try:
            asyncio.run(_run(plan, clients, address, tally, console))
        finally:
            signal.signal(signal.SIGINT, before)
    for line in report.endings(tally, data):
        _complain(line, console)
    if is_json:
        click.echo(json.dumps(tally.members()))
    elif not (tally.is_idle and tally.source_failures):  # no table of zeros
        Console().print(report.table(tally))
    sys.exit(tally.exit)


@cli.command(epilog=STATUS_END)
@click.option(
    "--data",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The agent's folder.",
)
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--ids",
    "has_ids",
    is_flag=True,
    help="List every window whose record is still in the outbox by its pcs_id, with its state:"
    " pending, acknowledged, dead, or sent again (a dead letter that was put back). What a"
    " compaction removed was answered, and is only counted.",
)
def status(data: Path, is_json: bool, has_ids: bool) -> None:  # noqa: FBT001 - click passes by name
    """Show what the outbox holds, also while an agent runs on it."""
    with _ending(Exit.UNWRITABLE, DurabilityError), _ending(Exit.UNUSABLE, ContractError):
        found = read_status(RealDisk(), data, has_ids=has_ids)
    if is_json:
        click.echo(json.dumps(found.members()))
    else:
        for line in found.lines():
            click.echo(line)
    sys.exit(Exit.UNWRITABLE if found.is_damaged else Exit.DONE)


async def _run(
    plan: Plan,
    clients: Mapping[str, Client],
    metrics: tuple[str, int] | None,
    tally: Tally,
    console: Console,
) -> None:
    stop = Stop()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.interrupt)
    meter = Meter()
    async with contextlib.AsyncExitStack() as stack:
        if metrics is not None:
            listening = serving_in_the_end(
                meter,
                metrics,
                say=lambda text: _say(f"fractal-agent: {text}"),
                complain=lambda text: _complain(text, console),
            )
            await stack.enter_async_context(listening)
        world = await stack.enter_async_context(this_machine(clients, meter=meter, hooks=Silent()))
        if console.is_terminal:
            stack.enter_context(report.drawn_progress(tally, console))
        else:
            lines = asyncio.create_task(report.plain_progress(tally, _say))
            stack.callback(lines.cancel)
        await run_agent(plan, world, stop, tally)


def _complain(text: str, console: Console) -> None:
    """Say what went wrong above the progress, in one line however narrow the terminal is."""
    console.print(
        f"fractal-agent: {text}", style="red", markup=False, highlight=False, soft_wrap=True
    )


def _say(text: str) -> None:
    click.echo(text, err=True)


def _scales(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ContractError(f"scales: expected integers like 2,4,8, got {text!r}") from error


def _meta(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ContractError(f"meta: expected NAME=TEXT, got {text!r}")
    return name, value


@contextlib.contextmanager
def _ending(code: Exit, *kinds: type[FractalError]) -> Iterator[None]:
    """Turn errors of these kinds into a line on stderr and an exit code."""
    try:
        yield
    except kinds as error:
        click.echo(f"fractal-agent: {error}", err=True)
        sys.exit(code)
