"""Read a database of an index from end to end, whoever is writing it meanwhile, without a trace."""

from collections.abc import Iterator
from itertools import islice

import lmdb

from fractal_lba.protocol.errors import DurabilityError

_CHUNK_ENTRIES = 1_000
"""Read in one transaction of about a millisecond."""
_CHUNK_TRIES = 100
"""Each fails only if two commits, and their fsyncs, are done within that millisecond."""


def entries(env: lmdb.Environment, database: lmdb._Database) -> Iterator[tuple[bytes, bytes]]:
    """Yield every committed key and value, in key order; what comes meanwhile may be missing.

    Raises:
        DurabilityError: LMDB failed.
    """
    chunk = _chunk(env, database, b"")
    while chunk:
        yield from chunk
        chunk = _chunk(env, database, chunk[-1][0] + b"\x00")


def _chunk(
    env: lmdb.Environment, database: lmdb._Database, first: bytes
) -> list[tuple[bytes, bytes]]:
    # A reader that must leave no trace takes no place in LMDB's lock file, and the writer may take
    # back the pages it reads. It does so in the third commit after the snapshot's: what was read
    # within the first two is whole.
    failure: lmdb.Error | None = None
    for _ in range(_CHUNK_TRIES):
        before = env.info()["last_txnid"]
        chunk: list[tuple[bytes, bytes]] = []
        failure = None
        try:
            with env.begin(db=database) as at, at.cursor() as cursor:
                if cursor.set_range(first):
                    chunk = list(islice(cursor, _CHUNK_ENTRIES))
        except lmdb.MapResizedError as error:
            failure = error
            env.set_mapsize(0)  # as large as its writer has made it
            continue
        except lmdb.Error as error:
            failure = error
        if env.info()["last_txnid"] <= before + 1:
            if failure is None:
                return chunk
            break
    got = "a commit in the middle of each read" if failure is None else type(failure).__name__
    raise DurabilityError(f"index: expected an entry, got {got}") from failure
