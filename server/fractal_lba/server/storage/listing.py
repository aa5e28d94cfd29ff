"""A page of a listing, out of an index: the order from its lists, the rest from its records."""

from fractal_lba.protocol.errors import CorruptionError
from fractal_lba.server.core.known import Known, RecordKey
from fractal_lba.server.core.listing import Page, Query, Spot
from fractal_lba.server.ports import Listed
from fractal_lba.server.storage.index_lists import first_spot, is_beyond
from fractal_lba.server.storage.index_port import Index

LOOKED_AT_MAX = 5_000
"""Records a page looks at before it ends short, however few a query asks for."""
_CHUNK = 256
"""Read in one transaction; what is read beyond a page's end is read again by the next."""


def list_page(
    index: Index, tenant: str, query: Query, after: Spot, records_max: int
) -> Page[Listed, Spot]:
    """Return a tenant's records behind a place, at most so many.

    Raises:
        CorruptionError: A value does not verify or a record is missing; the index ``is_damaged``.
        DurabilityError: The index failed.
    """
    items: list[Listed] = []
    spot = first_spot(query, after)
    looked_at = 0
    while looked_at < LOOKED_AT_MAX:
        with index.reading:
            found = [
                Listed(shard=index.shard, spot=at, key=key, known=_listed(index, key))
                for at, key in index.spots(tenant, query, spot, count=_CHUNK)
            ]
        for listed in found:
            spot = listed.spot
            if is_beyond(query, spot):
                return Page(items=tuple(items), next=None)
            looked_at += 1
            if _is_asked_for(query, listed):
                items.append(listed)
                if len(items) == records_max:
                    return Page(items=tuple(items), next=spot)
        if len(found) < _CHUNK:
            return Page(items=tuple(items), next=None)
    return Page(items=tuple(items), next=spot)


def _listed(index: Index, key: RecordKey) -> Known:
    """Return what is remembered under a key that a listing names: no page may pass it over.

    Raises:
        CorruptionError: There is nothing; the index ``is_damaged`` from now on.
        DurabilityError: The index failed.
    """
    known = index.lookup(key)
    if known is None:
        index.is_damaged = True
        raise CorruptionError("index: expected the record that a listing names, got none")
    return known


def _is_asked_for(query: Query, listed: Listed) -> bool:
    known = listed.known
    if known.place.seq != listed.spot.seq:
        return False  # a second decision of an id, which a ledger must not have, is no record
    if query.is_open_escalation and known.resolutions:
        return False
    return query.asks_for(known.summary, status=known.status, received_ns=known.received_ns)
