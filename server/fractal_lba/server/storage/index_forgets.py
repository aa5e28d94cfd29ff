"""What an index does where a mark of the ledger is put: it forgets, in one commit.

What is forgotten leaves each order and its part of the usage, and raises its tenant's floor. So the
index is what the ledger says up to the mark, whether it was live then or is built again.
"""

from collections.abc import Mapping
from typing import NamedTuple

import lmdb

from fractal_lba.protocol.errors import CorruptionError
from fractal_lba.server.core.forgetting import Due, Forgotten
from fractal_lba.server.core.known import Known, RecordKey
from fractal_lba.server.core.usage import Usage, day_of
from fractal_lba.server.storage.index_files import Opened
from fractal_lba.server.storage.index_lists import due_of
from fractal_lba.server.storage.index_values import (
    floor_bytes,
    floor_of,
    known_of,
    record_key_bytes,
    tenant_day_bytes,
    usage_bytes,
    usage_of,
)


class Forgetting(NamedTuple):
    """What one mark takes away: the records; and the floors that follow from them."""

    records: Mapping[RecordKey, Known]
    floors: Mapping[str, int]


def forgetting_of(opened: Opened, mark: Forgotten) -> Forgetting:
    """Return what a mark takes away from what is committed.

    Raises:
        CorruptionError: A value does not verify, or a deadline is no record's.
        lmdb.Error: LMDB failed.
    """
    raised = dict(mark.floors)
    records: dict[RecordKey, Known] = {}
    with opened.env.begin() as transaction:
        through = Due(mark.until_ms, mark.until_seq)
        for due, key in opened.lists.due(transaction, through):
            name = record_key_bytes(key)
            value = transaction.get(name, db=opened.records)
            known = None if value is None else known_of(name, value)
            if known is None or known.kept is None or due_of(known) != due:
                raise CorruptionError("index: expected the record of a deadline, got none")
            records[key] = known
            from_ms = known.kept.from_ms
            raised[key.tenant] = max(from_ms, raised.get(key.tenant, from_ms))
    return Forgetting(records, raised)


def remove(transaction: lmdb.Transaction, opened: Opened, what: Forgetting) -> None:
    """Take it away.

    Raises:
        CorruptionError: A value does not verify.
        lmdb.Error: LMDB failed.
    """
    gone: dict[tuple[str, int], Usage] = {}
    for key, known in what.records.items():
        transaction.delete(record_key_bytes(key), db=opened.records)
        opened.lists.remove(transaction, key, known)
        of = (key.tenant, day_of(known.received_ns))
        gone[of] = gone.get(of, Usage()) + Usage(records=1, bytes=known.size)
    for (tenant, day), usage in gone.items():
        name = tenant_day_bytes(tenant, day)
        value = transaction.get(name, db=opened.usage)
        left = (Usage() if value is None else usage_of(name, bytes(value))) - usage
        if left.records > 0:
            transaction.put(name, usage_bytes(name, left), db=opened.usage)
        else:
            transaction.delete(name, db=opened.usage)
    for tenant, floor_ms in what.floors.items():
        name = tenant.encode()
        value = transaction.get(name, db=opened.floors)
        if value is not None and floor_of(name, bytes(value)) >= floor_ms:
            continue
        transaction.put(name, floor_bytes(name, floor_ms), db=opened.floors)


def floors_of(opened: Opened) -> dict[str, int]:
    """Return the floor of each tenant that has one.

    Raises:
        CorruptionError: A value does not verify.
        lmdb.Error: LMDB failed.
    """
    with opened.env.begin() as transaction, transaction.cursor(db=opened.floors) as cursor:
        return {bytes(key).decode(): floor_of(bytes(key), bytes(value)) for key, value in cursor}
