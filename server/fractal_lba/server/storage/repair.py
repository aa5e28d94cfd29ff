"""Rebuild the index of a shard from its ledger, whose bytes stay as they are.

Only while no server holds the folder: its lock and the ledger's are taken. The new index is built
beside the old one and takes its place in one rename, so a process that ends anywhere leaves one of
them whole; what it leaves of the other, the next repair removes, and a server looks at neither.

Only what a batch or a header marks as durable is put: what stands above, the next start makes
durable first and puts itself.
"""

import shutil
from pathlib import Path
from typing import Final, NamedTuple

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.server.core import names
from fractal_lba.server.core.entry import decode_written
from fractal_lba.server.core.forgetting import Forgotten
from fractal_lba.server.core.problems import MENDED_BY_REPAIR, Report
from fractal_lba.server.storage.index import LmdbIndex
from fractal_lba.server.storage.replay import REPLAY_FLUSH, is_of_none, key_of, put_entry, put_mark
from fractal_lba.wal import Damage, Disk, lock_folder, scan_folder
from fractal_lba.wal.folder import io_errors, read_folder

NEW_INDEX: Final = "index.new"
_RANGES_NAMED_MAX: Final = 10


class ForgettingError(DurabilityError):
    """A rebuilt index would no longer know ids that the old one knows; nothing was changed."""


def needs_index(report: Report, folder: Path) -> bool:
    """Tell whether a shard's index is to be built again: it is wrong, or there is none."""
    where = f"{folder.name}/{names.INDEX}"
    return not (folder / names.INDEX / names.INDEX_DATA).exists() or any(
        problem.where == where and problem.kind in MENDED_BY_REPAIR for problem in report.problems
    )


def rebuild_index(
    disk: Disk, folder: Path, *, map_bytes: int, data_id: str, accept_loss: bool
) -> int:
    """Build a shard's index again, and return how many entries of the ledger it holds.

    Args:
        disk: Where the ledger is.
        folder: Of the shard.
        map_bytes: Address space.
        data_id: Of the data folder.
        accept_loss: The operator's word that ids which only damaged bytes held may be decided
            again; the numbers of what is lost are not given again.

    Raises:
        LockedError: Another process has the ledger.
        ForgettingError: See there; ``accept_loss`` is the way past it.
        ContractError: A segment is of a format that this release does not read.
        DurabilityError: The disk or LMDB failed; the old index is as it was.
    """
    ledger = folder / names.LEDGER
    lock = lock_folder(disk, ledger, f"stream {folder.name}/{names.LEDGER}")
    try:
        remove_leftover(folder)
        old = _open_old(folder, map_bytes=map_bytes, data_id=data_id)
        try:
            index = LmdbIndex(folder / NEW_INDEX, map_bytes=map_bytes, data_id=data_id)
            try:
                filled = _fill(disk, folder, index, old)
                if accept_loss:
                    index.accept_losses()
                elif old is not None:
                    _refuse_to_forget(folder, filled.missing, old)
            finally:
                index.close()
        finally:
            if old is not None:
                old.close()
        _take_its_place(disk, folder)
    finally:
        lock.release()
    return filled.entries


class _Filled(NamedTuple):
    entries: int
    missing: list[tuple[int, int]]


def _open_old(folder: Path, *, map_bytes: int, data_id: str) -> LmdbIndex | None:
    if not (folder / names.INDEX / names.INDEX_DATA).exists():
        return None
    try:
        return LmdbIndex(
            folder / names.INDEX, map_bytes=map_bytes, data_id=data_id, is_read_only=True
        )
    except DurabilityError:
        return None


def _fill(disk: Disk, folder: Path, index: LmdbIndex, old: LmdbIndex | None) -> _Filled:
    """Put every marked entry, as a replay from the beginning does, and note what is missing."""
    stream = f"{folder.name}/{names.LEDGER}"
    if old is not None:
        index.accept_losses_up_to(old.accepted_seq)
    missing: list[tuple[int, int]] = []
    with io_errors(f"stream {stream}"):
        first_seq = read_folder(disk, folder / names.LEDGER, stream).kept_from
    count, expected = 0, first_seq

    def miss(first: int, last: int) -> None:
        index.lose(first, last)
        missing.append((first, last))

    for item in scan_folder(disk, folder / names.LEDGER, stream, is_marked_only=True):
        if isinstance(item, Damage):
            continue  # what it took shows in the numbers that are missing
        position, frame = item
        if frame.seq > expected:
            miss(expected, frame.seq - 1)
        expected = max(expected, frame.seq + 1)
        entry = decode_written(frame.meta, frame.payload)
        if isinstance(entry, Forgotten):
            put_mark(index, entry, frame, position)
            continue
        key = key_of(entry)
        if is_of_none(entry, key, index, first_seq=first_seq):
            continue
        put_entry(index, key, entry, frame, position)
        count += 1
        if index.unflushed >= REPLAY_FLUSH:
            index.flush()
    through = old.checkpoint.seq if old is not None and old.checkpoint is not None else 0
    if expected <= through and not _is_unmarked(disk, folder, through):
        miss(expected, through)
    return _Filled(count, missing)


def _is_unmarked(disk: Disk, folder: Path, seq: int) -> bool:
    """Tell whether a number stands above the durable end: the next start makes it durable."""
    stream = f"{folder.name}/{names.LEDGER}"
    scanned = scan_folder(disk, folder / names.LEDGER, stream, from_seq=seq)
    return any(not isinstance(item, Damage) and item[1].seq >= seq for item in scanned)


def _refuse_to_forget(folder: Path, missing: list[tuple[int, int]], old: LmdbIndex) -> None:
    """Stop where the old index knows ids whose entries nobody can read any more."""
    if not missing:
        return
    where = f"{folder.name}/{names.INDEX}"
    numbers = ", ".join(f"{first} to {last}" for first, last in missing[:_RANGES_NAMED_MAX])
    rest = "; restore its segments, or say --accept-loss"
    try:
        seqs = (known.place.seq for _, known in old.items())
        forgotten = sum(any(first <= seq <= last for first, last in missing) for seq in seqs)
    except DurabilityError as error:
        raise ForgettingError(
            f"{where}: expected a whole ledger or an index that says what the missing numbers"
            f" {numbers} were, got neither{rest}"
        ) from error
    if forgotten:
        raise ForgettingError(
            f"{where}: expected every decision in the ledger, got none that can be read for the"
            f" numbers {numbers}: a rebuilt index would forget {forgotten} ids that are known"
            f" now{rest}"
        )


def _take_its_place(disk: Disk, folder: Path) -> None:
    new, current = folder / NEW_INDEX, folder / names.INDEX
    with io_errors(f"index of {folder.name}"):
        file = disk.open(new / names.INDEX_DATA, is_writable=True)
        try:
            file.datasync()
        finally:
            file.close()
        disk.mkdir(current)
        # LMDB keeps nothing of value in its lock file, and makes it anew where nobody has it open.
        disk.rename(new / names.INDEX_DATA, current / names.INDEX_DATA)
        disk.sync_dir(current)
        disk.sync_dir(folder)
    remove_leftover(folder)


def remove_leftover(folder: Path) -> None:
    """Remove what a repair of a shard left that was ended.

    Raises:
        DurabilityError: The disk failed.
    """
    _remove(folder / NEW_INDEX)


def _remove(folder: Path) -> None:
    with io_errors(f"folder {folder.name}"):
        if folder.exists():
            shutil.rmtree(folder)
