"""The options that say how an agent reaches its server, and as whom."""

from collections.abc import Callable
from pathlib import Path

import click

from fractal_lba.access import OPTIONS


def connection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of ``access``, none of which submitting needs."""
    for flag, meaning in reversed(OPTIONS.items()):
        option = click.option(flag, type=click.Path(path_type=Path), metavar="FILE", help=meaning)
        command = option(command)
    return command
