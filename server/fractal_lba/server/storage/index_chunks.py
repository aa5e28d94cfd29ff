"""Read an index piece by piece, whoever is writing it meanwhile, without a trace."""

import threading
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeVar

import lmdb

from fractal_lba.protocol.errors import DurabilityError

_T = TypeVar("_T")

_CHUNK_ENTRIES = 1_000
"""Read in one transaction of about a millisecond."""
_CHUNK_TRIES = 100
"""Each fails only if two commits, and their fsyncs, are done within that millisecond."""


def entries(
    env: lmdb.Environment, database: lmdb._Database, reading: threading.Lock
) -> Iterator[tuple[bytes, bytes]]:
    """Yield every committed key and value, in key order; what comes meanwhile may be missing.

    Args:
        env: Opened.
        database: Of it.
        reading: Held for each piece: its owner neither grows nor closes the file meanwhile.

    Raises:
        DurabilityError: LMDB failed.
    """
    first = b""
    while True:
        with reading:
            chunk = _chunk(env, database, first)
        if not chunk:
            return
        yield from chunk
        first = chunk[-1][0] + b"\x00"


def whole(env: lmdb.Environment, read: Callable[[lmdb.Transaction], _T]) -> _T:
    """Return what is read in one transaction of about a millisecond.

    Raises:
        DurabilityError: LMDB failed.
    """
    # A reader that must leave no trace takes no place in LMDB's lock file, and the writer may take
    # back the pages it reads. It does so in the third commit after the snapshot's: what was read
    # within the first two is whole.
    failure: lmdb.Error | None = None
    for _ in range(_CHUNK_TRIES):
        before = _txnid(env)
        try:
            with env.begin() as transaction:
                found = read(transaction)
            failure = None
            if _txnid(env) <= before + 1:
                return found
        except lmdb.MapResizedError as error:
            failure = error
            env.set_mapsize(0)  # as large as its writer has made it
        except lmdb.Error as error:
            failure = error
            if _txnid(env) <= before + 1:
                break
    got = "a commit in the middle of each read" if failure is None else type(failure).__name__
    raise DurabilityError(f"index: expected an entry, got {got}") from failure


def _txnid(env: lmdb.Environment) -> int:
    try:
        return env.info()["last_txnid"]
    except lmdb.Error as error:  # closed: it is being rebuilt
        raise DurabilityError(f"index: expected an entry, got {type(error).__name__}") from error


def _chunk(
    env: lmdb.Environment, database: lmdb._Database, first: bytes
) -> list[tuple[bytes, bytes]]:
    def read(transaction: lmdb.Transaction) -> list[tuple[bytes, bytes]]:
        with transaction.cursor(db=database) as cursor:
            if not cursor.set_range(first):
                return []
            return [(bytes(key), bytes(value)) for key, value in islice(cursor, _CHUNK_ENTRIES)]

    return whole(env, read)
