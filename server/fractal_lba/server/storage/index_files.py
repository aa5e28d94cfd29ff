"""The files of an index, opened: LMDB's environment and the databases in it."""

import shutil
from pathlib import Path
from typing import NamedTuple

import lmdb

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.server.core import names
from fractal_lba.server.storage.index_lists import DATABASES, IndexLists

UNREADABLE = (
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.VersionMismatchError,
    lmdb.BadTxnError,
)
"""What LMDB says of a file that is not sound, as opposed to a disk or a permission that is not."""


class Opened(NamedTuple):
    """LMDB's handles of an index."""

    env: lmdb.Environment
    records: lmdb._Database
    usage: lmdb._Database
    meta: lmdb._Database
    floors: lmdb._Database
    lists: IndexLists


def open_files(folder: Path, *, map_bytes: int, is_read_only: bool) -> Opened:
    """Open an index's files, made where there are none; unsound ones are made anew.

    Raises:
        DurabilityError: The disk failed; or they are not sound, and only to be read.
    """
    try:
        try:
            return _open(folder, map_bytes=map_bytes, is_read_only=is_read_only)
        except UNREADABLE:
            if is_read_only:
                raise
            shutil.rmtree(folder)
            return _open(folder, map_bytes=map_bytes, is_read_only=False)
    except (lmdb.Error, OSError) as error:
        raise DurabilityError(f"index: expected to open {folder.name}, got {error}") from error


def _open(folder: Path, *, map_bytes: int, is_read_only: bool) -> Opened:
    if not is_read_only:
        for each in (folder.parent, folder):
            each.mkdir(mode=0o700, exist_ok=True)
    env = lmdb.open(
        str(folder),
        map_size=map_bytes,
        max_dbs=4 + len(DATABASES),
        mode=0o600,
        readonly=is_read_only,
        lock=not is_read_only,
    )
    try:
        pages = env.info()["last_pgno"] + 1
        if (folder / names.INDEX_DATA).stat().st_size < pages * env.stat()["psize"]:
            # The pages are mapped: touching one beyond the file's end would kill the process.
            raise lmdb.CorruptedError("data.mdb: expected every page, got a shorter file")
        return Opened(
            env,
            env.open_db(b"records"),
            env.open_db(b"usage"),
            env.open_db(b"meta"),
            env.open_db(b"floors"),
            IndexLists(env),
        )
    except lmdb.Error:
        env.close()
        raise
