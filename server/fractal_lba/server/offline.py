"""The other composition root: what commands read of a server's files, whether it runs or not.

Nothing here takes a lock or writes a byte, so that looking never gets into a server's way.
"""

from pathlib import Path

from fractal_lba.server.config import Settings, resolve
from fractal_lba.server.storage import data_folder
from fractal_lba.server.storage.fsck import Report, check_folder
from fractal_lba.server.storage.stored import Appended, StoredRecords
from fractal_lba.server.storage.usage import TenantDay, read_usage
from fractal_lba.wal import RealDisk

__all__ = ["Appended", "fsck", "stored_records", "tenants_usage"]


def fsck(settings: Settings, base: Path) -> Report:
    """Check everything on disk (see ``check_folder``).

    Raises:
        ContractError: There is no data folder of this configuration.
        DurabilityError: The disk refused to be read.
    """
    data = resolve(base, settings, "data")
    shards = data_folder.check(data, settings.shards)
    return check_folder(
        RealDisk(), data, worker=0, shards=shards, map_bytes=settings.index_map_bytes
    )


def tenants_usage(settings: Settings, base: Path) -> list[TenantDay]:
    """Return what each tenant sent in each day of receipt.

    It is what the index last committed: when the server goes idle, and after every
    ``index_flush_records`` decisions.

    Raises:
        ContractError: There is no data folder of this configuration, or no server ran on it.
        DurabilityError: The index cannot be read.
    """
    data = resolve(base, settings, "data")
    shards = data_folder.check(data, settings.shards)
    return read_usage(data, shards, map_bytes=settings.index_map_bytes)


def stored_records(settings: Settings, base: Path) -> StoredRecords:
    """Return what the ledger holds, as far as it is marked durable, with what was appended read.

    Raises:
        ContractError: There is no data folder of this configuration.
        DurabilityError: The disk refused to be read.
    """
    data = resolve(base, settings, "data")
    shards = data_folder.check(data, settings.shards)
    stored = StoredRecords(disk=RealDisk(), data=data, shards=shards)
    stored.read_appended()
    return stored
