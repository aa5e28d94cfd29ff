"""Files that hold secrets: refused when others can read them.

The mode is checked on the open file and not on its name, so that the file checked is the file
read.
"""

import os
import stat
from pathlib import Path
from typing import Final

from fractal_lba.command.denied import denied
from fractal_lba.protocol.errors import KeyringError
from fractal_lba.protocol.keyring import Keyring, parse_keyring

FILE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Some 50,000 keys; a file beyond it is no keyring, and is not read into memory."""

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def load_keyring(path: Path) -> Keyring:
    """Return the keyring in a file, with every secret it points to.

    ``env:NAME`` is the environment's value, ``file:PATH`` a file's bytes, a relative path being
    taken from the keyring's folder. Both files are refused when their group or others have any
    right to them.

    Raises:
        KeyringError: A file cannot be read or is not private, or the ring breaks a rule.
    """

    def resolve(reference: str) -> bytes:
        kind, _, name = reference.partition(":")
        return _from_environment(name) if kind == "env" else _read_private(path.parent / name)

    try:
        data = _read_private(path)
    except KeyringError as error:
        raise KeyringError(f"{path}: {error}") from error
    try:
        return parse_keyring(data, resolve)
    except KeyringError as error:
        raise KeyringError(f"{path}: {error}") from error


def _from_environment(name: str) -> bytes:
    value = os.environb.get(os.fsencode(name))
    if value is None:
        raise KeyringError("expected a variable of the environment, got none of that name")
    return value


def _read_private(path: Path) -> bytes:
    try:
        # Not blocking, so that a pipe under the name cannot hold up a reload for ever.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise KeyringError(f"expected a file to read, got {_what(error, path)}") from error
    try:
        _check_private(os.fstat(handle))
        with os.fdopen(handle, "rb", closefd=False) as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise KeyringError(f"expected a file to read, got {_what(error, path)}") from error
    finally:
        os.close(handle)
    if len(data) > FILE_BYTES_MAX:
        raise KeyringError(f"expected at most {FILE_BYTES_MAX} bytes, got more")
    return data


def _check_private(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyringError("expected a regular file, got another kind")
    if status.st_mode & _OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        raise KeyringError(f"expected mode 0600, got {mode:04o}: others can reach the file")


def _what(error: OSError | ValueError, path: Path) -> str:
    # Neither the path nor a ValueError's text: a secret written after file: would be in them.
    return denied(error, path) if isinstance(error, OSError) else "an impossible name"
