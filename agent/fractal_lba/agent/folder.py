"""The data folder of an agent: whether a folder can be one, or is one.

Asked before anything is locked or written: what a folder of something else would become, or show,
surprises later.
"""

from pathlib import Path

from fractal_lba.agent.opening import FOLDER as OUTBOX
from fractal_lba.protocol import ContractError
from fractal_lba.wal import Disk, check_writer

_LOCK, _SEGMENT = ".lock", ".seg"  # what the first opening of an outbox makes

# What a server writes into its folder, and into the data folder in it.
_OF_A_SERVER = frozenset({"server.toml", "shards.json"})


def check_usable(disk: Disk, data: Path) -> None:
    """Check that a folder can be an agent's: nobody else's, or not there yet.

    Raises:
        ContractError: It is a server's, it holds an agent's, it cannot be read, or it is of another
            user than the one who is about to write to it.
    """
    if not disk.is_folder(data):
        return
    if others := _OF_A_SERVER.intersection(_names(disk, data)):
        raise ContractError(
            f"{data}: expected a folder for fractal-agent, got one of fractal-server"
            f" ({min(others)}): name another one"
        )
    _check_not_above(disk, data)
    check_writer(data)


def check_used(disk: Disk, data: Path) -> None:
    """Check that a folder is an agent's.

    Raises:
        ContractError: It is none, or cannot be read.
    """
    where = f"{data}: expected a data folder of fractal-agent"
    if not disk.is_folder(data / OUTBOX):
        raise ContractError(f"{where}, got no outbox in it")
    _check_not_above(disk, data)
    if not any(name == _LOCK or _SEGMENT in name for name in _names(disk, data / OUTBOX)):
        raise ContractError(f"{where}, got one whose outbox holds no segment")


def _check_not_above(disk: Disk, data: Path) -> None:
    if disk.is_folder(data / OUTBOX / OUTBOX):
        raise ContractError(
            f"{data}: expected a data folder of fractal-agent, got the folder above one:"
            f" is it {data / OUTBOX}?"
        )


def _names(disk: Disk, folder: Path) -> list[str]:
    try:
        return disk.names(folder)
    except OSError as error:
        raise ContractError(
            f"{folder}: expected a folder that can be read, got {error.strerror}"
        ) from error
