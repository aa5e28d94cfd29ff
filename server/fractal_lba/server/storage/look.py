"""Read what one process holds open, beside its own writing; the reading of ``fsck`` in pieces."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fractal_lba.server.core.problems import Report
from fractal_lba.server.core.ring import Ring
from fractal_lba.server.storage.fsck import check_inbox_stream, check_shard
from fractal_lba.server.storage.index import LmdbIndex
from fractal_lba.server.storage.shard import ShardStore
from fractal_lba.wal import Disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Reads the shards and inboxes of one process, as often as it is called.

    ``shards`` by name, ``ring`` of the whole set, ``inboxes`` the names of theirs.
    """

    disk: Disk
    data: Path
    shards: Mapping[str, ShardStore]
    ring: Ring
    inboxes: Sequence[str]

    def __call__(self, report: Report) -> Iterator[int]:
        """Yield the bytes of each piece; what is wrong is put into the report."""
        for name, store in tuple(self.shards.items()):  # one may be opened meanwhile
            index = store.index
            yield from check_shard(
                self.disk,
                self.data / name,
                report,
                index=index if isinstance(index, LmdbIndex) else None,
                ring=self.ring,
            )
        for name in self.inboxes:
            yield from check_inbox_stream(self.disk, self.data / name, report)
