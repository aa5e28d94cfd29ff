"""Input and output of the commands, and the two ways in which they fail.

The rule: what a command cannot read or write is `Unusable`, what it read and refuses is
`Refused`; each becomes one line on standard error and an exit code, never a traceback.
"""

import os
import sys
from pathlib import Path
from typing import Final

from fractal_lba.protocol import JsonValue, canonical

EXIT_REFUSED: Final = 1
EXIT_UNUSABLE: Final = 2


class CommandError(Exception):
    """A command ends here: its message is the one line on standard error."""

    exit_code: int


class Unusable(CommandError):  # noqa: N818  # the name is the claim
    """Nothing could be said about the input."""

    exit_code = EXIT_UNUSABLE


class Refused(CommandError):  # noqa: N818  # the name is the claim
    """The input was read and breaks a rule."""

    exit_code = EXIT_REFUSED


def read_input(name: str, bytes_max: int) -> bytes:
    """Return the whole of a file, or of standard input for ``-``.

    Raises:
        Unusable: It cannot be read, or is longer than ``bytes_max``.
    """
    try:
        if name != "-":
            with Path(name).open("rb") as file:
                data = file.read(bytes_max + 1)
        elif sys.stdin is None:
            raise Unusable("standard input: expected an open one, got none")
        else:
            data = sys.stdin.buffer.read(bytes_max + 1)
    except (OSError, ValueError) as error:
        raise Unusable(f"{shown(name)}: cannot be read: {what(error)}") from error
    if len(data) > bytes_max:
        raise Unusable(f"{shown(name)}: expected at most {bytes_max} bytes, got more")
    return data


def write_output(data: bytes) -> None:
    """Write all of it to standard output, and see it leave.

    Raises:
        Unusable: The reader is gone, or the disk is full.
    """
    if sys.stdout is None:
        raise Unusable("standard output: expected an open one, got none")
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        abandon_output()
        raise Unusable(f"standard output: cannot be written: {what(error)}") from error


def write_json(value: JsonValue) -> None:
    """Write a value as one line of canonical JSON."""
    write_output(canonical(value) + b"\n")


def abandon_output() -> None:
    """Let what is left in the buffer go nowhere: Python would try again at exit, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def shown(name: str) -> str:
    """Return how messages call an input: on one line, whatever the file is called."""
    return "standard input" if name == "-" else name.encode("unicode_escape").decode("ascii")


def what(error: OSError | ValueError) -> str:
    """Return what the system said, without the path."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else "an impossible name"
