"""What the commands share: the settings, their flags, and how a command ends."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import click

from fractal_lba.access import OPTIONS
from fractal_lba.protocol.errors import ContractError
from fractal_lba.server.config import Settings, descriptions, load_settings

EXIT_PROBLEMS = 1
EXIT_UNUSABLE = 2

CONFIG = click.option(
    "--config",
    "config",
    type=click.Path(path_type=Path),
    required=True,
    help="The server.toml that init wrote.",
)


def with_settings(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that gives a command a flag for each of these settings, or for all."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for name, meaning in reversed(descriptions().items()):
            if not names or name in names:
                flag = "--" + name.replace("_", "-")
                command = click.option(flag, f"set_{name}", metavar="VALUE", help=meaning)(command)
        return command

    return decorate


def access_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that calls the running server the options of ``access``."""
    for flag, meaning in reversed(OPTIONS.items()):
        option = click.option(flag, type=click.Path(path_type=Path), metavar="FILE", help=meaning)
        command = option(command)
    return command


def load(config: Path, flags: dict[str, str | None]) -> Settings:
    """Return the settings in force, or end the command."""
    given = {name.removeprefix("set_"): value for name, value in flags.items() if value is not None}
    try:
        return load_settings(config, os.environ, given)
    except ContractError as error:
        unusable(error)


def unusable(error: Exception) -> NoReturn:
    """End the command: what it was given cannot be used."""
    click.echo(f"fractal-server: {error}", err=True)
    sys.exit(EXIT_UNUSABLE)
