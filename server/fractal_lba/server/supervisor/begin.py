"""Begin and end a supervisor: what is checked and held before a worker is started."""

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import click

from fractal_lba.server import app
from fractal_lba.server.config import Settings, divided, resolve
from fractal_lba.server.http.open_files import allow_open_files
from fractal_lba.server.http.serve import bind
from fractal_lba.server.peers import folder
from fractal_lba.server.supervisor.run import Ended, Supervisor
from fractal_lba.wal import RealDisk, lock_folder


def supervise(
    settings: Settings,
    base: Path,
    *,
    workers: int,
    accept_loss: bool,
    announce: Callable[[str], None],
) -> None:
    """Serve with several workers until SIGTERM or SIGINT.

    Ends the process with another exit code than 0 where a worker could not begin, or did not end.

    Raises:
        ContractError: Something that the settings name cannot be used; nothing was started.
        DurabilityError: Another server holds the data folder, or the disk failed.
    """
    data = resolve(base, settings, "data")
    folder.check(data, workers)
    with ExitStack() as stack:
        # In this order as with one worker: an address that is not to be had is known first.
        shards = app.check_data(settings, base).shards
        allow_open_files(divided(settings, workers).connections_max, shards=len(shards))
        listener = bind(settings)
        stack.callback(listener.close)
        lock = lock_folder(RealDisk(), data)
        stack.callback(lock.release)
        app.check(settings, base)
        folder.clear(data)
        supervisor = Supervisor(
            settings, base, workers=workers, listener=listener, accept_loss=accept_loss
        )
        ended = asyncio.run(_run(supervisor, announce))
    if ended.message is not None:
        click.echo(f"fractal-server: {ended.message}", err=True)
    if ended.code:
        sys.exit(ended.code)


async def _run(supervisor: Supervisor, announce: Callable[[str], None]) -> Ended:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    loop.add_signal_handler(signal.SIGHUP, supervisor.reload)
    loop.add_signal_handler(signal.SIGUSR1, supervisor.replace)
    return await supervisor.run(announce)
