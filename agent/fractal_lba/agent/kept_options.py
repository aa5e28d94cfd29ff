"""The options that say where an agent keeps its windows."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fractal_lba.agent.kept import BYTES_MAX, Keeping, WhenKept


def kept_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options, which come to it as one ``kept``."""

    @functools.wraps(command)
    def keeping(
        *args: Any,  # noqa: ANN401 - the command's own
        keep_windows: Path | None,
        keep_bytes_max: int | None,
        keep_full: str | None,
        **given: Any,  # noqa: ANN401 - the command's own
    ) -> None:
        kept = None
        if keep_windows is not None:
            kept = Keeping(
                folder=keep_windows,
                bytes_max=BYTES_MAX if keep_bytes_max is None else keep_bytes_max,
                when_full=WhenKept.OLDEST if keep_full is None else WhenKept(keep_full),
            )
        for name, value in (("--keep-bytes-max", keep_bytes_max), ("--keep-full", keep_full)):
            if kept is None and value is not None:
                raise click.UsageError(f"{name}: expected --keep-windows beside it, got none")
        command(*args, kept=kept, **given)

    for option in (
        click.option(
            "--keep-full",
            type=click.Choice([policy.value for policy in WhenKept]),
            show_default=WhenKept.OLDEST.value,
            help="Kept windows at their bound: oldest removes the oldest, stop ends observing.",
        ),
        click.option(
            "--keep-bytes-max",
            type=click.IntRange(min=1),
            show_default=str(BYTES_MAX),
            metavar="BYTES",
            help="Bytes of all kept windows together.",
        ),
        click.option(
            "--keep-windows",
            type=click.Path(file_okay=False, path_type=Path),
            metavar="DIR",
            help="Keep each window there, with its record, for fractal-lba merkle and signals.",
        ),
    ):
        keeping = option(keeping)
    return keeping
