"""A shard's ledger as a folder: begun once, with the data folder, and missed from then on.

From its beginning on a ledger has a segment at any time, whatever ends the process. One without any
is not new but gone (a disk that is not mounted, a folder that was removed), and who began it again
would decide again what was acknowledged.
"""

from pathlib import Path

from fractal_lba.protocol.errors import CorruptionError
from fractal_lba.server.core import names
from fractal_lba.wal import Disk, Stream
from fractal_lba.wal.folder import io_errors, is_segment_name


def begin_ledger(disk: Disk, folder: Path) -> None:
    """Make a shard's ledger with its first segment, durable when this returns.

    Args:
        disk: Where it is.
        folder: Of the shard.

    Raises:
        DurabilityError: The disk failed, or another process holds the ledger.
    """
    Stream.open(disk, folder / names.LEDGER, f"{folder.name}/{names.LEDGER}").close()


def has_ledger(disk: Disk, folder: Path) -> bool:
    """Tell whether a shard's ledger is there; reads names alone.

    Raises:
        OSError: The disk failed.
    """
    ledger = folder / names.LEDGER
    return disk.is_folder(ledger) and any(map(is_segment_name, disk.names(ledger)))


def check_ledger(disk: Disk, folder: Path) -> None:
    """Check that a shard's ledger is there.

    Raises:
        CorruptionError: It is not.
        DurabilityError: The disk failed.
    """
    where = f"{folder.name}/{names.LEDGER}"
    with io_errors(f"stream {where}"):
        if not has_ledger(disk, folder):
            raise CorruptionError(
                f"{where}: expected the ledger that init began, got none: mount what is not"
                " mounted or put it back from a backup (runbooks/FlbaDamageFound.md)"
            )
