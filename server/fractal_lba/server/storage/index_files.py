"""The files of an index, opened: LMDB's environment and the databases in it."""

from pathlib import Path
from typing import NamedTuple

import lmdb

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
    lists: IndexLists


def open_environment(folder: Path, *, map_bytes: int, is_read_only: bool) -> Opened:
    """Open an index's files, made where there are none.

    Raises:
        lmdb.Error: One of ``UNREADABLE`` where they are not sound.
        OSError: The disk failed.
    """
    if not is_read_only:
        for each in (folder.parent, folder):
            each.mkdir(mode=0o700, exist_ok=True)
    env = lmdb.open(
        str(folder),
        map_size=map_bytes,
        max_dbs=3 + len(DATABASES),
        mode=0o600,
        readonly=is_read_only,
        lock=not is_read_only,
    )
    try:
        pages = env.info()["last_pgno"] + 1
        if (folder / "data.mdb").stat().st_size < pages * env.stat()["psize"]:
            # The pages are mapped: touching one beyond the file's end would kill the process.
            raise lmdb.CorruptedError("data.mdb: expected every page, got a shorter file")
        return Opened(
            env,
            env.open_db(b"records"),
            env.open_db(b"usage"),
            env.open_db(b"meta"),
            IndexLists(env),
        )
    except lmdb.Error:
        env.close()
        raise
