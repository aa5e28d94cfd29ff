"""A tenant's quotas over several workers: one of them keeps them, and the others ask it.

That is the worker of the shard that the ring gives to the tenant itself. While it is away nothing
new of such a tenant is decided. It is asked for each record by its own number, so that what is
asked in one turn goes in one message, and each ends as its record does.

What a new keeper begins its day with holds all that the one before it granted: a worker can be
asked for its sums only once it has answered the hello of the new one, and by then it has read what
the old one ever sent it.
"""

from functools import partial
from itertools import count

from fractal_lba.server.charging import ChargeEnd, Quotas, Settle
from fractal_lba.server.core.answer import Answer
from fractal_lba.server.core.ring import Ring
from fractal_lba.server.core.usage import Usage
from fractal_lba.server.peers import wire
from fractal_lba.server.peers.client import Peer
from fractal_lba.server.peers.crew import Crew


class SharedQuotas:
    """Fulfils ``charging.Quotas`` with the ones of every worker.

    Args:
        own: Of this worker.
        ring: Says which shard is a tenant's own.
        crew: The other workers.
    """

    def __init__(self, own: Quotas, *, ring: Ring, crew: Crew) -> None:
        self._own = own
        self._ring = ring
        self._crew = crew
        self._numbers = count(1)

    def concerns(self, tenant: str) -> bool:
        """See ``charging.Quotas.concerns``: all workers have the same settings."""
        return self._own.concerns(tenant)

    async def reserve(
        self, tenant: str, charge: Usage, *, received_ns: int, is_recovered: bool
    ) -> Answer | Settle:
        """See ``charging.Quotas.reserve``."""
        shard = self._ring.owner_of(tenant, "")
        keeper = self._crew.keeper(shard)
        if keeper is None:
            return await self._own.reserve(
                tenant, charge, received_ns=received_ns, is_recovered=is_recovered
            )
        number = next(self._numbers)
        settle = partial(_settle, keeper, shard, number)
        try:
            result = await keeper.ask(
                shard, wire.Reserve(number, tenant, charge, received_ns, is_recovered)
            )
        except BaseException:
            # Too late or unwanted: where it is granted all the same, it is given back.
            settle(ChargeEnd.NOT_WRITTEN)
            raise
        if isinstance(result, wire.Answered):
            return result.answer
        assert isinstance(result, wire.Reserved)  # noqa: S101 - the other end runs this program
        return settle


def _settle(keeper: Peer, shard: str, number: int, end: ChargeEnd) -> None:
    keeper.tell(shard, wire.Settle(number, end))
