"""The options that say how an agent reaches its server, and as whom."""

import ssl
from collections.abc import Callable
from pathlib import Path

import click

from fractal_lba.client import client_context
from fractal_lba.protocol import ContractError


def connection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``--token-file``, ``--ca``, ``--cert`` and ``--key``."""
    for flag, meaning in (
        ("--key", "PEM key of --cert, without a password; not needed where --cert holds it."),
        ("--cert", "PEM client certificate that names this agent to the server."),
        ("--ca", "PEM certificates to trust instead of the system's."),
        (
            "--token-file",
            "Bearer token that names this agent to the server; not needed to submit.",
        ),
    ):
        option = click.option(flag, type=click.Path(path_type=Path), metavar="FILE", help=meaning)
        command = option(command)
    return command


def read_token(path: Path) -> str:
    """Return the token a file holds.

    Raises:
        ContractError: It cannot be read.
    """
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(f"{path}: expected a file with a token, got none") from error


def tls_of(ca: Path | None, cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Return what the options say of TLS, ``None`` where they say nothing.

    Raises:
        ContractError: A file cannot be used.
    """
    if ca is cert is key is None:
        return None
    return client_context(ca=ca, certificate=cert, key=key)
