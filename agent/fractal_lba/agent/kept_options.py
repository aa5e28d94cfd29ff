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
        keep_bytes_max: int,
        keep_full: str,
        **given: Any,  # noqa: ANN401 - the command's own
    ) -> None:
        kept = None
        if keep_windows is not None:
            kept = Keeping(
                folder=keep_windows, bytes_max=keep_bytes_max, when_full=WhenKept(keep_full)
            )
        command(*args, kept=kept, **given)

    for option in (
        click.option(
            "--keep-full",
            type=click.Choice([policy.value for policy in WhenKept]),
            default=WhenKept.OLDEST.value,
            show_default=True,
            help="Kept windows at their bound: oldest removes the oldest, stop ends observing.",
        ),
        click.option(
            "--keep-bytes-max",
            type=click.IntRange(min=1),
            default=BYTES_MAX,
            show_default=True,
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
