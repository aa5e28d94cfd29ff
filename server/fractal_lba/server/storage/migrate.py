"""What an upgrade finds in a data folder, and what it has to do there.

What this release reads as it is, it leaves as it is: a ledger is never written again, whatever
format its entries have. What it does not read and can derive, an index of another version, it
builds again. What a later release wrote is refused, before anything is changed.
"""

from collections import Counter
from pathlib import Path

import lmdb
import msgspec

from fractal_lba.protocol.errors import CorruptionError
from fractal_lba.server.core import entry as entries
from fractal_lba.server.core import names
from fractal_lba.server.core.inbox_frame import decode_received
from fractal_lba.server.storage import data_folder
from fractal_lba.server.storage.data_folder import ShardSet
from fractal_lba.server.storage.fsck import inboxes
from fractal_lba.server.storage.index_state import FORMAT_VERSION, META_STATE, state_of
from fractal_lba.server.storage.ledgers import has_ledger
from fractal_lba.wal import Damage, Disk, scan_folder
from fractal_lba.wal.framing import FORMAT as SEGMENT_VERSION


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of file: where, the version found, the one written now, what is to be done.

    ``found`` counts by version, where there are several; ``to_do`` is empty where it is read as it
    is.
    """

    where: str
    what: str
    found: dict[str, int]
    written: str
    to_do: str = ""


def formats(disk: Disk, data: Path, shards: ShardSet) -> list[Format]:
    """Return every format that a data folder holds, having read all of its ledgers and inboxes.

    Raises:
        ContractError: A later release wrote some of it; the message names it and the release.
        CorruptionError: An inbox holds a frame that this release does not read.
        DurabilityError: The disk failed.
    """
    found = [
        Format(
            where=names.SHARDS,
            what="shard set",
            found={str(shards.format_version): 1},
            written=str(data_folder.FORMAT_VERSION),
        )
    ]
    for name in shards.names:
        if has_ledger(disk, data / name):
            found += [_ledger(disk, data / name), _index(data / name)]
    found += [_inbox(disk, data / name) for name in inboxes(disk, data)]
    return found


def _ledger(disk: Disk, folder: Path) -> Format:
    counted: Counter[str] = Counter()
    where = f"{folder.name}/{names.LEDGER}"
    for item in scan_folder(disk, folder / names.LEDGER, where):
        if not isinstance(item, Damage):
            entries.require_readable(item[1].meta)
            counted[f"segment {SEGMENT_VERSION}, entry {entries.version_of(item[1].meta)}"] += 1
    return Format(
        where=where,
        what="segments and entries",
        found=dict(sorted(counted.items())),
        written=f"segment {SEGMENT_VERSION}, entry {entries.ENTRY_VERSION}",
    )


def _inbox(disk: Disk, folder: Path) -> Format:
    counted: Counter[str] = Counter()
    for item in scan_folder(disk, folder, folder.name):
        if not isinstance(item, Damage):
            decode_received(item[1].meta)
            counted[f"segment {SEGMENT_VERSION}"] += 1
    return Format(
        where=folder.name,
        what="segments and bodies",
        found=dict(counted),
        written=f"segment {SEGMENT_VERSION}",
    )


def _index(folder: Path) -> Format:
    version = _index_version(folder / names.INDEX)
    found = "none that can be read" if version is None else str(version)
    return Format(
        where=f"{folder.name}/{names.INDEX}",
        what="index",
        found={found: 1},
        written=str(FORMAT_VERSION),
        to_do="" if version == FORMAT_VERSION else "build it again from the ledger",
    )


def _index_version(folder: Path) -> int | None:
    if not (folder / names.INDEX_DATA).exists():
        return None
    try:
        with (
            lmdb.open(str(folder), max_dbs=16, readonly=True, lock=False, create=False) as env,
            env.begin(db=env.open_db(b"meta", create=False)) as transaction,
        ):
            value = transaction.get(META_STATE)
            return None if value is None else state_of(bytes(value)).format_version
    except (lmdb.Error, CorruptionError):
        return None
