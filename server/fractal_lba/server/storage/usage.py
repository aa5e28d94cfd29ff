"""Read what tenants sent from the index of a server that may run: no lock, nothing changed."""

from pathlib import Path
from typing import NamedTuple

from fractal_lba.protocol.errors import ContractError
from fractal_lba.server.core import names
from fractal_lba.server.core.usage import NO_USAGE, Usage
from fractal_lba.server.storage.data_folder import ShardSet
from fractal_lba.server.storage.index import LmdbIndex


class TenantDay(NamedTuple):
    """What a tenant sent in a day (see ``core.usage``)."""

    tenant: str
    day: int
    usage: Usage


def read_usage(data: Path, shards: ShardSet, *, map_bytes: int) -> list[TenantDay]:
    """Return what every shard's index has committed, by tenant and day.

    Raises:
        ContractError: No server ran on this data folder yet.
        DurabilityError: An index cannot be read.
    """
    found: dict[tuple[str, int], Usage] = {}
    # A start makes all of them, one after the other.
    for shard in shards.names:
        folder = data / shard / names.INDEX
        if not folder.exists():
            raise ContractError(f"{folder}: expected an index, got none; a server's start makes it")
        index = LmdbIndex(folder, map_bytes=map_bytes, data_id=shards.data_id, is_read_only=True)
        try:
            for tenant, day, usage in index.usages():
                found[tenant, day] = found.get((tenant, day), NO_USAGE) + usage
        finally:
            index.close()
    return [TenantDay(tenant, day, usage) for (tenant, day), usage in sorted(found.items())]
