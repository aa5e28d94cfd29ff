"""Files that hold secrets: refused when others can read them, written whole or not at all.

The mode is checked on the open file and not on its name, so that the file checked is the file
read. A new file gets its mode before its first byte and its name after its last.
"""

import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from fractal_lba.command.denied import denied, user
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


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, replacing what stood there.

    Owner and group stay those of the file that is replaced: a server whose ring root extends can
    still read it. After a crash the old file or the new one stands under the name, never a part.

    Raises:
        OSError: The old file, or none, still stands; no temporary file is left.
    """
    try:
        old = path.stat()
    except FileNotFoundError:
        old = None
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            if old is not None:
                _keep_owner(handle, old)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # a new name is durable only after its directory is
    finally:
        os.close(folder)


def _keep_owner(handle: int, old: os.stat_result) -> None:
    new = os.fstat(handle)
    if (new.st_uid, new.st_gid) == (old.st_uid, old.st_gid):
        return
    try:
        os.fchown(handle, old.st_uid, old.st_gid)
    except OSError as error:
        raise type(error)(
            error.errno,
            f"its owner ({user(old.st_uid)}, gid {old.st_gid}) cannot be kept by"
            f" {user(os.geteuid())}: run it as that user or as root",
        ) from error


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
