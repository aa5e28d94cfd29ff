"""The run folder: one socket for each worker, and their counts, below the data folder.

Whoever may read the data folder's files may connect, and nobody else: the folder is 0700 and each
socket 0600. What a dead server left there is removed under the data folder's lock.
"""

import os
import shutil
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

from fractal_lba.protocol.errors import ContractError
from fractal_lba.server.core.names import RUN

_PATH_BYTES_MAX: Final = 103
"""Of a socket's name where it is shortest (104 with its end on BSD, 108 on Linux)."""
_OPENED: Final = Path("/proc/self/fd")
"""Where Linux names what a process has open: a short way to a folder with a long name."""
_BACKLOG: Final = 128


def socket_path(data: Path, worker: int) -> Path:
    """Return where a worker listens for the others, by a name that a socket can have."""
    name = f"worker-{worker}.sock"
    path = data / RUN / name
    if len(os.fsencode(path)) <= _PATH_BYTES_MAX or not _OPENED.is_dir():
        return path
    return _OPENED / str(_opened(data / RUN)) / name


@cache
def _opened(folder: Path) -> int:
    """Return the descriptor of a folder, kept for as long as the process lives."""
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)


def counts(data: Path) -> Path:
    """Return the folder that the workers keep their metrics in."""
    return data / RUN / "metrics"


def check(data: Path, workers: int) -> None:
    """Check that the sockets of so many workers can be named.

    Raises:
        ContractError: The data folder's path is too long, where the system has no other for it.
    """
    if _OPENED.is_dir():
        return
    room = _PATH_BYTES_MAX - len(os.fsencode(Path(RUN) / f"worker-{workers - 1}.sock")) - 1
    length = len(os.fsencode(data))
    if length > room:
        raise ContractError(
            f"data: expected a path of at most {room} bytes with several workers, got {length}"
        )


def clear(data: Path) -> Path:
    """Make the run folder anew, under the data folder's lock; return it.

    Raises:
        OSError: The disk failed.
    """
    folder = data / RUN
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    counts(data).mkdir(mode=0o700)
    return folder


def listen(data: Path, worker: int) -> socket.socket:
    """Return the listening socket of a worker; one that its predecessor left is replaced.

    Raises:
        OSError: The disk failed.
    """
    path = socket_path(data, worker)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(FileNotFoundError):
            path.unlink()
        listener.bind(str(path))
        # Nobody can connect before it listens.
        path.chmod(0o600)
        listener.listen(_BACKLOG)
        listener.setblocking(False)  # noqa: FBT003 - the name of the call says what it is
    except BaseException:
        listener.close()
        raise
    return listener
