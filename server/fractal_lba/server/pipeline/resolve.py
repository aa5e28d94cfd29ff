"""Resolve an escalation: what somebody found goes into the ledger before it is answered.

It is appended and changes nothing that was decided: the record, its outcome and its answer stay.
"""

import asyncio

from fractal_lba.protocol.errors import DurabilityError
from fractal_lba.server.core.entry import Resolution
from fractal_lba.server.core.known import RESOLUTIONS_KEPT_MAX, Known, NotResolved, RecordKey
from fractal_lba.server.core.run import NewEntry
from fractal_lba.server.ports import Clock, Shard


class Resolver:
    """The one that appends resolutions to a shard.

    Args:
        shard: Where they are kept.
        clock: Read once for each, when it is appended.
    """

    def __init__(self, shard: Shard, *, clock: Clock) -> None:
        self._shard = shard
        self._clock = clock
        # People resolve: one at a time is enough, and none can slip past the bound beside another.
        self._one = asyncio.Lock()

    async def resolve(self, key: RecordKey, *, note: str, who: str) -> Known | NotResolved:
        """Append a resolution; it is on disk when this returns what is remembered of the id.

        Raises:
            UnavailableError: The queue is full; nothing was written.
            DurabilityError: Storage failed; the resolution may or may not be on disk.
        """
        async with self._one:
            (known,) = self._shard.lookup([key])
            if isinstance(known, DurabilityError):
                raise known
            if known is None or not known.is_escalated:
                return NotResolved.NOT_ESCALATED
            if len(known.resolutions) >= RESOLUTIONS_KEPT_MAX:
                return NotResolved.TOO_MANY
            resolution = Resolution(
                tenant=key.tenant, family=key.family, pcs_id=key.pcs_id, note=note, who=who
            )
            (end,) = await self._shard.append([NewEntry(key, resolution, self._clock())])
            if isinstance(end, Exception):
                raise end
            return end
