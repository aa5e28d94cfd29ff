"""The other composition root: what commands do with a server's files.

Looking takes no lock and writes no byte, so that it never gets into a server's way. Only ``repair``
writes, and only while no server runs.
"""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from fractal_lba.keyfile import load_keyring
from fractal_lba.server.config import Settings, resolve, shard_specs
from fractal_lba.server.core import names
from fractal_lba.server.core.problems import Report
from fractal_lba.server.storage import data_folder
from fractal_lba.server.storage.fsck import check_folder
from fractal_lba.server.storage.ledgers import begin_ledger, has_ledger
from fractal_lba.server.storage.migrate import Format, formats
from fractal_lba.server.storage.repair import (
    ForgettingError,
    needs_index,
    rebuild_index,
    remove_leftover,
)
from fractal_lba.server.storage.stored import Appended, StoredRecords
from fractal_lba.server.storage.usage import TenantDay, read_usage
from fractal_lba.wal import Disk, RealDisk, check_writer, lock_folder

__all__ = ["Appended", "fsck", "migrate", "repair", "scrub", "stored_records", "tenants_usage"]


def fsck(
    settings: Settings, base: Path, *, has_signatures: bool = False, disk: Disk | None = None
) -> Report:
    """Check everything on disk (see ``check_folder``).

    Args:
        settings: Checked.
        base: The folder that paths in the settings are relative to.
        has_signatures: Verify signatures too, with the keyring.
        disk: Where logs are read.

    Raises:
        ContractError: There is no data folder of this configuration, or no keyring.
        DurabilityError: The disk refused to be read.
    """
    data = resolve(base, settings, "data")
    shards = data_folder.check(data, shard_specs(settings.shards))
    keyring = load_keyring(resolve(base, settings, "keyring")) if has_signatures else None
    return check_folder(
        disk or RealDisk(),
        data,
        shards=shards,
        map_bytes=settings.index_map_bytes,
        keyring=keyring,
    )


def scrub(settings: Settings, base: Path, *, sleep: Callable[[float], None] = time.sleep) -> Report:
    """Check everything on disk at the rate of ``scrub_bytes_per_s``; 0 is no bound.

    Raises:
        ContractError: There is no data folder of this configuration.
        DurabilityError: The disk refused to be read.
    """
    data = resolve(base, settings, "data")
    shards = data_folder.check(data, shard_specs(settings.shards))
    rate = settings.scrub_bytes_per_s
    return check_folder(
        RealDisk(),
        data,
        shards=shards,
        map_bytes=settings.index_map_bytes,
        pace=lambda size: sleep(size / rate) if rate else None,
    )


def repair(
    settings: Settings,
    base: Path,
    *,
    accept_loss: bool = False,
    has_signatures: bool = False,
    disk: Disk | None = None,
) -> Report:
    """Check everything, rebuild each index that needs it from its ledger, and check again.

    A ledger and an inbox are never changed; with ``accept_loss`` a ledger that is gone is begun
    empty. It may be ended at any point and run again.

    Returns:
        What is wrong now; its ``repairs`` say what was done, and what was not and why.

    Raises:
        LockedError: A server, or another repair, holds the folder; nothing was changed.
        ContractError: See ``fsck``; or the folder is another user's.
        DurabilityError: The disk failed.
    """
    disk = disk or RealDisk()
    data = resolve(base, settings, "data")
    shards = data_folder.check(data, shard_specs(settings.shards))
    check_writer(data)
    lock = lock_folder(disk, data)
    try:
        before = fsck(settings, base, has_signatures=has_signatures, disk=disk)
        repairs = []
        for name in shards.names:
            folder = data / name
            remove_leftover(folder)
            is_begun = not has_ledger(disk, folder)
            if is_begun:
                if not accept_loss:
                    continue  # what is wrong says so
                begin_ledger(disk, folder)
                repairs.append(f"{name}/{names.LEDGER}: begun empty, what it held is lost")
            if not is_begun and not needs_index(before, folder):
                continue
            where = f"{name}/{names.INDEX}"
            try:
                count = rebuild_index(
                    disk,
                    folder,
                    map_bytes=settings.index_map_bytes,
                    data_id=shards.data_id,
                    accept_loss=accept_loss,
                )
                repairs.append(f"{where}: rebuilt from {count} entries of the ledger")
            except ForgettingError as error:
                repairs.append(f"not rebuilt, {error}")
        report = fsck(settings, base, has_signatures=has_signatures, disk=disk)
    finally:
        lock.release()
    return msgspec.structs.replace(report, repairs=repairs)


def migrate(settings: Settings, base: Path, *, is_applied: bool) -> list[Format]:
    """Return the formats of a data folder, and with ``is_applied`` do what is to be done first.

    May be ended at any point and run again; what is done is not done twice.

    Raises:
        LockedError: A server holds the folder, and it is to be changed; nothing was.
        ContractError: There is no data folder of this configuration, a later release wrote it, or
            it is to be changed and another user's.
        DurabilityError: The disk failed, or an inbox holds what this release does not read.
    """
    disk = RealDisk()
    data = resolve(base, settings, "data")
    shards = data_folder.check(data, shard_specs(settings.shards))
    if not is_applied:
        return formats(disk, data, shards)
    check_writer(data)
    lock = lock_folder(disk, data)
    try:
        for found in formats(disk, data, shards):
            if found.to_do:
                rebuild_index(
                    disk,
                    (data / found.where).parent,
                    map_bytes=settings.index_map_bytes,
                    data_id=shards.data_id,
                    accept_loss=False,
                )
        return formats(disk, data, shards)
    finally:
        lock.release()


def tenants_usage(settings: Settings, base: Path) -> list[TenantDay]:
    """Return what each tenant sent in each day of receipt.

    It is what the index last committed: when the server goes idle, and after every
    ``index_flush_records`` decisions.

    Raises:
        ContractError: There is no data folder of this configuration, or no server ran on it.
        DurabilityError: The index cannot be read.
    """
    data = resolve(base, settings, "data")
    shards = data_folder.check(data, shard_specs(settings.shards))
    return read_usage(data, shards, map_bytes=settings.index_map_bytes)


def stored_records(settings: Settings, base: Path) -> StoredRecords:
    """Return what the ledger holds, as far as it is marked durable, with what was appended read.

    Raises:
        ContractError: There is no data folder of this configuration.
        DurabilityError: The disk refused to be read.
    """
    data = resolve(base, settings, "data")
    shards = data_folder.check(data, shard_specs(settings.shards))
    stored = StoredRecords(disk=RealDisk(), data=data, shards=shards)
    stored.read_appended()
    return stored
